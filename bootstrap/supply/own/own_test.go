package own

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/google/go-cmp/cmp"

	"github.com/druppie/druppie-up/bootstrap/supply/sbom"
	"github.com/druppie/druppie-up/bootstrap/supply/store"
	"github.com/druppie/druppie-up/internal/names"
	"github.com/druppie/druppie-up/internal/ui"
)

func openStore(t *testing.T) *store.Store {
	t.Helper()
	s, err := store.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

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
	write("canary", "c")
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
	if d := cmp.Diff(first, second); d != "" || len(first) != 10 {
		t.Errorf("the same programs make other images: %s", d)
	}
	for program, user := range map[string]string{"mirror": "65532:65532", "foundry": "65532:65532", "tracedb": "65532:65532", "podnet": "0:0", "canary": "65532:65532"} {
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
	components, err := sbom.Read(s, names.OwnImage("mirror"))
	if err != nil || !slices.ContainsFunc(components, func(c cdx.Component) bool { return strings.HasPrefix(c.PackageURL, "pkg:golang/std@") }) {
		t.Errorf("SBOM: %v, %v", components, err)
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
			changed = append(changed, third[i].Ref) // its SBOM stays what it was
		}
	}
	if d := cmp.Diff([]string{"druppie.io/foundry:dev"}, changed); d != "" {
		t.Error(d)
	}
	if problems, err := s.Verify(t.Context(), store.VerifyOptions{}); err != nil || len(problems) > 0 {
		t.Errorf("problems: %v, %v", problems, err)
	}
}
