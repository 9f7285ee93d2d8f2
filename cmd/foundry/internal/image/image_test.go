package image_test

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/druppie/druppie-up/cmd/foundry/internal/credentials"
	"github.com/druppie/druppie-up/cmd/foundry/internal/foundrytest"
	"github.com/druppie/druppie-up/cmd/foundry/internal/image"
	"github.com/druppie/druppie-up/internal/httpclient"
)

func archive(t *testing.T) string {
	t.Helper()
	img, err := random.Image(1024, 2)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "image.tar")
	tag, err := name.NewTag("registry.example/service:abc")
	if err != nil {
		t.Fatal(err)
	}
	if err := tarball.WriteToFile(path, tag, img); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestPush(t *testing.T) {
	host, ca := foundrytest.Registry(t)
	tar := archive(t)
	ref, err := image.Push(context.Background(), tar, host+"/druppie/drone-service", image.Access{CA: ca, Credentials: &foundrytest.Writer})
	if err != nil {
		t.Fatal(err)
	}
	want := digestOf(t, tar)
	if ref.DigestStr() != want.String() || ref.Context().Name() != host+"/druppie/drone-service" {
		t.Errorf("pushed %s, want digest %s", ref, want)
	}
	// Reading wants no credentials, and there is no tag.
	opts, err := image.Access{CA: ca}.Options(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	got, err := remote.Head(ref, opts...)
	if err != nil || got.Digest != want {
		t.Errorf("registry has %v, %v", got, err)
	}
	tags, err := remote.List(ref.Context(), opts...)
	if err != nil || len(tags) != 0 {
		t.Errorf("tags %v, %v", tags, err)
	}
	// Again is the same.
	again, err := image.Push(context.Background(), tar, host+"/druppie/drone-service", image.Access{CA: ca, Credentials: &foundrytest.Writer})
	if err != nil || again != ref {
		t.Errorf("again: %s, %v", again, err)
	}
}

func digestOf(t *testing.T, tar string) v1.Hash {
	t.Helper()
	img, err := tarball.ImageFromPath(tar, nil)
	if err != nil {
		t.Fatal(err)
	}
	d, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestPushRefused(t *testing.T) {
	host, ca := foundrytest.Registry(t)
	tar := archive(t)
	tests := []struct {
		name   string
		tar    string
		repo   string
		access image.Access
		want   string
	}{
		{"wrong CA", tar, host + "/a/b", image.Access{CA: foundrytest.ForeignCA(t), Credentials: &foundrytest.Writer}, "certificate"},
		{"no credentials", tar, host + "/a/b", image.Access{CA: ca}, "401"},
		{"wrong password", tar, host + "/a/b", image.Access{CA: ca, Credentials: &credentials.Basic{Username: "writer", Password: "x"}}, "401"},
		{"a tag", tar, host + "/a/b:latest", image.Access{CA: ca, Credentials: &foundrytest.Writer}, "repository"},
		{"nothing built", tar + ".missing", host + "/a/b", image.Access{CA: ca, Credentials: &foundrytest.Writer}, "read the built image"},
		{"no CA", tar, host + "/a/b", image.Access{Credentials: &foundrytest.Writer}, "no certificate"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := image.Push(context.Background(), tt.tar, tt.repo, tt.access)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
		})
	}
	t.Run("the cause of a wrong CA is an error that callers recognise", func(t *testing.T) {
		_, err := image.Push(context.Background(), tar, host+"/a/b", image.Access{CA: foundrytest.ForeignCA(t), Credentials: &foundrytest.Writer})
		var unknown x509.UnknownAuthorityError
		if !errors.As(err, &unknown) && !strings.Contains(err.Error(), "unknown authority") {
			t.Errorf("got %v", err)
		}
	})
}

// TestNoPlainHTTP: go-containerregistry falls back to http for loopback, and for
// names that end in .local, as the foundry's registry does.
func TestNoPlainHTTP(t *testing.T) {
	plain := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer plain.Close()
	host := strings.TrimPrefix(plain.URL, "http://")
	tar := archive(t)

	// The control: by itself the library does push there, unasked.
	img, err := tarball.ImageFromPath(tar, nil)
	if err != nil {
		t.Fatal(err)
	}
	repo, err := name.NewRepository(host + "/a/control")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(repo.Tag("x"), img); err != nil {
		t.Fatalf("the control doesn't work: %v", err)
	}
	reg, err := name.NewRegistry("registry.foundry.svc.cluster.local:5000")
	if err != nil || reg.Scheme() != "http" {
		t.Fatalf("the registry's name isn't one that falls back: %s, %v", reg.Scheme(), err)
	}

	_, ca := foundrytest.Registry(t)
	_, err = image.Push(context.Background(), tar, host+"/a/b", image.Access{CA: ca, Credentials: &foundrytest.Writer})
	if err == nil || !strings.Contains(err.Error(), httpclient.ErrPlainHTTP.Error()) {
		t.Errorf("got %v, want the refusal of plain http", err)
	}
}

func TestDigest(t *testing.T) {
	const digest = "sha256:0000000000000000000000000000000000000000000000000000000000000000"
	tests := []struct {
		name, ref string
		ok        bool
	}{
		{"digest", "registry.example:5000/a/b@" + digest, true},
		{"tag", "registry.example:5000/a/b:1", false},
		{"nothing", "registry.example:5000/a/b", false},
		{"short digest", "registry.example:5000/a/b@sha256:00", false},
		{"empty", "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := image.Digest(tt.ref); (err == nil) != tt.ok {
				t.Errorf("got %v", err)
			}
		})
	}
}
