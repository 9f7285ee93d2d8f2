package platform

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

func TestSignatureIsOfOneKeyAndOneDigest(t *testing.T) {
	p := foundry(t)
	digest := func(ref string, err error) name.Digest {
		if err != nil {
			t.Fatal(err)
		}
		d, err := name.NewDigest(ref)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	key := func() *ecdsa.PrivateKey {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	signed := digest(seed(t, p), nil)
	other := digest(p.PushVariant(t.Context(), signed.String(), "other"))
	ours := key()
	if err := p.sign(t.Context(), signed, ours); err != nil {
		t.Fatal(err)
	}
	if err := p.verify(t.Context(), signed, &ours.PublicKey); err != nil {
		t.Errorf("our own signature: %v", err)
	}
	if err := p.verify(t.Context(), signed, &key().PublicKey); !errors.Is(err, ErrNotSigned) {
		t.Errorf("another key: got %v", err)
	}
	if err := p.verify(t.Context(), other, &ours.PublicKey); !errors.Is(err, ErrNotSigned) {
		t.Errorf("another digest: got %v", err)
	}
	// A signature that is put beside another image.
	sig, err := remote.Image(signed.Context().Tag(signatureTag(signed)), p.read(t.Context())...)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.writeImage(t.Context(), other.Context().Tag(signatureTag(other)), sig); err != nil {
		t.Fatal(err)
	}
	if err := p.verify(t.Context(), other, &ours.PublicKey); !errors.Is(err, ErrNotSigned) {
		t.Errorf("another image's signature: got %v", err)
	}
}

// signatureTag is where cosign keeps an image's signatures.
func signatureTag(d name.Digest) string {
	return strings.Replace(d.DigestStr(), ":", "-", 1) + ".sig"
}
