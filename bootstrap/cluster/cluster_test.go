package cluster

import (
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/druppie/druppie-up/bootstrap/supply/store"
	"github.com/druppie/druppie-up/internal/names"
	"github.com/druppie/druppie-up/internal/ui"
)

var update = flag.Bool("update", false, "write the golden files")

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (run with -update if this is meant):\n%s", file, diff)
	}
}

func TestKindConfigGolden(t *testing.T) {
	tests := []struct {
		name   string
		opt    Options
		limits limits
	}{
		{name: "single", opt: Options{Name: "druppie", Port: 8443}},
		{name: "limited-host", opt: Options{Name: "druppie", Port: 8443}, limits: limits{CgroupV1: true, NoSysResource: true}},
		{name: "workers-and-gpu", opt: Options{Name: "two", Port: 9443, Workers: 1, GPUNodes: 2}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.opt.StateDir, tt.opt.NodeImage = "/state/"+tt.opt.Name, "docker.io/kindest/node:v1.36.0"
			got, err := kindConfig(tt.opt, tt.limits)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, "kind-"+tt.name+".yaml", string(got))
		})
	}
}

func TestNodeFilesGolden(t *testing.T) {
	dir := t.TempDir()
	opt := Options{Name: "druppie", StateDir: dir}
	// The first run of a machine has no CA yet, and that is no fault.
	if err := writeNodeFiles(opt); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "nodes", roleWorker, "ca.crt")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a CA out of nothing: %v", err)
	}
	if err := TrustCA(opt, []byte("certificate\n")); err != nil {
		t.Fatal(err)
	}
	for _, role := range []string{roleControlPlane, roleWorker, roleGPU} {
		data, err := os.ReadFile(filepath.Join(dir, "nodes", role, "ca.crt"))
		if err != nil || string(data) != "certificate\n" {
			t.Errorf("%s has CA %q, %v", role, data, err)
		}
	}
	for _, host := range []string{"_default", names.RegistryHost} {
		data, err := os.ReadFile(filepath.Join(dir, "nodes", "certs.d", host, "hosts.toml"))
		if err != nil {
			t.Fatal(err)
		}
		golden(t, "hosts-"+strings.ReplaceAll(host, ":", "-")+".toml", string(data))
	}
}

func TestValidateName(t *testing.T) {
	tests := []struct {
		name string
		ok   bool
	}{
		{"druppie", true}, {"a", true}, {"t-cluster", true}, {"d1", true}, {"1d", true},
		{strings.Repeat("a", 40), true}, {strings.Repeat("a", 41), false},
		{"", false}, {"Druppie", false}, {"-a", false}, {"a-", false}, {"a_b", false}, {"a.b", false},
		{"a b", false}, {"../a", false}, {"a/b", false}, {"é", false}, {"a\n", false}, {"$(id)", false},
	}
	for _, tt := range tests {
		err := ValidateName(tt.name)
		if (err == nil) != tt.ok {
			t.Errorf("%q: %v", tt.name, err)
		}
		if err != nil && (ui.ExitCode(err) != 2 || ui.Hint(err) == "") {
			t.Errorf("%q: exit code %d, hint %q", tt.name, ui.ExitCode(err), ui.Hint(err))
		}
	}
}

func TestBadOptionsTouchNothing(t *testing.T) {
	// No engine to ask: a refusal must come before the first question.
	t.Setenv("PATH", t.TempDir())
	tests := []struct {
		name string
		opt  Options
	}{
		{"name", Options{Name: "No", Port: 8443}},
		{"workers", Options{Name: "a", Workers: -1, Port: 8443}},
		{"gpu nodes", Options{Name: "a", GPUNodes: -1, Port: 8443}},
		{"port", Options{Name: "a", Port: 70000}},
		{"no port", Options{Name: "a"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.opt.NodeImage, tt.opt.Store, tt.opt.StateDir = "i", &store.Store{}, t.TempDir()
			_, err := Ensure(context.Background(), tt.opt, nil)
			if ui.ExitCode(err) != 2 {
				t.Errorf("error %v, exit code %d", err, ui.ExitCode(err))
			}
		})
	}
}

