package seal_test

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/sigstore/cosign/v2/pkg/cosign"
	ociremote "github.com/sigstore/cosign/v2/pkg/oci/remote"

	"github.com/druppie/druppie-up/cmd/foundry/internal/image"
	"github.com/druppie/druppie-up/cmd/foundry/internal/seal"
	"github.com/druppie/druppie-up/cmd/foundry/internal/testbed"
	"github.com/druppie/druppie-up/tracedb/attest"
)

func TestAttest(t *testing.T) {
	ctx := context.Background()
	host, ca := testbed.Registry(t)
	opts, err := image.Access{CA: ca, Credentials: &testbed.Writer}.Options(ctx)
	if err != nil {
		t.Fatal(err)
	}
	ref := pushed(t, host, opts)
	private, public := newKey(t)
	signer, err := seal.PrivateKey(private, []byte(password))
	if err != nil {
		t.Fatal(err)
	}
	statements := map[string]attest.Statement{}
	var predicates []string
	for _, st := range []attest.Statement{
		attest.Provenance(about(ref.DigestStr()), attest.Build{Builder: "https://druppie.io/foundry/release"}),
		attest.TestResult(about(ref.DigestStr()), attest.Tests{Suite: "unit tests", Passed: []string{"12 unit tests"}}),
	} {
		statements[st.PredicateType] = st
		predicates = append(predicates, st.PredicateType)
	}
	made := 0
	sign := func(predicate string) (json.RawMessage, error) {
		made++
		return attest.Sign(signer, statements[predicate])
	}

	if got, err := seal.Attestations(ctx, ref, opts...); err != nil || len(got) != 0 {
		t.Fatalf("before: %d, %v", len(got), err)
	}
	tests := []struct {
		name       string
		run        string
		predicates []string
		added      int
	}{
		{"the first of a run", "foundry/a", predicates[:1], 1},
		{"a step that was killed halfway and tried again", "foundry/a", predicates, 1},
		{"tried once more", "foundry/a", predicates, 0},
		{"another run for the same image", "foundry/b", predicates, 2},
	}
	for _, tt := range tests {
		made = 0
		added, err := seal.Attest(ctx, ref, tt.run, tt.predicates, sign, opts...)
		if err != nil || len(added) != tt.added || made != tt.added {
			t.Fatalf("%s: added %v, made %d, %v", tt.name, added, made, err)
		}
	}
	got, err := seal.Attestations(ctx, ref, opts...)
	if err != nil {
		t.Fatal(err)
	}
	var runs []string
	for _, a := range got {
		runs = append(runs, a.Run+" "+a.PredicateType)
	}
	want := []string{"foundry/a " + predicates[0], "foundry/a " + predicates[1], "foundry/b " + predicates[0], "foundry/b " + predicates[1]}
	if diff := cmp.Diff(want, runs); diff != "" {
		t.Error(diff)
	}

	t.Run("cosign agrees", func(t *testing.T) {
		key, err := seal.Verifier(public)
		if err != nil {
			t.Fatal(err)
		}
		_, foreign := keyPair(t)
		check := func(opt *cosign.CheckOpts) (int, error) {
			opt.IgnoreTlog, opt.IgnoreSCT, opt.ClaimVerifier = true, true, cosign.IntotoSubjectClaimVerifier
			opt.RegistryClientOpts = []ociremote.Option{ociremote.WithRemoteOptions(opts...)}
			atts, _, err := cosign.VerifyImageAttestations(ctx, ref, opt)
			return len(atts), err
		}
		if n, err := check(&cosign.CheckOpts{SigVerifier: key}); err != nil || n != len(want) {
			t.Errorf("%d attestations, %v", n, err)
		}
		if n, err := check(&cosign.CheckOpts{SigVerifier: foreign}); err == nil {
			t.Errorf("a foreign key verified %d attestations", n)
		}
	})
	t.Run("without credentials", func(t *testing.T) {
		reader, err := image.Access{CA: ca}.Options(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := seal.Attest(ctx, ref, "foundry/c", predicates, sign, reader...); err == nil {
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
