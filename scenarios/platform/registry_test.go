package platform

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
)

func TestSignatureIsOfOneKeyAndOneDigest(t *testing.T) {
	digest := func(c string) name.Digest {
		d, err := name.NewDigest(Repository("drone-service") + "@sha256:" + strings.Repeat(c, 64))
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
	ours := key()
	sig, err := signature(digest("a"), ours)
	if err != nil {
		t.Fatal(err)
	}
	if err := verify(sig, digest("a"), &ours.PublicKey); err != nil {
		t.Errorf("our own signature: %v", err)
	}
	if err := verify(sig, digest("a"), &key().PublicKey); !errors.Is(err, ErrNotSigned) {
		t.Errorf("another key: got %v", err)
	}
	if err := verify(sig, digest("b"), &ours.PublicKey); !errors.Is(err, ErrNotSigned) {
		t.Errorf("another digest: got %v", err)
	}
	if got, want := signatureTag(digest("a")), "sha256-"+strings.Repeat("a", 64)+".sig"; got != want {
		t.Errorf("got tag %s, want %s", got, want)
	}
}
