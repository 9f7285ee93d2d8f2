package modules

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/druppie/druppie-up/bootstrap/component"
)

func TestEditGoMod(t *testing.T) {
	const in = `module example.com/whole

go 1.25

require (
	example.com/lib v0.0.0
	example.com/api v1.2.0
)

replace (
	example.com/lib => ./staging/src/lib
	example.com/more => ./staging/src/more
	example.com/api => ./api
	example.com/fork => example.com/ours v1.0.0
)
`
	tests := []struct {
		name    string
		edit    component.Edit
		want    []string
		without []string
		err     string
	}{
		{
			name:    "published below a folder",
			edit:    component.Edit{Published: []component.Published{{Path: "./staging/", Version: "v0.36.4"}}},
			want:    []string{"example.com/lib v0.36.4", "example.com/more v0.36.4", "=> ./api", "=> example.com/ours v1.0.0"},
			without: []string{"./staging"},
		},
		{
			name:    "published at a folder",
			edit:    component.Edit{Published: []component.Published{{Path: "./api", Version: "v1.3.0"}}},
			want:    []string{"example.com/api v1.3.0", "./staging/src/lib"},
			without: []string{"=> ./api"},
		},
		{
			name:    "drop one",
			edit:    component.Edit{DropReplace: []string{"example.com/fork"}},
			want:    []string{"./api"},
			without: []string{"example.com/ours"},
		},
		{
			name: "require",
			edit: component.Edit{Require: map[string]string{"example.com/new": "v1.0.0"}},
			want: []string{"example.com/new v1.0.0"},
		},
		{
			name: "a folder that upstream gave up",
			edit: component.Edit{Published: []component.Published{{Path: "./vendored", Version: "v1.0.0"}}},
			err:  "nothing is replaced by a folder below ./vendored",
		},
		{
			name: "a replace that upstream gave up",
			edit: component.Edit{DropReplace: []string{"example.com/gone"}},
			err:  "example.com/gone is not replaced",
		},
		{
			name: "no version",
			edit: component.Edit{Require: map[string]string{"example.com/new": "main"}},
			err:  "main",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := editGoMod([]byte(in), tt.edit)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Fatalf("error = %v, want %q", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, w := range tt.want {
				if !strings.Contains(string(got), w) {
					t.Errorf("lacks %q:\n%s", w, got)
				}
			}
			for _, w := range tt.without {
				if strings.Contains(string(got), w) {
					t.Errorf("still has %q:\n%s", w, got)
				}
			}
		})
	}
}

func TestLinkerFlagsAreOrdered(t *testing.T) {
	got := ldflags(component.Build{Vars: map[string]string{"b.V": "2", "a.V": "1"}})
	if diff := cmp.Diff("-s -w -buildid= '-X=a.V=1' '-X=b.V=2'", got); diff != "" {
		t.Error(diff)
	}
}
