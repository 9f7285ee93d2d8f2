package cosign_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/secure-systems-lab/go-securesystemslib/encrypted"
	upstream "github.com/sigstore/cosign/v2/pkg/cosign"
	ociremote "github.com/sigstore/cosign/v2/pkg/oci/remote"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"

	"github.com/druppie/druppie-up/cmd/foundry/internal/cosign"
	"github.com/druppie/druppie-up/cmd/foundry/internal/foundrytest"
	"github.com/druppie/druppie-up/cmd/foundry/internal/image"
)

const password = "correct horse"

// newKey makes a key pair in the form that the platform keeps it.
func newKey(t *testing.T) (private, public []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	encryptedKey, err := encrypted.Encrypt(der, []byte(password))
	if err != nil {
		t.Fatal(err)
	}
	public, err = cryptoutils.MarshalPublicKeyToPEM(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED SIGSTORE PRIVATE KEY", Bytes: encryptedKey}), public
}

func keyPair(t *testing.T) (*ecdsa.PrivateKey, signature.Verifier) {
	t.Helper()
	private, public := newKey(t)
	key, err := cosign.PrivateKey(private, []byte(password))
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := cosign.Verifier(public)
	if err != nil {
		t.Fatal(err)
	}
	return key, verifier
}

func pushed(t *testing.T, host string, opts []remote.Option) name.Digest {
	t.Helper()
	img, err := random.Image(256, 1)
	if err != nil {
		t.Fatal(err)
	}
	d, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	ref, err := name.NewDigest(host + "/druppie/drone-service@" + d.String())
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, img, opts...); err != nil {
		t.Fatal(err)
	}
	return ref
}

func TestSignAndVerify(t *testing.T) {
	ctx := context.Background()
	host, ca := foundrytest.Registry(t)
	opts, err := image.Access{CA: ca, Credentials: &foundrytest.Writer}.Options(ctx)
	if err != nil {
		t.Fatal(err)
	}
	ref, other := pushed(t, host, opts), pushed(t, host, opts)
	signer, verifier := keyPair(t)
	foreignSigner, foreign := keyPair(t)
	annotations := map[string]string{"druppie.io/commit": "abc"}

	if err := cosign.Verify(ctx, ref, verifier, nil, opts...); !errors.Is(err, cosign.ErrNotSigned) {
		t.Errorf("unsigned: %v", err)
	}
	for i, wantAdded := range []bool{true, false} {
		added, err := cosign.Sign(ctx, ref, signer, annotations, opts...)
		if err != nil || added != wantAdded {
			t.Fatalf("time %d: added %v, %v", i, added, err)
		}
	}
	tag := ref.Context().Tag(strings.Replace(ref.DigestStr(), ":", "-", 1) + ".sig")
	if _, err := remote.Head(tag, opts...); err != nil {
		t.Errorf("no signature in the .sig form: %v", err)
	}
	tests := []struct {
		name        string
		ref         name.Digest
		key         signature.Verifier
		annotations map[string]string
		want        string // empty: valid
	}{
		{"the foundry's", ref, verifier, nil, ""},
		{"with the commit", ref, verifier, annotations, ""},
		{"another commit", ref, verifier, map[string]string{"druppie.io/commit": "def"}, "not def"},
		{"an annotation that it lacks", ref, verifier, map[string]string{"druppie.io/repository": "x/y"}, "not x/y"},
		{"a foreign key", ref, foreign, nil, "made with another key"},
		{"another image", other, verifier, nil, "none at all"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := cosign.Verify(ctx, tt.ref, tt.key, tt.annotations, opts...)
			switch {
			case tt.want == "" && err != nil:
				t.Error(err)
			case tt.want != "" && (!errors.Is(err, cosign.ErrNotSigned) || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("got %v, want one with %q", err, tt.want)
			}
		})
	}
	t.Run("a signature moved to another image", func(t *testing.T) {
		sig, err := remote.Image(tag, opts...)
		if err != nil {
			t.Fatal(err)
		}
		moved := ref.Context().Tag(strings.Replace(other.DigestStr(), ":", "-", 1) + ".sig")
		if err := remote.Write(moved, sig, opts...); err != nil {
			t.Fatal(err)
		}
		if err := cosign.Verify(ctx, other, verifier, nil, opts...); !errors.Is(err, cosign.ErrNotSigned) || !strings.Contains(err.Error(), "another image") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a foreign signature beside ours", func(t *testing.T) {
		if _, err := cosign.Sign(ctx, ref, foreignSigner, nil, opts...); err != nil {
			t.Fatal(err)
		}
		for _, key := range []signature.Verifier{verifier, foreign} {
			if err := cosign.Verify(ctx, ref, key, nil, opts...); err != nil {
				t.Error(err)
			}
		}
	})
	t.Run("cosign agrees", func(t *testing.T) { cosignAgrees(t, ref, verifier, opts) })
	t.Run("without credentials", func(t *testing.T) {
		reader, err := image.Access{CA: ca}.Options(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := cosign.Sign(ctx, pushed(t, host, opts), signer, nil, reader...); err == nil || !strings.Contains(err.Error(), "401") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("an image that isn't there", func(t *testing.T) {
		missing := ref.Context().Digest("sha256:" + strings.Repeat("0", 64))
		if _, err := cosign.Sign(ctx, missing, signer, nil, opts...); err == nil {
			t.Error("signed what the registry doesn't have")
		}
	})
}

// cosignAgrees verifies the way the admission controller does.
func cosignAgrees(t *testing.T, ref name.Digest, key signature.Verifier, opts []remote.Option) {
	t.Helper()
	sigs, _, err := upstream.VerifyImageSignatures(context.Background(), ref, &upstream.CheckOpts{
		SigVerifier: key, IgnoreTlog: true, IgnoreSCT: true, ClaimVerifier: upstream.SimpleClaimVerifier,
		RegistryClientOpts: []ociremote.Option{ociremote.WithRemoteOptions(opts...)},
	})
	if err != nil || len(sigs) != 1 {
		t.Errorf("%d signatures, %v", len(sigs), err)
	}
}

func TestPrivateKey(t *testing.T) {
	private, public := newKey(t)
	plain, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	plainDER, err := x509.MarshalPKCS8PrivateKey(plain)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name          string
		key, password []byte
		want          string
	}{
		{"good", private, []byte(password), ""},
		{"wrong password", private, []byte("x"), "wrong password"},
		{"public key", public, []byte(password), "isn't an encrypted cosign key"},
		{"not encrypted", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: plainDER}), nil, "isn't an encrypted cosign key"},
		{"nothing", nil, nil, "no PEM block"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := cosign.PrivateKey(tt.key, tt.password)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
	if _, err := cosign.Verifier(private); err == nil {
		t.Error("a private key passed for a public one")
	}
}
