package bootstrap

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/druppie/druppie-up/bootstrap/component"
	"github.com/druppie/druppie-up/bootstrap/kube"
	"github.com/druppie/druppie-up/bootstrap/part"
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
	p := testPlatform(t, nil)
	p.inputs.components = []component.Component{{Name: nodeComponent, Stage: component.StageCluster, Images: []component.Image{{Name: "docker.io/library/a:1"}}}}
	failed, fail := context.WithCancelCause(context.Background())
	p.fill = &fill{failed: failed}
	broken := errors.New("no route to the proxy")
	time.AfterFunc(50*time.Millisecond, func() { fail(broken) })
	err := p.await(t.Context(), ui.Discard().Start("", ""), component.StageCluster)
	if !errors.Is(err, broken) || !strings.Contains(err.Error(), "a:1") {
		t.Errorf("got %v, want the supply's error and the image", err)
	}
}

// testPlatform is a platform whose store has images by these names.
func testPlatform(t *testing.T, have []string) *platform {
	t.Helper()
	in, err := openInputs(Options{Name: "north", Port: 9443, StoreDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	p := &platform{opts: in.opts, inputs: in, rep: ui.Discard(), fill: &fill{failed: context.Background()}}
	for _, name := range have {
		p.put(t, name)
	}
	return p
}

func (p *platform) put(t *testing.T, name string) {
	t.Helper()
	if _, err := p.inputs.store.PutImage(name, empty.Image, nil); err != nil {
		t.Fatal(err)
	}
}

// A part is installed when its own images are there, whatever else is to come.
func TestAPartWaitsForItsOwnImagesOnly(t *testing.T) {
	p := testPlatform(t, nil)
	registry, err := part.Find("registry")
	if err != nil {
		t.Fatal(err)
	}
	_, missing, err := p.renderer().part(registry)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"docker.io/library/caddy:2.10.0", "docker.io/library/registry:3.1.2"}
	if diff := cmp.Diff(want, missing); diff != "" {
		t.Fatalf("waits for (-want +got):\n%s", diff)
	}
	idle := 0
	time.AfterFunc(100*time.Millisecond, func() {
		for _, name := range want {
			p.put(t, name)
		}
	})
	objs, err := p.rendered(t.Context(), ui.Discard().Start("", ""), registry, func() error { idle++; return nil })
	if err != nil {
		t.Fatal(err)
	}
	if len(objs) == 0 || idle != 1 {
		t.Errorf("%d objects after waiting %d times, want some after waiting once", len(objs), idle)
	}
}

// A push of the first parts must not take away what is installed already.
func TestAnEarlyPushKeepsWhatIsInstalled(t *testing.T) {
	all := part.InstalledBy(part.Flux)
	tests := []struct {
		name    string
		folders []string
		known   []part.Part
		want    bool
	}{
		{"a new repository", []string{"clusters"}, all[:1], true},
		{"after a first run that was stopped", []string{"clusters", all[0].RepositoryFolder()}, all[:2], true},
		{"an older version of the platform runs", []string{"clusters", all[0].RepositoryFolder(), all[3].RepositoryFolder()}, all[:2], false},
		{"an older version called one otherwise", []string{"clusters", all[0].RepositoryFolder(), "tenant-drones"}, all[:2], false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := removesNothing(tt.folders, tt.known); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestOneComponentHasTheNodesImage(t *testing.T) {
	if in := testPlatform(t, nil).inputs; in.nodeImage() == "" {
		t.Error("no component has the nodes' image")
	}
}

// Every image that a chart names is one that a component supplies: another could
// never be pulled.
func TestChartsNameOnlyKnownImages(t *testing.T) {
	p := testPlatform(t, nil)
	for _, q := range part.All() {
		if !q.Chart {
			continue
		}
		t.Run(q.Name, func(t *testing.T) {
			objs, missing, err := p.renderer().part(q)
			if err != nil {
				t.Fatal(err)
			}
			named := 0
			for _, o := range objs {
				containers, _, err := unstructured.NestedSlice(o.Object, "spec", "template", "spec", "containers")
				if err != nil {
					t.Fatal(err)
				}
				for _, c := range containers {
					image, _, err := unstructured.NestedString(c.(map[string]any), "image")
					if err != nil || !slices.Contains(missing, image) {
						t.Errorf("image %q belongs to no component: %v", image, err)
					}
					named++
				}
			}
			if named == 0 {
				t.Error("no image is named at all")
			}
		})
	}
}

// A chart refuses values that it doesn't know; what it is given of certificates decides when its pods start again.
func TestChartsTakeThePlatformsValues(t *testing.T) {
	for _, q := range part.All() {
		if !q.Chart {
			continue
		}
		rendered := func(certificate string) string {
			r := testPlatform(t, nil).renderer()
			r.certificates = map[string]string{q.Name + "-tls": certificate}
			objs, _, err := r.part(q)
			if err != nil {
				t.Fatal(err)
			}
			out, err := kube.Encode(objs)
			if err != nil {
				t.Fatal(err)
			}
			return string(out)
		}
		// The trace reads its certificate again by itself.
		if restarts := rendered("one") != rendered("two"); restarts != (q.By == part.Foundation) {
			t.Errorf("%s: another certificate restarts it: %v", q.Name, restarts)
		}
	}
}

func TestGiteasAddressHasThePort(t *testing.T) {
	q, err := part.Find("gitea")
	if err != nil {
		t.Fatal(err)
	}
	objs, _, err := testPlatform(t, nil).renderer().part(q)
	if err != nil {
		t.Fatal(err)
	}
	out, err := kube.Encode(objs)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(out), "gitea.druppie.localhost:9443") {
		t.Error("the port isn't in Gitea's address")
	}
}

func TestCompleteRefusesWhatCannotBe(t *testing.T) {
	tests := []struct {
		name string
		o    Options
	}{
		{"a name that no host can have", Options{Name: "No Good"}},
		{"too many nodes", Options{Workers: 10, GPUNodes: 7}},
		{"a port that only root may open", Options{Port: 80}},
		{"no such supply", Options{Supply: "carrier pigeon"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := tt.o.Complete(); ui.ExitCode(err) != 2 {
				t.Errorf("exit code %d of %v, want 2", ui.ExitCode(err), err)
			}
		})
	}
}
