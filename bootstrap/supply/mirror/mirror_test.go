package mirror_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/druppie/druppie-up/bootstrap/supply/mirror"
	"github.com/druppie/druppie-up/bootstrap/supply/store"
)

type fixture struct {
	store *store.Store
	url   string
	log   *bytes.Buffer
}

func serve(t *testing.T) fixture {
	t.Helper()
	store, err := store.Open(filepath.Join(t.TempDir(), "store"))
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	h := mirror.New(store.Dir(), slog.New(slog.NewTextHandler(&log, nil)))
	if err := h.Check(); err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return fixture{store, srv.URL, &log}
}

func (f fixture) put(t *testing.T, ref string) v1.Image {
	t.Helper()
	img, err := random.Image(4096, 2)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.store.PutImage(ref, img, nil); err != nil {
		t.Fatal(err)
	}
	return img
}

func get(t *testing.T, method, url string, header ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

func digestOf(t *testing.T, img v1.Image) string {
	t.Helper()
	d, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return d.String()
}

func TestHostsWithEqualPaths(t *testing.T) {
	f := serve(t)
	hub := f.put(t, "docker.io/library/tool:1")
	quay := f.put(t, "quay.io/library/tool:1")
	ported := f.put(t, "registry.example:5000/library/tool:1")
	tests := []struct {
		name, path string
		want       string // digest; empty is 404
	}{
		{"no ns is docker.io", "library/tool/manifests/1", digestOf(t, hub)},
		{"docker.io", "library/tool/manifests/1?ns=docker.io", digestOf(t, hub)},
		{"docker's other name", "library/tool/manifests/1?ns=registry-1.docker.io", digestOf(t, hub)},
		{"quay", "library/tool/manifests/1?ns=quay.io", digestOf(t, quay)},
		{"with port", "library/tool/manifests/1?ns=registry.example:5000", digestOf(t, ported)},
		{"host in the path", "quay.io/library/tool/manifests/1", digestOf(t, quay)},
		{"by digest", "library/tool/manifests/" + digestOf(t, quay) + "?ns=quay.io", digestOf(t, quay)},
		{"another host's digest", "library/tool/manifests/" + digestOf(t, quay) + "?ns=docker.io", ""},
		{"unknown host", "library/tool/manifests/1?ns=ghcr.io", ""},
		{"unknown tag", "library/tool/manifests/2?ns=quay.io", ""},
		{"unknown name", "library/tools/manifests/1?ns=quay.io", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, method := range []string{"GET", "HEAD"} {
				resp, body := get(t, method, f.url+"/v2/"+tt.path)
				if tt.want == "" {
					if resp.StatusCode != http.StatusNotFound || method == "GET" && !strings.Contains(body, "MANIFEST_UNKNOWN") {
						t.Errorf("%s: %s %s", method, resp.Status, body)
					}
					continue
				}
				if got := resp.Header.Get("Docker-Content-Digest"); resp.StatusCode != http.StatusOK || got != tt.want {
					t.Errorf("%s: %s, digest %s, want %s", method, resp.Status, got, tt.want)
				}
				if method == "HEAD" && (resp.ContentLength <= 0 || body != "") {
					t.Errorf("HEAD: length %d, body %q", resp.ContentLength, body)
				}
			}
		})
	}
}

