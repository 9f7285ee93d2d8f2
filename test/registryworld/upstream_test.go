package registryworld

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// serve makes a store with one image under each name and serves it.
func serve(t *testing.T, refs ...string) (*upstream, string, v1.Image) {
	t.Helper()
	img, err := random.Image(corruptFrom, 2)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	store, err := layout.Write(dir, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	for _, ref := range refs {
		if err := store.AppendImage(img, layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": ref})); err != nil {
			t.Fatal(err)
		}
	}
	u, err := newUpstream(dir)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(u)
	t.Cleanup(srv.Close)
	return u, strings.TrimPrefix(srv.URL, "http://"), img
}

// TestUpstream pulls with a library that isn't ours.
func TestUpstream(t *testing.T) {
	u, host, img := serve(t, "quay.io/a/b:v1", "druppie.io/mirror:dev")
	u.throttled, u.corrupted = "before", "before"
	ref, err := name.ParseReference(host + "/quay.io/a/b:v1")
	if err != nil {
		t.Fatal(err)
	}
	index, err := remote.Index(ref)
	if err != nil {
		t.Fatal(err)
	}
	digest, err := index.Digest()
	if err != nil || u.images()["quay.io/a/b:v1"] != digest.String() {
		t.Errorf("the index is %s, %v; images says %v", digest, err, u.images())
	}
	got, err := remote.Image(ref, remote.WithPlatform(v1.Platform{OS: "linux", Architecture: runtime.GOARCH}))
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(got); err != nil {
		t.Error(err)
	}
	want, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if d, err := got.Digest(); err != nil || d != want {
		t.Errorf("the image is %s, %v, want %s", d, err, want)
	}
	if u.refused != nil {
		t.Errorf("refused %v", u.refused)
	}

	m, err := index.IndexManifest()
	if err != nil || len(m.Manifests) != 3 {
		t.Fatalf("the index is %v, %v, want 3 entries", m, err)
	}
	for _, absent := range []string{"quay.io/a/b@" + m.Manifests[0].Digest.String(), "quay.io/a/b@" + m.Manifests[2].Digest.String(),
		"quay.io/a/b:v2", "docker.io/a/b:v1", "druppie.io/mirror:dev"} {
		ref, err := name.ParseReference(host + "/" + absent)
		if err != nil {
			t.Fatal(err)
		}
		_, err = remote.Get(ref)
		if answer := (*transport.Error)(nil); !errors.As(err, &answer) || answer.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %v, want that it isn't found", absent, err)
		}
	}
	if len(u.refused) < 5 {
		t.Errorf("only %v are noted as refused", u.refused)
	}
}

func TestUpstreamMisbehavesOnce(t *testing.T) {
	u, host, img := serve(t, "quay.io/a/b:v1")
	get := func(path string) (*http.Response, []byte) {
		t.Helper()
		resp, err := http.Get("http://" + host + "/v2/quay.io/a/b/" + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp, body
	}
	if resp, _ := get("manifests/v1"); resp.StatusCode != http.StatusTooManyRequests || resp.Header.Get("Retry-After") == "" {
		t.Errorf("the first manifest: %s", resp.Status)
	}
	if resp, _ := get("manifests/v1"); resp.StatusCode != http.StatusOK {
		t.Errorf("the second manifest: %s", resp.Status)
	}
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	layer, err := layers[0].Digest()
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []bool{false, true} {
		_, body := get("blobs/" + layer.String())
		got, _, err := v1.SHA256(strings.NewReader(string(body)))
		if err != nil || (got == layer) != want {
			t.Errorf("time %d: the blob is right: %v, want %v (%v)", i+1, got == layer, want, err)
		}
	}
	if u.corrupted != layer.String() || u.served["/v2/quay.io/a/b/blobs/"+layer.String()] != 1 {
		t.Errorf("noted as corrupted: %q, as served: %v", u.corrupted, u.served)
	}
}
