package part

import (
	"io/fs"
	"slices"
	"testing"
	"time"

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
	want := []string{"foundry", "gitea", "flux-system", "druppie-system", "kube-system", "tekton-pipelines", "kyverno"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// What decides who may do what is put back within a minute when it was changed by hand.
func TestControlsChangedByHandDontStaySo(t *testing.T) {
	for name, longest := range map[string]time.Duration{
		"tracedb": time.Minute, "policies": time.Minute, Tenants: time.Minute, "pipelines": time.Minute, "kyverno": time.Minute,
		"cluster": time.Minute, "default-deny": time.Minute,
	} {
		if p, err := Find(name); err != nil || p.Interval > longest {
			t.Errorf("%s is compared with Git every %s, want at most %s (%v)", name, p.Interval, longest, err)
		}
	}
}

// An object that two parts of a folder install would be fought over, and one that none does would be missing.
func TestPartsOfOneFolderShareItsObjectsOut(t *testing.T) {
	for _, kind := range []string{"CustomResourceDefinition", "Deployment"} {
		installed := map[string]int{}
		for _, p := range All() {
			if p.Installs(kind) {
				installed[p.Folder]++
			}
		}
		for _, p := range All() {
			if installed[p.Folder] != 1 {
				t.Errorf("%d parts install each %s of %s", installed[p.Folder], kind, p.Folder)
			}
		}
	}
}
