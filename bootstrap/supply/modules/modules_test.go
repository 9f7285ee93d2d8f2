package modules

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/module"

	"github.com/druppie/druppie-up/bootstrap/component"
	"github.com/druppie/druppie-up/bootstrap/supply/gomod"
	"github.com/druppie/druppie-up/bootstrap/supply/gomod/gomodtest"
	"github.com/druppie/druppie-up/bootstrap/supply/sbom"
	"github.com/druppie/druppie-up/bootstrap/supply/store"
	"github.com/druppie/druppie-up/internal/ui"
)

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func hello() component.Component {
	return component.Component{
		Name: "hello", Version: "v1.0.0", Title: "Hello", Licence: "EUPL-1.2", Stage: component.StageBuild,
		Sources: []component.Source{{Name: "hello", Module: "example.com/hello", Version: "v1.0.0",
			Build: component.Build{Vars: map[string]string{"main.version": "v1.0.0"}}}},
		Binaries: []component.Binary{{Name: "hi", Package: "./cmd/hello"}},
		Images: []component.Image{{Name: "example.com/hello:v1.0.0",
			Files:  []component.Content{{To: "/bin/hi", Binary: "hi"}, {To: "/etc/note", From: "README"}},
			Config: component.Config{Entrypoint: []string{"/bin/hi"}, User: "65532"}}},
	}
}

// builder trusts a checksum database of the test's.
func builder(t *testing.T, database string) *Builder {
	return New(Options{CacheDir: t.TempDir(), Go: gomod.Go{Toolchain: "local", Database: database}})
}

func TestFill(t *testing.T) {
	database := gomodtest.Serve(t, module.Version{Path: "example.com/hello", Version: "v1.0.0"}, map[string]string{
		"go.mod":            "module example.com/hello\n\ngo 1.24\n",
		"README":            "read me\n",
		"cmd/hello/main.go": "package main\n\nvar version string\n\nfunc main() { println(version) }\n",
	})
	ctx := context.Background()
	s, err := store.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	b := builder(t, database)
	comps := []component.Component{hello()}
	if err := b.Fill(ctx, s, comps, ui.Discard()); err != nil {
		t.Fatal(err)
	}
	const ref = "example.com/hello:v1.0.0"
	first, err := s.Entry(ref)
	if err != nil {
		t.Fatal(err)
	}
	img, err := s.Image(ref)
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if got := cfg.Config.Labels["io.druppie.module.hello"]; got != "example.com/hello@v1.0.0" {
		t.Errorf("label = %q", got)
	}
	files, err := s.Files(ref)
	if err != nil {
		t.Fatal(err)
	}
	if note, err := fs.ReadFile(files, "etc/note"); err != nil || string(note) != "read me\n" {
		t.Errorf("note = %q, %v", note, err)
	}

	t.Run("SBOM", func(t *testing.T) {
		components, err := sbom.Read(s, ref)
		if err != nil {
			t.Fatal(err)
		}
		var purls []string
		for _, c := range components {
			purls = append(purls, c.PackageURL)
		}
		if all := strings.Join(purls, " "); !strings.Contains(all, "pkg:golang/example.com/hello@v1.0.0") || !strings.Contains(all, "pkg:golang/std@") {
			t.Errorf("components: %s", all)
		}
	})

	t.Run("another folder and an empty cache make the same bytes", func(t *testing.T) {
		r, err := b.Rebuild(ctx, s, comps, ref)
		if err != nil || r.Stored != r.Made {
			t.Errorf("%+v, %v", r, err)
		}
	})

	t.Run("a second run has nothing to do", func(t *testing.T) {
		b.addComponents(comps)
		p, err := b.plan(s, comps)
		if err != nil || len(p.refs) != 0 {
			t.Errorf("plan %v, %v", p.refs, err)
		}
	})

	t.Run("another recipe is built", func(t *testing.T) {
		c := hello()
		c.Sources[0].Build.Vars["main.version"] = "v1.0.1"
		if err := b.Fill(ctx, s, []component.Component{c}, ui.Discard()); err != nil {
			t.Fatal(err)
		}
		now, err := s.Entry(ref)
		if err != nil {
			t.Fatal(err)
		}
		if now.Descriptor.Digest == first.Descriptor.Digest {
			t.Error("the image is the old one")
		}
	})

	t.Run("a module that isn't there", func(t *testing.T) {
		c := hello()
		c.Sources[0].Version = "v9.9.9"
		err := b.Fill(ctx, s, []component.Component{c}, ui.Discard())
		if err == nil || !strings.Contains(err.Error(), "v9.9.9") {
			t.Errorf("error = %v", err)
		}
	})
}

