package store

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/druppie/druppie-up/bootstrap/supply/store/imagetest"
	"github.com/druppie/druppie-up/internal/ui"
)

func openStore(t *testing.T) *Store {
	t.Helper()
	s, err := Open(filepath.Join(t.TempDir(), "store"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// putIndex brings an image in as a supply that pulls does: its blobs, then the
// manifests.
func putIndex(t *testing.T, s *Store, ref string, raw []byte, img v1.Image) (Entry, error) {
	t.Helper()
	if err := s.writeImage(img); err != nil {
		t.Fatal(err)
	}
	manifest, err := img.RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	return s.PutManifests(ref, []Manifest{describe(t, types.OCIImageIndex, raw), describe(t, types.DockerManifestSchema2, manifest)}, nil)
}

func describe(t *testing.T, mt types.MediaType, raw []byte) Manifest {
	t.Helper()
	h, size, err := v1.SHA256(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	return Manifest{Descriptor: v1.Descriptor{MediaType: mt, Digest: h, Size: size}, Raw: raw}
}

func TestPutImage(t *testing.T) {
	s := openStore(t)
	img := imagetest.Random(t)
	put, err := s.PutImage("docker.io/library/registry:3.1.2", img, map[string]string{"note": "x"})
	if err != nil {
		t.Fatal(err)
	}
	digest := imagetest.Digest(t, img)
	for _, ref := range []string{
		"docker.io/library/registry:3.1.2",
		"registry:3.1.2",
		"docker.io/library/registry@" + digest,
		"docker.io/library/registry:3.1.2@" + digest,
	} {
		got, err := s.Entry(ref)
		if err != nil {
			t.Fatalf("Entry(%s): %v", ref, err)
		}
		if d := cmp.Diff(put, got); d != "" {
			t.Errorf("Entry(%s): %s", ref, d)
		}
	}
	back, err := s.Image("docker.io/library/registry:3.1.2")
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(back); err != nil {
		t.Error(err)
	}
	for _, ref := range []string{
		"docker.io/library/registry:3",
		"ghcr.io/library/registry:3.1.2",
		"docker.io/library/registry:3.1.2@sha256:" + strings.Repeat("00", 32),
	} {
		if _, err := s.Entry(ref); !errors.Is(err, ErrNotFound) {
			t.Errorf("Entry(%s) = %v, want ErrNotFound", ref, err)
		}
	}
	for _, ref := range []string{"", "UPPER/case:1", "a@sha256:short", "x@" + digest} {
		if _, err := s.PutImage(ref, img, nil); err == nil {
			t.Errorf("PutImage(%q) took a bad name", ref)
		}
	}
}

func TestPutImageReplaces(t *testing.T) {
	s := openStore(t)
	var img v1.Image
	for range 2 {
		img = imagetest.Random(t)
		if _, err := s.PutImage("druppie.io/mirror:dev", img, nil); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := s.Entries()
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 1 || entries[0].Descriptor.Digest.String() != imagetest.Digest(t, img) {
		t.Errorf("entries = %+v, want the second image alone", entries)
	}
	if err := s.Remove("druppie.io/mirror:dev"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Entry("druppie.io/mirror:dev"); !errors.Is(err, ErrNotFound) {
		t.Errorf("after Remove: %v", err)
	}
}

func TestPutManifests(t *testing.T) {
	s := openStore(t)
	img := imagetest.Random(t)
	raw := imagetest.Index(t, img)
	e, err := putIndex(t, s, "quay.io/a/b:v1", raw, img)
	if err != nil {
		t.Fatal(err)
	}
	want, _, _ := v1.SHA256(bytes.NewReader(raw))
	if e.Descriptor.Digest != want {
		t.Errorf("entry has %s, want upstream's index digest %s", e.Descriptor.Digest, want)
	}
	back, err := s.Image("quay.io/a/b@" + want.String())
	if err != nil {
		t.Fatal(err)
	}
	if imagetest.Digest(t, back) != imagetest.Digest(t, img) {
		t.Error("the index's image for this machine is another one")
	}
	if _, err := putIndex(t, openStore(t), "quay.io/a/b:v2", raw, imagetest.Random(t)); err == nil {
		t.Error("an index whose image is missing was taken")
	}
}

func TestDamagedIndex(t *testing.T) {
	s := openStore(t)
	if _, err := s.PutImage("a.example/tool:1", imagetest.Random(t), nil); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.path("index.json"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Entries(); err == nil || ui.Hint(err) == "" {
		t.Errorf("Entries = %v", err)
	}
	if err := os.Remove(s.path("index.json")); err != nil { // as the hint says
		t.Fatal(err)
	}
	s, err := Open(s.Dir())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.PutImage("a.example/tool:1", imagetest.Random(t), nil); err != nil {
		t.Fatal(err)
	}
}

// badLayer promises the digest of one layer and gives the bytes of another.
type badLayer struct {
	v1.Layer
	bytes v1.Layer
}

func (l badLayer) Compressed() (io.ReadCloser, error) { return l.bytes.Compressed() }

func TestPutRefusesWrongBytes(t *testing.T) {
	s := openStore(t)
	good, err := random.Layer(512, types.OCILayer)
	if err != nil {
		t.Fatal(err)
	}
	other, err := random.Layer(512, types.OCILayer)
	if err != nil {
		t.Fatal(err)
	}
	img, err := mutate.AppendLayers(empty.Image, badLayer{good, other})
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.PutImage("a.example/pb:c", img, nil)
	var bad *DigestError
	if !errors.As(err, &bad) {
		t.Errorf("PutImage = %v, want a DigestError", err)
	}
	if _, err := s.Entry("a.example/pb:c"); !errors.Is(err, ErrNotFound) {
		t.Errorf("a broken image got its name: %v", err)
	}
	left, err := os.ReadDir(s.path("tmp"))
	if err != nil || len(left) != 0 {
		t.Errorf("left in tmp: %v, %v", left, err)
	}
}

func TestFiles(t *testing.T) {
	s := openStore(t)
	layer := layerOf(t, tarOf(t, map[string]string{"config/crd/a.yaml": "a", "b.yaml": "b"}))
	img, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.PutImage("druppie.io/sources/flux:v1", img, nil); err != nil {
		t.Fatal(err)
	}
	fsys, err := s.Files("druppie.io/sources/flux:v1")
	if err != nil {
		t.Fatal(err)
	}
	if err := fstest.TestFS(fsys, "config/crd/a.yaml", "b.yaml"); err != nil {
		t.Error(err)
	}
	evil, err := mutate.AppendLayers(empty.Image, layerOf(t, tarOf(t, map[string]string{"../up": "x"})))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.PutImage("druppie.io/sources/evil:v1", evil, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Files("druppie.io/sources/evil:v1"); err == nil {
		t.Error("a file outside of the root was taken")
	}
}

func TestVerify(t *testing.T) {
	s := openStore(t)
	img := imagetest.Random(t)
	if _, err := putIndex(t, s, "a.example/multi:1", imagetest.Index(t, img), img); err != nil {
		t.Fatal(err)
	}
	if _, err := s.PutImage("a.example/fine:1", imagetest.Random(t), nil); err != nil {
		t.Fatal(err)
	}
	check := func(want ...string) {
		t.Helper()
		problems, err := s.Verify(t.Context(), VerifyOptions{})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, p := range problems {
			got = append(got, p.Ref+" "+p.Digest)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
	}
	check() // the other platform's image is not missed
	layers := imagetest.LayerDigests(t, img)
	h, err := v1.NewHash(layers[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(s.blobPath(h), 5); err != nil {
		t.Fatal(err)
	}
	check("a.example/multi:1 " + layers[0])
	child, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(s.blobPath(child)); err != nil {
		t.Fatal(err)
	}
	check("a.example/multi:1 " + child.String())
}

// TestManyProcesses has this test binary write one store from several processes
// at once: no name may get lost.
func TestManyProcesses(t *testing.T) {
	const each = 8
	if dir := os.Getenv("SUPPLY_TEST_STORE"); dir != "" {
		s, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		for i := range each {
			ref := fmt.Sprintf("a.example/p%s:%d", os.Getenv("SUPPLY_TEST_ID"), i)
			if _, err := s.PutImage(ref, imagetest.Random(t), nil); err != nil {
				t.Fatal(err)
			}
		}
		return
	}
	dir := filepath.Join(t.TempDir(), "store")
	var procs []*exec.Cmd
	for i := range 3 {
		c := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestManyProcesses$")
		c.Env = append(os.Environ(), "SUPPLY_TEST_STORE="+dir, fmt.Sprint("SUPPLY_TEST_ID=", i))
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		procs = append(procs, c)
	}
	for _, c := range procs {
		if err := c.Wait(); err != nil {
			t.Error(err)
		}
	}
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	entries, err := s.Entries()
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 3*each {
		t.Errorf("%d entries, want %d", len(entries), 3*each)
	}
}

func tarOf(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for name, data := range files {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(data))}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func layerOf(t *testing.T, tar []byte) v1.Layer {
	t.Helper()
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(tar)), nil })
	if err != nil {
		t.Fatal(err)
	}
	return l
}
