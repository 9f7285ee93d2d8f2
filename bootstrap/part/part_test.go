package part

import (
	"io/fs"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A typo in the table would only show when a cluster is there.
func TestEveryPartHasItsFilesAndFindsWhatItWaitsFor(t *testing.T) {
	levels := map[string]string{}
	var before []string
	for _, p := range All() {
		t.Run(p.Name, func(t *testing.T) {
			files, err := p.Files()
			if err != nil {
				t.Fatal(err)
			}
			root := "kustomization.yaml"
			if p.Chart {
				root = "Chart.yaml"
			}
			if _, err := fs.Stat(files, root); err != nil {
				t.Error(err)
			}
			for _, d := range p.DependsOn {
				if other, err := Find(d); err != nil || other.By != p.By || !slices.Contains(before, d) {
					t.Errorf("depends on %s, which the same installer must install before it", d)
				}
			}
			if (p.By == Flux) != (p.Interval > 0) {
				t.Errorf("interval %s: Flux has one for each part that it installs, and nobody else", p.Interval)
			}
			if level, known := levels[p.Namespace]; known && level != p.PodSecurity {
				t.Errorf("wants level %q of namespace %s, another part %q", p.PodSecurity, p.Namespace, level)
			}
		})
		levels[p.Namespace] = p.PodSecurity
		before = append(before, p.Name)
	}
}

func TestNamespacesNamesEachOnce(t *testing.T) {
	var got []string
	for _, n := range Namespaces(Foundation, Flux) {
		got = append(got, n.Name)
	}
	want := []string{"foundry", "gitea", "flux-system", "druppie-system", "tekton-pipelines", "kyverno"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
