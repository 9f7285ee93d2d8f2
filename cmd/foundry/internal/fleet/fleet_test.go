package fleet_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"

	"github.com/druppie/druppie-up/cmd/foundry/internal/fleet"
)

var (
	drone = fleet.Service{
		Repository: "druppie/drone-service", Tenant: "drones",
		Image: "registry.foundry.svc.cluster.local:5000/druppie/drone-service",
	}
	first  = fleet.Release{Commit: strings.Repeat("a", 40), Digest: "sha256:" + strings.Repeat("1", 64)}
	second = fleet.Release{Commit: strings.Repeat("b", 40), Digest: "sha256:" + strings.Repeat("2", 64)}
)

func deploy() fleet.Files {
	return fleet.Files{
		"kustomization.yaml": []byte("resources: [deployment.yaml]\n"),
		"deployment.yaml": []byte(`apiVersion: apps/v1
kind: Deployment
metadata:
  name: drone-service
spec:
  selector: {matchLabels: {app: drone}}
  template:
    metadata: {labels: {app: drone}}
    spec:
      containers:
        - name: drone-service
          image: ` + drone.Image + `
`),
	}
}

// TestPromotedFolderBuilds runs kustomize over the result, as Flux does.
func TestPromotedFolderBuilds(t *testing.T) {
	files, err := fleet.Promote(drone, first, deploy(), fleet.Files{"README.md": []byte("fleet\n")})
	if err != nil {
		t.Fatal(err)
	}
	mem := filesys.MakeFsInMemory()
	for name, data := range files {
		if err := mem.WriteFile(name, data); err != nil {
			t.Fatal(err)
		}
	}
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(mem, "tenants/drones")
	if err != nil {
		t.Fatal(err)
	}
	out, err := built.AsYaml()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"image: " + drone.Image + "@" + first.Digest + "\n",
		"druppie.io/commit: " + first.Commit + "\n",
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("lacks %q:\n%s", want, out)
		}
	}
}

func TestPromote(t *testing.T) {
	before := fleet.Files{
		"README.md":                                   []byte("fleet\n"),
		"tenants/drones/kustomization.yaml":           []byte("# the tenant\nresources:\n- other-service\n"),
		"tenants/drones/other-service/x.yaml":         []byte("x\n"),
		"tenants/drones/drone-service/deploy/old.txt": []byte("gone in this commit\n"),
	}
	after, err := fleet.Promote(drone, first, deploy(), before)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"tenants/drones/drone-service/deploy/deployment.yaml is missing",
		"tenants/drones/drone-service/deploy/kustomization.yaml is missing",
		"tenants/drones/drone-service/deploy/old.txt doesn't belong there",
		"tenants/drones/drone-service/kustomization.yaml is missing",
		"tenants/drones/kustomization.yaml has other contents",
	}
	if diff := cmp.Diff(want, fleet.Differences(after, before)); diff != "" {
		t.Error(diff)
	}
	again, err := fleet.Promote(drone, first, deploy(), after)
	if err != nil {
		t.Fatal(err)
	}
	if d := fleet.Differences(again, after); len(d) > 0 {
		t.Errorf("the same release again changes %v", d)
	}
	if got, err := fleet.Released(drone, after); err != nil || got != first {
		t.Errorf("released %+v, %v", got, err)
	}
	if got, err := fleet.Released(drone, before); err != nil || got != (fleet.Release{}) {
		t.Errorf("released before: %+v, %v", got, err)
	}
	next, err := fleet.Promote(drone, second, deploy(), after)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"tenants/drones/drone-service/kustomization.yaml has other contents"}, fleet.Differences(next, after)); diff != "" {
		t.Error(diff)
	}
}