func kindNode(name, role, source string) container {
	c := container{Name: name}
	c.Config.Labels = map[string]string{kindClusterLabel: "c", kindRoleLabel: "worker"}
	c.State.Running = true
	if role == roleControlPlane {
		c.Config.Labels[kindRoleLabel] = roleControlPlane
		c.HostConfig.PortBindings = map[string][]struct{ HostIp, HostPort string }{
			"30443/tcp": {{"127.0.0.1", "8443"}},
		}
	}
	if source != "" {
		c.Mounts = []struct{ Source, Destination string }{{source + "/nodes/" + role, nodeDir}}
	}
	return c
}

func mirrorOf(cluster string) container {
	c := container{Name: "c-mirror"}
	c.Config.Labels = map[string]string{Label: cluster}
	return c
}

func TestStateCheck(t *testing.T) {
	whole := []container{
		kindNode("c-worker2", roleGPU, "/state/c"),
		kindNode("c-worker", roleWorker, "/state/c"),
		kindNode("c-control-plane", roleControlPlane, "/state/c"),
	}
	opt := func(mod func(*Options)) Options {
		o := Options{Name: "c", StateDir: "/state/c", Port: 8443, Workers: 1, GPUNodes: 1}
		if mod != nil {
			mod(&o)
		}
		return o
	}
	tests := []struct {
		name    string
		nodes   []container
		mirrors []container
		half    bool
		opt     Options
		wantErr string
	}{
		{name: "nothing there", opt: opt(nil)},
		{name: "as asked", nodes: whole, mirrors: []container{mirrorOf("c")}, opt: opt(nil)},
		{name: "mirror lost", nodes: whole, opt: opt(nil)},
		{name: "only the mirror", mirrors: []container{mirrorOf("c")}, opt: opt(nil)},
		{name: "somebody's kind cluster", nodes: []container{kindNode("c-control-plane", roleControlPlane, "")}, opt: opt(nil), wantErr: "c-control-plane is there already"},
		{name: "somebody's mirror", mirrors: []container{mirrorOf("")}, opt: opt(nil), wantErr: "c-mirror is there already"},
		{name: "another state folder", nodes: whole, opt: opt(func(o *Options) { o.StateDir = "/home/c" }), wantErr: "keeps its files in /state/c"},
		{name: "more workers", nodes: whole, opt: opt(func(o *Options) { o.Workers = 3 }), wantErr: "--workers 1: it can't become 3"},
		{name: "fewer GPU nodes", nodes: whole, opt: opt(func(o *Options) { o.GPUNodes = 0 }), wantErr: "--gpu-nodes 1: it can't become 0"},
		{name: "another port", nodes: whole, opt: opt(func(o *Options) { o.Port = 9443 }), wantErr: "--port 8443: it can't become 9443"},
		{name: "half made, other settings", nodes: whole[2:], half: true, opt: opt(func(o *Options) { o.Port = 9443 })},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := State{Name: "c", Complete: !tt.half}
			s.fill(slices.Concat(tt.nodes, tt.mirrors))
			err := s.Accepts(tt.opt)
			if tt.wantErr == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.wantErr) {
				t.Fatalf("error %v, want %q", err, tt.wantErr)
			}
			if ui.ExitCode(err) != 2 || ui.Hint(err) == "" {
				t.Errorf("exit code %d, hint %q", ui.ExitCode(err), ui.Hint(err))
			}
		})
	}
	s := State{Name: "c"}
	s.fill(whole)
	if diff := cmp.Diff([]string{"c-control-plane", "c-worker", "c-worker2"}, s.containerNames()); diff != "" {
		t.Errorf("the control plane isn't first:\n%s", diff)
	}
	if s.Port != 8443 || s.StateDir != "/state/c" {
		t.Errorf("state %+v", s)
	}
}

func TestRemoveState(t *testing.T) {
	root := t.TempDir()
	mine, other := filepath.Join(root, "c"), filepath.Join(root, "home")
	for _, d := range []string{mine, other} {
		if err := os.MkdirAll(filepath.Join(d, "nodes"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := removeState(other, "c"); err == nil {
		t.Error("removed a folder that isn't called after the cluster")
	}
	if _, err := os.Stat(other); err != nil {
		t.Error(err)
	}
	for range 2 { // the second time there is nothing, and that is well
		if err := removeState(mine, "c"); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(mine); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("still there: %v", err)
	}
}
