package bootstrap

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/druppie/druppie-up/bootstrap/component"
	"github.com/druppie/druppie-up/bootstrap/supply/store"
	"github.com/druppie/druppie-up/internal/ui"
)

func TestRunAllStopsAtTheFirstFailure(t *testing.T) {
	var ran []string
	mark := func(name string, err error) step {
		return step{id: name, title: name, run: func(context.Context, ui.Task) (string, error) {
			ran = append(ran, name)
			return "", err
		}}
	}
	broken := errors.New("broken")
	err := runAll(t.Context(), []step{mark("one", nil), mark("two", broken), mark("three", nil)}, ui.Discard())
	if !errors.Is(err, broken) || !strings.HasPrefix(err.Error(), "two: ") {
		t.Errorf("got error %v, want two's", err)
	}
	if diff := cmp.Diff([]string{"one", "two"}, ran); diff != "" {
		t.Errorf("steps that ran: %s", diff)
	}
}

func TestRunAllSaysWhyTheTimeIsUp(t *testing.T) {
	late := errors.New("not ready in time")
	ctx, cancel := context.WithTimeoutCause(t.Context(), time.Millisecond, late)
	defer cancel()
	wait := step{id: "wait", title: "wait", run: func(ctx context.Context, _ ui.Task) (string, error) {
		<-ctx.Done()
		return "", ctx.Err()
	}}
	if err := runAll(ctx, []step{wait}, ui.Discard()); !errors.Is(err, late) {
		t.Errorf("got %v, want the cause %v", err, late)
	}
}

func TestImagesByStage(t *testing.T) {
	comps := []component.Component{
		{Name: "a", Version: "v1", Stage: component.StageCluster, Images: []component.Image{{Name: "node:1"}, {Name: "api:1", Preloaded: true}}},
		{Name: "b", Version: "v2", Stage: component.StagePlatform, Sources: []component.Source{{Module: "example.com/b", Files: []string{"config"}}}, Images: []component.Image{{Name: "b:2"}}},
	}
	tests := []struct {
		name    string
		builtIn bool
		stages  []string
		want    []string
	}{
		{"our node image wants the control plane's images", false, []string{component.StageCluster}, []string{"node:1", "api:1"}},
		{"upstream's carries them", true, []string{component.StageCluster}, []string{"node:1"}},
		{"upstream's files come with the images", true, []string{component.StagePlatform}, []string{"druppie.io/sources/b:v2", "b:2"}},
		{"all stages", false, component.Stages(), []string{"node:1", "api:1", "druppie.io/sources/b:v2", "b:2"}},
		{"no stage", false, nil, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, images(comps, tt.builtIn, tt.stages...)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A supply that fails ends the steps that wait for its images at once, with its
// own error.
func TestAwaitEndsWithTheSupplysError(t *testing.T) {
	s, err := store.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	failed, fail := context.WithCancelCause(context.Background())
	broken := errors.New("no route to the proxy")
	p := &platform{
		store: s, fillFailed: failed,
		components: []component.Component{{Name: nodeComponent, Stage: component.StageCluster, Images: []component.Image{{Name: "docker.io/library/a:1"}}}},
	}
	time.AfterFunc(50*time.Millisecond, func() { fail(broken) })
	err = p.await(t.Context(), ui.Discard().Start("", ""), component.StageCluster)
	if !errors.Is(err, broken) || !strings.Contains(err.Error(), "a:1") {
		t.Errorf("got %v, want the supply's error and the image", err)
	}
}

// Every unit that is rendered has a kustomization, and every component that a
// unit builds on exists: a typo would only show when a cluster is there.
func TestUnitsAndComponentsExist(t *testing.T) {
	comps, err := loadComponents()
	if err != nil {
		t.Fatal(err)
	}
	if nodeImage(comps) == "" {
		t.Error("no component has the nodes' image")
	}
	byName := map[string]bool{}
	for _, c := range comps {
		byName[c.Name] = true
	}
	for _, name := range append(append([]string{"flux"}, nodeUnits...), platformUnits...) {
		u, err := findUnit(name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		root := "kustomization.yaml"
		if u.namespace != "" {
			root = "Chart.yaml"
		}
		if f, err := u.files.Open(root); err != nil {
			t.Errorf("%s: %v", name, err)
		} else {
			f.Close()
		}
		if u.component != "" && !byName[u.component] {
			t.Errorf("%s builds on component %s, which isn't there", name, u.component)
		}
	}
}

// The installer's own charts render with nothing but a port, and name only
// images that a component supplies: one that none does could never be pulled.
func TestFoundationNamesOnlyKnownImages(t *testing.T) {
	comps, err := loadComponents()
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	r := &renderer{
		store: s, components: comps, values: siteValues(Options{Name: "north", Port: 9443}), unpinned: map[string]bool{},
	}
	objs, err := r.foundation()
	if err != nil {
		t.Fatal(err)
	}
	out, err := encode(objs)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(out), "gitea.druppie.localhost:9443") {
		t.Error("the port isn't in Gitea's address")
	}
	for _, line := range strings.Split(string(out), "\n") {
		image, ok := strings.CutPrefix(strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), "- ")), "image: ")
		if ok && !r.unpinned[image] {
			t.Errorf("image %q belongs to no component", image)
		}
	}
}

func TestRenderRefusesBadOptionsBeforeAnything(t *testing.T) {
	dir := t.TempDir() + "/store"
	err := Render(t.Context(), Options{Name: "No Good", StoreDir: dir}, io.Discard)
	if ui.ExitCode(err) != 2 {
		t.Errorf("exit code %d of %v, want 2", ui.ExitCode(err), err)
	}
}
