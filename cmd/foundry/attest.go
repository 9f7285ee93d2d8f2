package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/druppie/druppie-up/cmd/foundry/internal/cosign"
	"github.com/druppie/druppie-up/internal/ui"
	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/attest"
)

// The builder and the verifier that the attestations of the release pipeline name.
const (
	builderURI  = "https://druppie.io/foundry/release"
	verifierURI = "https://druppie.io/foundry/check"
)

func newAttestCmd() *cobra.Command {
	var s step
	var tests, algorithm string
	cmd := newStep(&s, "attest", "Attest how an image came to be, in cosign's form", func(ctx context.Context, out io.Writer) error {
		// The number comes from the service's own code: it is a claim, and a number it must be.
		passed, err := strconv.Atoi(tests)
		if err != nil || passed < 1 || passed > 1_000_000 {
			return ui.Usage(fmt.Errorf("tests %q: want the number of tests that passed, at least one", tests))
		}
		if (tracedb.Ref{Type: tracedb.RefAlgorithm, Value: algorithm}).Check() != nil {
			return ui.Usage(fmt.Errorf("algorithm %q isn't an id of the register", algorithm))
		}
		key, err := s.signingKey()
		if err != nil {
			return err
		}
		added, err := cosign.Attest(ctx, s.digest, s.run, s.statements(passed, algorithm), func(st attest.Statement) (json.RawMessage, error) {
			return attest.Sign(key, st)
		}, s.registry...)
		if err != nil {
			return err
		}
		for _, predicate := range added {
			fmt.Fprintln(out, "attested:", predicate)
		}
		if len(added) == 0 {
			fmt.Fprintln(out, "was attested already by this run:", s.digest)
		}
		return nil
	})
	s.flags(cmd, "ca-file", "credentials", "image", "repository", "revision", "run")
	require(cmd, &tests, "tests", "how many tests passed")
	require(cmd, &algorithm, "algorithm", "register id that the check found")
	s.flags(cmd, "key", "password-file")
	return cmd
}

// statements are the attestations of a release, in the order in which they are kept. CVE scans and
// SBOMs join this list with the steps that make them; until then the trace shows them missing.
func (s *step) statements(passed int, algorithm string) []attest.Statement {
	now := time.Now().UTC()
	about := attest.About{
		Image: s.digest.Context().Name(), Digest: s.digest.DigestStr(),
		Repository: s.repository, Commit: s.revision, Run: s.run,
	}
	return []attest.Statement{
		attest.Provenance(about, attest.Build{Builder: builderURI, Finished: now}),
		attest.TestResult(about, attest.Tests{Suite: "unit tests of " + s.repository, Passed: []string{strconv.Itoa(passed) + " unit tests"}}),
		attest.Verdict(about, attest.Gate{Verifier: verifierURI, Created: now, Passed: []string{"ALGORITHM_YAML_VALID " + algorithm}}),
	}
}
