package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/spf13/cobra"

	"github.com/druppie/druppie-up/cmd/foundry/internal/fleet"
	"github.com/druppie/druppie-up/cmd/foundry/internal/image"
	"github.com/druppie/druppie-up/cmd/foundry/internal/seal"
	"github.com/druppie/druppie-up/cmd/foundry/internal/source"
	"github.com/druppie/druppie-up/cmd/foundry/internal/trust"
	"github.com/druppie/druppie-up/internal/ui"
	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/attest"
	"github.com/druppie/druppie-up/tracedb/client"
	"github.com/druppie/druppie-up/tracedb/register"
)

// recorded is what a run writes down.
type recorded struct {
	image        name.Digest
	repository   string
	commit, run  string
	key          []byte // the foundry's public key, PEM
	source       []byte // algorithm.yaml
	overtaken    string // a newer commit that the register has already; empty: none
	attestations []seal.Attestation
}

// drafts are the records of the run. Their ids say what they are, so that a step that is tried again
// doubles nothing.
func (r recorded) drafts() ([]tracedb.Draft, error) {
	digest := r.image.DigestStr()
	var drafts []tracedb.Draft
	add := func(kind tracedb.Kind, id string, payload any) error {
		body, err := json.Marshal(payload)
		if err != nil {
			return fmt.Errorf("write the %s: %w", kind, err)
		}
		drafts = append(drafts, tracedb.Draft{ID: string(kind) + "/" + id, Kind: kind, Actor: "foundry", Payload: body})
		return nil
	}
	seen := map[tracedb.Kind]bool{}
	for _, a := range r.attestations {
		if a.Run != r.run {
			continue
		}
		i := slices.IndexFunc(tracedb.Kinds(), func(k tracedb.KindInfo) bool { return slices.Contains(k.Predicate, a.PredicateType) })
		if i < 0 {
			return nil, fmt.Errorf("the image has an attestation of a kind that isn't recorded: %s", a.PredicateType)
		}
		kind := tracedb.Kinds()[i].Kind
		seen[kind] = true
		if err := add(kind, digest+"/"+r.run, a.Envelope); err != nil {
			return nil, err
		}
	}
	for _, need := range []tracedb.Kind{tracedb.KindProvenance, tracedb.KindTestResult, tracedb.KindVerdict} {
		if !seen[need] {
			return nil, ui.WithHint(fmt.Errorf("run %s attested no %s for %s", r.run, need, digest), "the step attest of the task sign makes it; look at its log")
		}
	}
	fingerprint, err := keyFingerprint(r.key)
	if err != nil {
		return nil, err
	}
	err = errors.Join(
		add(tracedb.KindImage, digest+"/"+r.run, tracedb.Image{Image: r.image.Context().Name(), Digest: digest, Repository: r.repository, Commit: r.commit, Run: r.run}),
		add(tracedb.KindSignature, digest+"/"+r.run, tracedb.Signature{Digest: digest, Key: fingerprint, Run: r.run, Commit: r.commit}),
	)
	if err != nil || r.overtaken != "" {
		return drafts, err
	}
	entry, err := r.entry()
	return append(drafts, entry), err
}

// look finds out whether the register has an entry of a newer commit. Runs may end in another order than
// they began, and what a newer commit took out of use mustn't come back by that.
func (r recorded) look(ctx context.Context, trace *client.Client, from source.Origin) (string, error) {
	d, _ := register.Validate(r.source)
	if d.ID == "" {
		return "", nil // the Traceability DB says what is wrong with it
	}
	entry, err := trace.Algorithm(ctx, d.ID)
	if errors.Is(err, tracedb.ErrNotFound) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("ask the register for %q: %w", d.ID, err)
	}
	older, err := source.Precedes(ctx, from, r.commit, entry.Commit)
	if err != nil || !older {
		return "", err
	}
	return entry.Commit, nil
}