// TestUnverifiedModuleIsNotBuilt has a checksum database that doesn't know
// the module, and settings of the machine that say this is no matter.
func TestUnverifiedModuleIsNotBuilt(t *testing.T) {
	database := gomodtest.Serve(t, module.Version{Path: "example.com/other", Version: "v1.0.0"}, map[string]string{"go.mod": "module example.com/other\n"})
	_ = gomodtest.Serve(t, module.Version{Path: "example.com/hello", Version: "v1.0.0"}, map[string]string{
		"go.mod": "module example.com/hello\n\ngo 1.24\n", "README": "r\n", "cmd/hello/main.go": "package main\n\nfunc main() {}\n",
	})
	settings := filepath.Join(t.TempDir(), "env")
	write(t, settings, "GOSUMDB=off\nGONOSUMDB=*\n")
	t.Setenv("GOENV", settings)
	s, err := store.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := builder(t, database).Fill(t.Context(), s, []component.Component{hello()}, ui.Discard()); err == nil {
		t.Error("a module that the checksum database doesn't know was built")
	}
}

func TestEditSpec(t *testing.T) {
	got, err := editSpec([]byte(`{"process":{"rlimits":[1],"cwd":"/"},"hooks":{}}`))
	if err != nil {
		t.Fatal(err)
	}
	if s := string(got); strings.Contains(s, "rlimits") || !strings.Contains(s, "mount-product-files.sh") || !strings.Contains(s, "cwd") {
		t.Errorf("spec: %s", s)
	}
	if _, err := editSpec([]byte(`{}`)); err == nil {
		t.Error("a specification without a process passed")
	}
}

func debianImage(ref string) component.Image {
	return component.Image{Name: ref, Debian: &component.Debian{Packages: []string{"bash"}}}
}

func TestHint(t *testing.T) {
	tests := []struct {
		name string
		err  error
		want bool
	}{
		{name: "disk", err: errors.New("write: no space left on device"), want: true},
		{name: "network", err: errors.New("Get: dial tcp: lookup proxy.example"), want: true},
		{name: "a mistake in the code", err: errors.New("undefined: x")},
		{name: "the user's own doing", err: context.Canceled},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := ui.Hint(hint(tt.err)) != ""; got != tt.want {
				t.Errorf("hint: %q", ui.Hint(hint(tt.err)))
			}
		})
	}
}

// TestMeterCountsABuildOnce also counts builds that the plan doesn't know.
func TestMeterCountsABuildOnce(t *testing.T) {
	task := &recordedProgress{Task: ui.Discard().Start("", "")}
	m := newProgress(task, plan{work: []unit{{"one", "one", 10}, {"two", "two", 30}}})
	m.work("one", "one")()
	m.built("one", "one")
	m.work("unknown", "unknown")()
	m.built("two", "two")
	if diff := cmp.Diff([]int64{10, 10, 10, 40}, task.done); diff != "" {
		t.Errorf("done (-want +got):\n%s", diff)
	}
	if task.total != 40 {
		t.Errorf("of %d, want 40", task.total)
	}
}

// TestMeterNeverFalls runs a build inside another one, as web assets are built inside the build of the
// program that serves them: neither takes back what the other has counted.
func TestMeterNeverFalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		task := &recordedProgress{Task: ui.Discard().Start("", "")}
		m := newProgress(task, plan{work: []unit{{"gitea", "gitea", 290}, {"gitea", "gitea web", 41}, {"later", "later", 100}}})
		outer := m.work("gitea", "gitea")
		time.Sleep(200 * time.Second)
		inner := m.work("gitea", "gitea web")
		time.Sleep(50 * time.Second)
		inner()
		time.Sleep(10 * time.Second)
		outer()
		if !slices.IsSorted(task.done) {
			t.Errorf("progress fell: %v", task.done)
		}
		if last := task.done[len(task.done)-1]; last != 331 {
			t.Errorf("in the end %d, want both builds' weight, 331", last)
		}
	})
}

// recordedProgress keeps what was reported.
type recordedProgress struct {
	ui.Task
	done  []int64
	total int64
}

func (p *recordedProgress) Progress(done, total int64) {
	p.done, p.total = append(p.done, done), total
}
