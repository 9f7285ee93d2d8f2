package cosign_test

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	upstream "github.com/sigstore/cosign/v2/pkg/cosign"
	ociremote "github.com/sigstore/cosign/v2/pkg/oci/remote"

	"github.com/druppie/druppie-up/cmd/foundry/internal/cosign"
	"github.com/druppie/druppie-up/cmd/foundry/internal/foundrytest"
	"github.com/druppie/druppie-up/cmd/foundry/internal/image"
	"github.com/druppie/druppie-up/tracedb/attest"
)

func TestAttest(t *testing.T) {
	ctx := context.Background()
	host, ca := foundrytest.Registry(t)
	opts, err := image.Access{CA: ca, Credentials: &foundrytest.Writer}.Options(ctx)
	if err != nil {
		t.Fatal(err)
	}
	ref := pushed(t, host, opts)
	private, public := newKey(t)
	signer, err := cosign.PrivateKey(private, []byte(password))
	if err != nil {
		t.Fatal(err)
	}
	statements := []attest.Statement{
		attest.Provenance(about(ref.DigestStr()), attest.Build{Builder: "https://druppie.io/foundry/release"}),
		attest.TestResult(about(ref.DigestStr()), attest.Tests{Suite: "unit tests", Passed: []string{"12 unit tests"}}),
	}
	signed := 0
	sign := func(st attest.Statement) (json.RawMessage, error) {
		signed++
		return attest.Sign(signer, st)
	}

	if got, err := cosign.Attestations(ctx, ref, opts...); err != nil || len(got) != 0 {
		t.Fatalf("before: %d, %v", len(got), err)
	}
	tests := []struct {
		name       string
		run        string
		statements []attest.Statement
		added      int
	}{
		{"the first of a run", "foundry/a", statements[:1], 1},
		{"a step that was killed halfway and tried again", "foundry/a", statements, 1},
		{"tried once more", "foundry/a", statements, 0},
		{"another run for the same image", "foundry/b", statements, 2},
	}
	for _, tt := range tests {
		signed = 0
		added, err := cosign.Attest(ctx, ref, tt.run, tt.statements, sign, opts...)
		if err != nil || len(added) != tt.added || signed != tt.added {
			t.Fatalf("%s: added %v, signed %d, %v", tt.name, added, signed, err)
		}
	}
	got, err := cosign.Attestations(ctx, ref, opts...)
	if err != nil {
		t.Fatal(err)
	}
	var runs []string
	for _, a := range got {
		runs = append(runs, a.Run+" "+a.PredicateType)
	}
	first, second := statements[0].PredicateType, statements[1].PredicateType
	want := []string{"foundry/a " + first, "foundry/a " + second, "foundry/b " + first, "foundry/b " + second}
	if diff := cmp.Diff(want, runs); diff != "" {
		t.Error(diff)
	}

	t.Run("cosign agrees", func(t *testing.T) {
		key, err := cosign.Verifier(public)
		if err != nil {
			t.Fatal(err)
		}
		_, foreign := keyPair(t)
		check := func(opt *upstream.CheckOpts) (int, error) {
			opt.IgnoreTlog, opt.IgnoreSCT, opt.ClaimVerifier = true, true, upstream.IntotoSubjectClaimVerifier
			opt.RegistryClientOpts = []ociremote.Option{ociremote.WithRemoteOptions(opts...)}
			atts, _, err := upstream.VerifyImageAttestations(ctx, ref, opt)
			return len(atts), err
		}
		if n, err := check(&upstream.CheckOpts{SigVerifier: key}); err != nil || n != len(want) {
			t.Errorf("%d attestations, %v", n, err)
		}
		if n, err := check(&upstream.CheckOpts{SigVerifier: foreign}); err == nil {
			t.Errorf("a foreign key verified %d attestations", n)
		}
	})
	t.Run("without credentials", func(t *testing.T) {
		reader, err := image.Access{CA: ca}.Options(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := cosign.Attest(ctx, ref, "foundry/c", statements, sign, reader...); err == nil {
			t.Error("attested without the right to write")
		}
	})
}

func about(digest string) attest.About {
	return attest.About{
		Image: "registry.example/druppie/drone-service", Digest: digest, Repository: "druppie/drone-service",
		Commit: "0123456789012345678901234567890123456789", Run: "foundry/a",
	}
}
