package supply

import (
	"archive/zip"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/druppie/druppie-up/bootstrap/component"
	"github.com/druppie/druppie-up/internal/names"
	"github.com/druppie/druppie-up/internal/ui"
)

func TestPack(t *testing.T) {
	bin := t.TempDir()
	self, err := os.ReadFile(os.Args[0]) // a Go program with its list of modules
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, more string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(bin, name), append(self[:len(self):len(self)], more...), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	s := openStore(t)
	write("mirror", "m")
	write("foundry", "f")
	write("tracedb", "t")
	if err := Pack(s, bin); err == nil || ui.Hint(err) == "" {
		t.Errorf("a missing program: %v", err)
	}
	write("podnet", "p")
	if err := Pack(s, bin); err != nil {
		t.Fatal(err)
	}
	first, err := s.Entries()
	if err != nil {
		t.Fatal(err)
	}
	other := openStore(t)
	if err := Pack(other, bin); err != nil {
		t.Fatal(err)
	}
	second, err := other.Entries()
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(first, second); d != "" || len(first) != 8 {
		t.Errorf("the same programs make other images: %s", d)
	}
	for program, user := range map[string]string{"mirror": "65532:65532", "foundry": "65532:65532", "tracedb": "65532:65532", "podnet": "0:0"} {
		img, err := s.Image(names.OwnImage(program))
		if err != nil {
			t.Fatal(err)
		}
		config, err := img.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		if config.Config.User != user || config.Config.Entrypoint[0] != "/"+program || config.OS != "linux" {
			t.Errorf("%s: %+v", program, config)
		}
	}
	parts, err := s.Image(names.OwnImage("mirror") + ".sbom")
	if err != nil {
		t.Fatal(err)
	}
	layers, err := parts.Layers()
	if err != nil {
		t.Fatal(err)
	}
	r, err := layers[0].Compressed()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if raw, err := io.ReadAll(r); err != nil || !strings.Contains(string(raw), "pkg:golang/std@") {
		t.Errorf("parts: %s, %v", raw, err)
	}
	write("foundry", "changed")
	if err := Pack(s, bin); err != nil {
		t.Fatal(err)
	}
	third, err := s.Entries()
	if err != nil {
		t.Fatal(err)
	}
	var changed []string
	for i := range third {
		if third[i].Descriptor.Digest != first[i].Descriptor.Digest {
			changed = append(changed, third[i].Ref) // its parts stay what they were
		}
	}
	if d := cmp.Diff([]string{"druppie.io/foundry:dev"}, changed); d != "" {
		t.Error(d)
	}
	freed, err := s.GC()
	if err != nil || freed == 0 {
		t.Errorf("GC freed %d, %v: the old image should go", freed, err)
	}
	if problems, err := s.Verify(t.Context(), VerifyOptions{}); err != nil || len(problems) > 0 {
		t.Errorf("after GC: %v, %v", problems, err)
	}
}

func TestGCWaitsForNobody(t *testing.T) {
	s := openStore(t)
	img := randomImage(t)
	release, err := s.writing()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.writeImage(img); err != nil {
		t.Fatal(err)
	}
	if _, err := s.GC(); !errors.Is(err, ErrBusy) {
		t.Errorf("GC while somebody writes: %v", err)
	}
	release()
	if freed, err := s.GC(); err != nil || freed == 0 {
		t.Errorf("GC of an image without a name: %d, %v", freed, err)
	}
}

func TestGCLeavesADamagedStoreAlone(t *testing.T) {
	s := openStore(t)
	e, err := s.PutImage("a.example/tool:1", randomImage(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(s.blobPath(e.Descriptor.Digest)); err != nil {
		t.Fatal(err)
	}
	if freed, err := s.GC(); err == nil || freed != 0 {
		t.Errorf("GC freed %d, %v: without the manifest nobody knows what is needed", freed, err)
	}
}

func TestVerify(t *testing.T) {
	s := openStore(t)
	img := randomImage(t)
	if _, err := s.PutIndex("a.example/multi:1", indexOf(t, img), "application/vnd.oci.image.index.v1+json", img, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := s.PutImage("a.example/fine:1", randomImage(t), nil); err != nil {
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
	layers := layerDigests(t, img)
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

func TestModuleFiles(t *testing.T) {
	file := filepath.Join(t.TempDir(), "m.zip")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	z := zip.NewWriter(f)
	for _, name := range []string{"config/crd/a.yaml", "config/crd/b.yaml", "config/crds/c.yaml", "main.go"} {
		w, err := z.Create("example.org/m@v1.0.0/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(z.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
	src := component.Source{Module: "example.org/m", Version: "v1.0.0", Files: []string{"config/crd", "main.go"}}
	got := map[string][]byte{}
	if err := moduleFiles(file, src, "p", got); err != nil {
		t.Fatal(err)
	}
	want := map[string][]byte{}
	for _, name := range []string{"config/crd/a.yaml", "config/crd/b.yaml", "main.go"} {
		want["p/"+name] = []byte(name)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	src.Files = append(src.Files, "gone")
	if err := moduleFiles(file, src, "", map[string][]byte{}); err == nil || !strings.Contains(err.Error(), "gone") {
		t.Errorf("a file that isn't there: %v", err)
	}
}

// TestUnverifiedModule has a module proxy that serves what no checksum database
// vouches for.
func TestUnverifiedModule(t *testing.T) {
	proxy := t.TempDir()
	dir := filepath.Join(proxy, "example.invalid", "m", "@v")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string]string{"list": "v1.0.0\n", "v1.0.0.info": `{"Version":"v1.0.0"}`, "v1.0.0.mod": "module example.invalid/m\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.Create(filepath.Join(dir, "v1.0.0.zip"))
	if err != nil {
		t.Fatal(err)
	}
	z := zip.NewWriter(f)
	if _, err := z.Create("example.invalid/m@v1.0.0/a.yaml"); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(z.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
	t.Setenv("GOPROXY", "file://"+proxy)
	c := component.Component{Name: "evil", Version: "v1.0.0",
		Sources: []component.Source{{Module: "example.invalid/m", Version: "v1.0.0", Files: []string{"a.yaml"}}}}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for _, env := range []string{"GONOSUMDB", "GOPRIVATE", "GONOSUMCHECK"} {
		t.Setenv(env, "example.invalid")
	}
	s := openStore(t)
	if err := PackSources(ctx, s, c); err == nil {
		t.Error("a module that nobody vouches for was taken")
	}
	if _, err := s.Entry(c.SourcesRef()); !errors.Is(err, ErrNotFound) {
		t.Errorf("it is in the store: %v", err)
	}
}
