package main

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/druppie/druppie-up/cmd/foundry/internal/fleet"
	"github.com/druppie/druppie-up/cmd/foundry/internal/image"
	"github.com/druppie/druppie-up/cmd/foundry/internal/seal"
	"github.com/druppie/druppie-up/internal/ui"
	"github.com/druppie/druppie-up/tracedb/attest"
)

// Who built, and who decided, in the attestations of the release pipeline.
const (
	builderURI  = "https://druppie.io/foundry/release"
	verifierURI = "https://druppie.io/foundry/check"
)

// registerID is the form of an id of the AI register.
var registerID = regexp.MustCompile(`^alg-[a-z0-9]{8}$`)

// proven is what a run has to say about an image.
type proven struct {
	about     attest.About
	tests     int // that passed
	algorithm string
	now       time.Time
}

// statements are the attestations of a release, in the order in which they are kept. CVE scans and
// parts lists join this list with the steps that make them; until then the trace shows them missing.
func (p proven) statements() []attest.Statement {
	return []attest.Statement{
		attest.Provenance(p.about, attest.Build{Builder: builderURI, Finished: p.now}),
		attest.TestResult(p.about, attest.Tests{
			Suite:  "unit tests of " + p.about.Repository,
			Passed: []string{strconv.Itoa(p.tests) + " unit tests"},
		}),
		attest.Verdict(p.about, attest.Gate{
			Verifier: verifierURI, Created: p.now,
			Passed: []string{"ALGORITHM_YAML_VALID " + p.algorithm},
		}),
	}
}

func attestCommand() *cobra.Command {
	var caFile, credentials, ref, keyFile, passwordFile, tests string
	var p proven
	cmd := &cobra.Command{
		Use:   "attest",
		Short: "Attest how an image came to be, in cosign's form",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			digest, err := image.Digest(ref)
			if err != nil {
				return ui.Usage(err)
			}
			// The number comes from the service's own code: it is a claim, and a number it must be.
			if p.tests, err = strconv.Atoi(tests); err != nil || p.tests < 1 || p.tests > 1_000_000 {
				return ui.Usage(fmt.Errorf("tests %q: want the number of tests that passed, at least one", tests))
			}
			if !registerID.MatchString(p.algorithm) {
				return ui.Usage(fmt.Errorf("algorithm %q isn't an id of the register", p.algorithm))
			}
			if err := (fleet.Release{Commit: p.about.Commit, Digest: digest.DigestStr()}).Check(); err != nil {
				return ui.Usage(err)
			}
			p.about.Image, p.about.Digest, p.now = digest.Context().Name(), digest.DigestStr(), time.Now().UTC()
			access, err := registryAccess(caFile, credentials)
			if err != nil {
				return err
			}
			key, err := os.ReadFile(keyFile)
			if err != nil {
				return fmt.Errorf("read the signing key: %w", err)
			}
			password, err := os.ReadFile(passwordFile)
			if err != nil {
				return fmt.Errorf("read the signing key's password: %w", err)
			}
			signer, err := seal.PrivateKey(key, []byte(strings.TrimRight(string(password), "\r\n")))
			if err != nil {
				return err
			}
			opts, err := access.Options(cmd.Context())
			if err != nil {
				return err
			}
			byPredicate := map[string]attest.Statement{}
			var predicates []string
			for _, st := range p.statements() {
				byPredicate[st.PredicateType] = st
				predicates = append(predicates, st.PredicateType)
			}
			added, err := seal.Attest(cmd.Context(), digest, p.about.Run, predicates, func(predicate string) (json.RawMessage, error) {
				return attest.Sign(signer, byPredicate[predicate])
			}, opts...)
			if err != nil {
				return explain(err)
			}
			for _, predicate := range added {
				fmt.Fprintln(cmd.OutOrStdout(), "attested:", predicate)
			}
			if len(added) == 0 {
				fmt.Fprintln(cmd.OutOrStdout(), "was attested already by this run:", digest)
			}
			return nil
		},
	}
	f := cmd.Flags()
	caFlag(f, &caFile)
	credentialsFlag(f, &credentials, "password")
	f.StringVar(&ref, "image", "", "image by digest")
	f.StringVar(&p.about.Repository, "repository", "", "full name of the service's repository")
	f.StringVar(&p.about.Commit, "revision", "", "full hash of the service's commit")
	f.StringVar(&p.about.Run, "run", "", "namespace/name of the pipeline run")
	f.StringVar(&tests, "tests", "", "how many tests passed")
	f.StringVar(&p.algorithm, "algorithm", "", "register id that the check found")
	f.StringVar(&keyFile, "key", "", "file with the private key, in cosign's encrypted form")
	f.StringVar(&passwordFile, "password-file", "", "file with the key's password")
	return required(cmd, "ca-file", "credentials", "image", "repository", "revision", "run", "tests", "algorithm", "key", "password-file")
}