func TestPullWhole(t *testing.T) {
	f := serve(t)
	want := f.put(t, "docker.io/library/tool:1")
	ref, err := name.ParseReference(strings.TrimPrefix(f.url, "http://")+"/docker.io/library/tool:1", name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	img, err := remote.Image(ref)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(img); err != nil {
		t.Error(err)
	}
	if digestOf(t, img) != digestOf(t, want) {
		t.Error("pulled another image")
	}
}

func TestIndexAndItsImage(t *testing.T) {
	f := serve(t)
	img, err := random.Image(512, 1)
	if err != nil {
		t.Fatal(err)
	}
	d, _ := img.Digest()
	size, _ := img.Size()
	raw, err := json.Marshal(v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []v1.Descriptor{{
		MediaType: types.DockerManifestSchema2, Digest: d, Size: size,
		Platform: &v1.Platform{OS: "linux", Architecture: runtime.GOARCH},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.store.PutImage("ghcr.io/a/cc:1", img, nil); err != nil { // brings the blobs
		t.Fatal(err)
	}
	manifest, err := img.RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	h, indexSize, err := v1.SHA256(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	e, err := f.store.PutManifests("ghcr.io/a/bb:1", []store.Manifest{
		{Descriptor: v1.Descriptor{MediaType: types.OCIImageIndex, Digest: h, Size: indexSize}, Raw: raw},
		{Descriptor: v1.Descriptor{MediaType: types.DockerManifestSchema2, Digest: d, Size: size}, Raw: manifest},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for ref, mt := range map[string]string{
		"1":                          string(types.OCIImageIndex),
		e.Descriptor.Digest.String(): string(types.OCIImageIndex),
		d.String():                   string(types.DockerManifestSchema2),
	} {
		resp, _ := get(t, "GET", f.url+"/v2/a/bb/manifests/"+ref+"?ns=ghcr.io")
		if got := resp.Header.Get("Content-Type"); resp.StatusCode != http.StatusOK || got != mt {
			t.Errorf("%s: %s, type %q, want %q", ref, resp.Status, got, mt)
		}
	}
}

func TestBlobRange(t *testing.T) {
	f := serve(t)
	img := f.put(t, "docker.io/library/tool:1")
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	d, _ := layers[0].Digest()
	r, err := layers[0].Compressed()
	if err != nil {
		t.Fatal(err)
	}
	want, _ := io.ReadAll(r)
	url := f.url + "/v2/library/tool/blobs/" + d.String()
	if resp, body := get(t, "GET", url); resp.StatusCode != http.StatusOK || body != string(want) {
		t.Errorf("whole: %s, %d bytes", resp.Status, len(body))
	}
	resp, body := get(t, "GET", url, "Range", "bytes=100-")
	if resp.StatusCode != http.StatusPartialContent || body != string(want[100:]) {
		t.Errorf("range: %s, %d bytes, want %d", resp.Status, len(body), len(want)-100)
	}
}

func TestRefuses(t *testing.T) {
	f := serve(t)
	f.put(t, "docker.io/library/tool:1")
	zero := "sha256:" + strings.Repeat("0", 64)
	tests := []struct {
		method, path string
		want         int
	}{
		{"GET", "/v2/", http.StatusOK},
		{"PUT", "/v2/library/tool/manifests/1", http.StatusMethodNotAllowed},
		{"POST", "/v2/library/tool/blobs/uploads/", http.StatusMethodNotAllowed},
		{"DELETE", "/v2/library/tool/manifests/1", http.StatusMethodNotAllowed},
		{"GET", "/v2/library/tool/blobs/" + zero, http.StatusNotFound},
		{"GET", "/v2/library/tool/blobs/sha256:..%2f..%2findex.json", http.StatusNotFound},
		{"GET", "/v2/library/tool/blobs/index.json", http.StatusBadRequest},
		{"GET", "/index.json", http.StatusNotFound},
	}
	for _, tt := range tests {
		resp, body := get(t, tt.method, f.url+tt.path)
		if resp.StatusCode != tt.want {
			t.Errorf("%s %s: %s %s, want %d", tt.method, tt.path, resp.Status, body, tt.want)
		}
	}
}

// TestSeesChanges is what lets the cluster come up while images are built.
func TestSeesChanges(t *testing.T) {
	f := serve(t)
	url := f.url + "/v2/late/tool/manifests/1?ns=ghcr.io"
	for range 3 {
		if resp, _ := get(t, "GET", url); resp.StatusCode != http.StatusNotFound {
			t.Fatalf("before: %s", resp.Status)
		}
	}
	if n := strings.Count(f.log.String(), "not in the store"); n != 1 {
		t.Errorf("the missing image was logged %d times, want once:\n%s", n, f.log)
	}
	f.put(t, "ghcr.io/late/tool:1")
	if resp, _ := get(t, "GET", url); resp.StatusCode != http.StatusOK {
		t.Errorf("after: %s", resp.Status)
	}
}

func TestBrokenStore(t *testing.T) {
	f := serve(t)
	f.put(t, "docker.io/library/tool:1")
	if err := os.WriteFile(filepath.Join(f.store.Dir(), "index.json"), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	// Not 404: that would tell a kubelet that the image doesn't exist.
	if resp, _ := get(t, "GET", f.url+"/v2/library/tool/manifests/1"); resp.StatusCode != http.StatusInternalServerError {
		t.Errorf("damaged index: %s", resp.Status)
	}
	h := mirror.New(filepath.Join(t.TempDir(), "none"), slog.New(slog.DiscardHandler))
	if err := h.Check(); err == nil || errors.Is(err, os.ErrNotExist) {
		t.Errorf("Check of no store = %v", err)
	}
}