// TestTamperingShows is what the approver relies on: a pull request that isn't
// exactly the promotion differs from it.
func TestTamperingShows(t *testing.T) {
	before := fleet.Files{"clusters/x.yaml": []byte("x\n")}
	tests := []struct {
		name   string
		tamper func(f fleet.Files)
		want   string
	}{
		{"another digest", func(f fleet.Files) {
			k := "tenants/drones/drone-service/kustomization.yaml"
			f[k] = []byte(strings.ReplaceAll(string(f[k]), first.Digest, second.Digest))
		}, "tenants/drones/drone-service/kustomization.yaml has other contents"},
		{"another deployment", func(f fleet.Files) {
			k := "tenants/drones/drone-service/deploy/deployment.yaml"
			f[k] = append(f[k], "# privileged\n"...)
		}, "tenants/drones/drone-service/deploy/deployment.yaml has other contents"},
		{"one more object", func(f fleet.Files) {
			f["tenants/drones/drone-service/deploy/extra.yaml"] = []byte("kind: Pod\n")
		}, "tenants/drones/drone-service/deploy/extra.yaml doesn't belong there"},
		{"another service too", func(f fleet.Files) {
			f["tenants/drones/other/pod.yaml"] = []byte("kind: Pod\n")
		}, "tenants/drones/other/pod.yaml doesn't belong there"},
		{"something outside the tenant", func(f fleet.Files) { f["clusters/x.yaml"] = []byte("y\n") },
			"clusters/x.yaml has other contents"},
		{"something removed", func(f fleet.Files) { delete(f, "clusters/x.yaml") }, "clusters/x.yaml is missing"},
		{"another line in the listing", func(f fleet.Files) {
			f["tenants/drones/kustomization.yaml"] = append(f["tenants/drones/kustomization.yaml"], "- https://example.org/x.yaml\n"...)
		}, "tenants/drones/kustomization.yaml has other contents"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			want, err := fleet.Promote(drone, first, deploy(), before)
			if err != nil {
				t.Fatal(err)
			}
			proposed, err := fleet.Promote(drone, first, deploy(), before)
			if err != nil {
				t.Fatal(err)
			}
			if d := fleet.Differences(want, proposed); len(d) > 0 {
				t.Fatalf("untampered differs: %v", d)
			}
			tt.tamper(proposed)
			if diff := cmp.Diff([]string{tt.want}, fleet.Differences(want, proposed)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestList(t *testing.T) {
	tests := []struct{ name, current, want string }{
		{"no file", "", "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:\n- drone-service\n"},
		{"no resources", "kind: Kustomization\n", "kind: Kustomization\nresources:\n- drone-service\n"},
		{"empty list", "resources: []\n", "resources:\n- drone-service\n"},
		{"others and a comment", "# mine\nresources:\n- other\n", "# mine\nresources:\n- other\n- drone-service\n"},
		{"there already", "resources:\n    - drone-service\n", "resources:\n    - drone-service\n"},
		{"there with a slash", "resources: [./drone-service/]\n", "resources: [./drone-service/]\n"},
		{"a longer name isn't it", "resources:\n- drone-service-2\n", "resources:\n- drone-service-2\n- drone-service\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := fleet.List(drone, []byte(tt.current))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, string(got)); diff != "" {
				t.Error(diff)
			}
		})
	}
	if _, err := fleet.List(drone, []byte("resources: {a: b}\n")); err == nil {
		t.Error("a listing that isn't a list passed")
	}
}

func TestRenderRefuses(t *testing.T) {
	with := func(name, data string) fleet.Files {
		f := deploy()
		f[name] = []byte(data)
		return f
	}
	without := func(name string) fleet.Files {
		f := deploy()
		delete(f, name)
		return f
	}
	tests := []struct {
		name    string
		service fleet.Service
		release fleet.Release
		deploy  fleet.Files
		want    string
	}{
		{"short commit", drone, fleet.Release{Commit: "abc", Digest: first.Digest}, deploy(), "full commit hash"},
		{"tag as digest", drone, fleet.Release{Commit: first.Commit, Digest: "latest"}, deploy(), "sha256 digest"},
		{"tenant with a path", fleet.Service{Repository: drone.Repository, Tenant: "../x", Image: drone.Image}, first, deploy(), "namespace's name"},
		{"upper case service", fleet.Service{Repository: "druppie/Drone", Tenant: "drones", Image: drone.Image}, first, deploy(), "lower case"},
		{"no kustomization", drone, first, without("kustomization.yaml"), "nothing says how to run it"},
		{"image not named", drone, first, without("deployment.yaml"), "would change nothing"},
		{"path out", drone, first, with("../../other/x.yaml", "x"), "may not leave"},
		{"absolute path", drone, first, with("/x.yaml", "x"), "may not leave"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := fleet.Render(tt.service, tt.release, tt.deploy)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}
