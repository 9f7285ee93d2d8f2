package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/spf13/cobra"

	"github.com/druppie/druppie-up/cmd/foundry/internal/cosign"
	"github.com/druppie/druppie-up/internal/ui"
	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/attest"
)

func newRecordCmd() *cobra.Command {
	var s step
	cmd := newStep(&s, "record", "Write down in the Traceability DB what a run proved", func(ctx context.Context, out io.Writer) error {
		if err := s.verify(ctx, s.digest, s.annotations()); err != nil {
			return err
		}
		entry, err := s.readEntry()
		if err != nil {
			return err
		}
		attestations, err := cosign.Attestations(ctx, s.digest, s.registry...)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(ctx, traceTimeout)
		defer cancel()
		newer, err := s.newerEntry(ctx, entry)
		if err != nil {
			return err
		}
		drafts, err := s.drafts(attestations)
		if err != nil {
			return err
		}
		if newer == "" {
			draft, err := s.entryDraft(entry)
			if err != nil {
				return err
			}
			drafts = append(drafts, draft)
		}
		receipts, err := s.traceDB.Record(ctx, drafts)
		if err != nil {
			return ui.WithHint(fmt.Errorf("the Traceability DB didn't take the records: %w", err), "nothing is promoted that isn't recorded; see the log of tracedb in druppie-system")
		}
		for i, r := range receipts {
			result := "recorded:"
			if r.Duplicate {
				result = "was recorded:"
			}
			fmt.Fprintf(out, "%s %d %s\n", result, r.Seq, drafts[i].ID)
		}
		if newer != "" {
			fmt.Fprintf(out, keptEntry, newer)
		}
		return nil
	})
	s.flags(cmd, "ca-file", "forge", "trace", "token-file", "source", "repository", "revision", "image", "run", "key")
	return cmd
}

// drafts are the records of the run, but for the register entry. Their ids say what they are, so that a step that
// is tried again doubles nothing.
func (s *step) drafts(attestations []cosign.Attestation) ([]tracedb.Draft, error) {
	digest := s.digest.DigestStr()
	var drafts []tracedb.Draft
	add := func(kind tracedb.Kind, payload any) error {
		draft, err := newDraft(kind, digest+"/"+s.run, payload)
		drafts = append(drafts, draft)
		return err
	}
	for _, a := range attestations {
		if a.Run != s.run {
			continue
		}
		i := slices.IndexFunc(tracedb.Kinds(), func(k tracedb.KindInfo) bool { return slices.Contains(k.Predicate, a.PredicateType) })
		if i < 0 {
			return nil, fmt.Errorf("the image has an attestation of a kind that isn't recorded: %s", a.PredicateType)
		}
		if err := add(tracedb.Kinds()[i].Kind, a.Envelope); err != nil {
			return nil, err
		}
	}
	for _, need := range []tracedb.Kind{tracedb.KindProvenance, tracedb.KindTestResult, tracedb.KindVerdict} {
		if !slices.ContainsFunc(drafts, func(d tracedb.Draft) bool { return d.Kind == need }) {
			return nil, ui.WithHint(fmt.Errorf("run %s attested no %s for %s", s.run, need, digest), "the step attest of the task sign makes it; look at its log")
		}
	}
	fingerprint, err := keyFingerprint(s.key)
	if err != nil {
		return nil, err
	}
	return drafts, errors.Join(
		add(tracedb.KindImage, tracedb.Image{Image: s.digest.Context().Name(), Digest: digest, Repository: s.repository, Commit: s.revision, Run: s.run}),
		add(tracedb.KindSignature, tracedb.Signature{Digest: digest, Key: fingerprint, Run: s.run, Commit: s.revision}),
	)
}

func newDraft(kind tracedb.Kind, id string, payload any) (tracedb.Draft, error) {
	body, err := json.Marshal(payload)
	if err != nil {
		return tracedb.Draft{}, fmt.Errorf("write the %s: %w", kind, err)
	}
	return tracedb.Draft{ID: string(kind) + "/" + id, Kind: kind, Actor: "foundry", Payload: body}, nil
}

func keyFingerprint(file string) (string, error) {
	public, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("read the public key: %w", err)
	}
	key, err := cryptoutils.UnmarshalPEMToPublicKey(public)
	if err != nil {
		return "", fmt.Errorf("public key: %w", err)
	}
	return attest.Fingerprint(key), nil
}
