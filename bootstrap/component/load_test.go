package component

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/druppie/druppie-up/manifests"
)

const good = `name: NAME
title: A part
version: v1.0.0
licence: EUPL-1.2
stage: STAGE
sources:
  - module: example.com/part
    version: v1.0.0
binaries:
  - name: prog
    package: ./cmd/prog
images:
  - name: example.com/parts/NAME:v1
    files:
      - {to: /bin/prog, binary: prog}
`

func part(name, stage string, edits ...string) *fstest.MapFile {
	text := strings.NewReplacer("NAME", name, "STAGE", stage).Replace(good)
	for i := 0; i+1 < len(edits); i += 2 {
		text = strings.Replace(text, edits[i], edits[i+1], 1)
	}
	return &fstest.MapFile{Data: []byte(text)}
}

func TestLoadOrder(t *testing.T) {
	comps, err := Load(fstest.MapFS{
		"z/component.yaml": part("z", StageCluster),
		"w/component.yaml": part("w", StageCluster, "stage:", "order: 2\nstage:"),
		"x/component.yaml": part("x", StageCluster, "stage:", "order: 2\nstage:"),
		"a/component.yaml": part("a", StageBuild),
		"b/component.yaml": part("b", StageFoundation),
		"readme.txt":       {Data: []byte("not a component")},
	})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range comps {
		got = append(got, c.Name)
	}
	if diff := cmp.Diff([]string{"z", "w", "x", "b", "a"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestLoadDefaults(t *testing.T) {
	comps, err := Load(fstest.MapFS{
		"p/component.yaml": part("p", StageBuild, "      - {to: /bin/prog, binary: prog}\n",
			"      - {to: /bin/prog, binary: p/prog}\n      - {to: /etc/note, embed: note}\n"),
		"p/note": {Data: []byte("hello")},
	})
	if err != nil {
		t.Fatal(err)
	}
	c := comps[0]
	if c.Sources[0].Name != "p" {
		t.Errorf("source is called %q", c.Sources[0].Name)
	}
	if got := c.Images[0].Files[1]; got.Text != "hello" || got.Embed != "" {
		t.Errorf("embedded file: %+v", got)
	}
	if c.SourcesRef() != "" {
		t.Errorf("sources ref %q without files", c.SourcesRef())
	}
	c.Sources[0].Files = []string{"config"}
	if got := c.SourcesRef(); got != "druppie.io/sources/p:v1.0.0" {
		t.Errorf("sources ref %q", got)
	}
}

func TestLoadRefuses(t *testing.T) {
	tests := []struct {
		name  string
		edits []string
		want  string
	}{
		{"another name than the folder's", []string{"name: p", "name: q"}, "not the folder's name"},
		{"an unknown field", []string{"title:", "tittle:"}, "tittle"},
		{"an unknown stage", []string{"stage: flight", "stage: party"}, `stage "party"`},
		{"no licence", []string{"licence: EUPL-1.2\n", ""}, "licence is missing"},
		{"a branch as version", []string{"    version: v1.0.0", "    version: main"}, "not one of a Go module"},
		{"files outside of the module", []string{"    version: v1.0.0", "    version: v1.0.0\n    files: [../x]"}, "leaves the module"},
		{"a binary without a source", []string{"package:", "source: other\n    package:"}, `no source "other"`},
		{"a binary without a package", []string{"    package: ./cmd/prog\n", ""}, "either a package or a C file"},
		{"a short image name", []string{"name: example.com/parts/p:v1", "name: p:v1"}, "p:v1"},
		{"an image without a tag", []string{"name: example.com/parts/p:v1", "name: example.com/parts/p"}, "example.com/parts/p"},
		{"an image without a recipe", []string{"    files:\n      - {to: /bin/prog, binary: prog}\n", ""}, "no recipe"},
		{"a relative path", []string{"to: /bin/prog", "to: bin/prog"}, "must be absolute"},
		{"two kinds of content", []string{"binary: prog", "binary: prog, text: x"}, "exactly one kind"},
		{"a binary of nobody", []string{"binary: prog", "binary: other/prog"}, `no binary "other/prog"`},
		{"a digest of another kind", []string{"    files:", "    digest: md5:1\n    files:"}, "md5:1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Load(fstest.MapFS{"p/component.yaml": part("p", StageBuild, tt.edits...)})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error = %v, want %q", err, tt.want)
			}
		})
	}
	t.Run("all mistakes together", func(t *testing.T) {
		_, err := Load(fstest.MapFS{
			"p/component.yaml": part("p", "party"),
			"q/component.yaml": part("q", StageBuild, "example.com/parts/q:v1", "example.com/parts/q"),
		})
		if err == nil || !strings.Contains(err.Error(), "party") || !strings.Contains(err.Error(), "example.com/parts/q") {
			t.Errorf("error = %v", err)
		}
	})
	t.Run("one image in two components", func(t *testing.T) {
		_, err := Load(fstest.MapFS{
			"p/component.yaml": part("p", StageBuild),
			"q/component.yaml": part("q", StageBuild, "example.com/parts/q:v1", "example.com/parts/p:v1"),
		})
		if err == nil || !strings.Contains(err.Error(), "stands in p and q") {
			t.Errorf("error = %v", err)
		}
	})
}

// The platform's own components load.
func TestOurComponents(t *testing.T) {
	comps, err := Load(manifests.FS)
	if err != nil {
		t.Fatal(err)
	}
	if len(comps) == 0 {
		t.Fatal("no component")
	}
}