func keyFingerprint(public []byte) (string, error) {
	key, err := cryptoutils.UnmarshalPEMToPublicKey(public)
	if err != nil {
		return "", fmt.Errorf("public key: %w", err)
	}
	return attest.Fingerprint(key), nil
}

func traceClient(address, tokenFile string, ca trust.CA) (*client.Client, error) {
	transport, err := ca.Transport()
	if err != nil {
		return nil, err
	}
	return client.New(client.Options{
		URL:  address,
		HTTP: &http.Client{Transport: transport},
		// Read at each call: the kubelet renews it.
		Token: func(context.Context) (string, error) {
			token, err := os.ReadFile(tokenFile)
			return strings.TrimSpace(string(token)), err
		},
	}), nil
}

func recordCommand() *cobra.Command {
	var caFile, forge, address, tokenFile, dir, ref, keyFile string
	var r recorded
	cmd := &cobra.Command{
		Use:   "record",
		Short: "Write down in the Traceability DB what a run proved",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			var err error
			if r.image, err = image.Digest(ref); err != nil {
				return ui.Usage(err)
			}
			if err := (fleet.Release{Commit: r.commit, Digest: r.image.DigestStr()}).Check(); err != nil {
				return ui.Usage(err)
			}
			url, err := source.URL(forge, r.repository)
			if err != nil {
				return ui.Usage(err)
			}
			ca, err := trust.ReadCA(caFile)
			if err != nil {
				return err
			}
			access := image.Access{CA: ca}
			claims := seal.Claims{claimCommit: r.commit, claimRepository: r.repository}
			if err := verify(ctx, access, r.image, keyFile, claims); err != nil {
				return explain(err)
			}
			if r.key, err = os.ReadFile(keyFile); err != nil {
				return fmt.Errorf("read the public key: %w", err)
			}
			if r.source, err = readEntry(dir); err != nil {
				return err
			}
			opts, err := access.Options(ctx)
			if err != nil {
				return err
			}
			if r.attestations, err = seal.Attestations(ctx, r.image, opts...); err != nil {
				return explain(err)
			}
			trace, err := traceClient(address, tokenFile, ca)
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
			defer cancel()
			if r.overtaken, err = r.look(ctx, trace, source.Origin{URL: url, CA: ca}); err != nil {
				return explain(err)
			}
			drafts, err := r.drafts()
			if err != nil {
				return err
			}
			receipts, err := trace.Record(ctx, drafts)
			if err != nil {
				return ui.WithHint(fmt.Errorf("the Traceability DB didn't take the records: %w", err), "nothing is promoted that isn't recorded; see the log of tracedb in druppie-system")
			}
			for i, rec := range receipts {
				what := "recorded:"
				if rec.Duplicate {
					what = "was recorded:"
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%s %d %s\n", what, rec.Seq, drafts[i].ID)
			}
			if r.overtaken != "" {
				fmt.Fprintf(cmd.OutOrStdout(), "the register keeps its entry: that of commit %s is newer\n", r.overtaken)
			}
			return nil
		},
	}
	f := cmd.Flags()
	caFlag(f, &caFile)
	forgeFlag(f, &forge)
	f.StringVar(&address, "trace", "", "address of the Traceability DB, https://host:port")
	f.StringVar(&tokenFile, "token-file", "", "file with a ServiceAccount token for the Traceability DB's audience")
	f.StringVar(&dir, "source", "", "folder with the service's source")
	f.StringVar(&r.repository, "repository", "", "full name of the service's repository")
	f.StringVar(&r.commit, "revision", "", "full hash of the service's commit")
	f.StringVar(&ref, "image", "", "image by digest")
	f.StringVar(&r.run, "run", "", "namespace/name of the pipeline run")
	f.StringVar(&keyFile, "key", "", "file with the foundry's public key")
	return required(cmd, "ca-file", "forge", "trace", "token-file", "source", "repository", "revision", "image", "run", "key")
}
