package sources

import (
	"io/fs"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/module"

	"github.com/druppie/druppie-up/bootstrap/component"
	"github.com/druppie/druppie-up/bootstrap/supply/gomod"
	"github.com/druppie/druppie-up/bootstrap/supply/gomod/gomodtest"
	"github.com/druppie/druppie-up/bootstrap/supply/store"
)

func TestPack(t *testing.T) {
	database := gomodtest.Serve(t, module.Version{Path: "example.com/m", Version: "v1.0.0"}, map[string]string{
		"go.mod": "module example.com/m\n", "config/crd/a.yaml": "a", "config/crd/b.yaml": "b", "config/crds/c.yaml": "c", "main.go": "package m",
	})
	golang := gomod.Go{ModCache: t.TempDir(), Database: database}
	comp := func(files ...string) component.Component {
		return component.Component{Name: "part", Version: "v1.0.0",
			Sources: []component.Source{{Module: "example.com/m", Version: "v1.0.0", Files: files}, {Module: "example.com/built"}}}
	}
	tests := []struct {
		name  string
		files []string
		want  []string
		err   string
	}{
		{name: "a folder and a file", files: []string{"config/crd", "main.go"}, want: []string{"config/crd/a.yaml", "config/crd/b.yaml", "main.go"}},
		{name: "other files are packed anew", files: []string{"config/crds"}, want: []string{"config/crds/c.yaml"}},
		{name: "everything", files: []string{"."}, want: []string{"config/crd/a.yaml", "config/crd/b.yaml", "config/crds/c.yaml", "go.mod", "main.go"}},
		{name: "a file that isn't there", files: []string{"main.go", "gone"}, err: "gone"},
	}
	s, err := store.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := comp(tt.files...)
			err := Pack(t.Context(), s, golang, []component.Component{c, {Name: "without"}})
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("err = %v, want one with %q", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			files, err := s.Files(c.SourcesRef())
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			err = fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
				if err == nil && !d.IsDir() {
					got = append(got, strings.TrimPrefix(name, "example.com/m/"))
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
