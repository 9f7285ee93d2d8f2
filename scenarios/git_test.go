package scenarios

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

func TestSetImage(t *testing.T) {
	const (
		name = "registry.foundry.svc.cluster.local:5000/druppie/drone-service"
		file = "resources: [deploy]\nimages:\n- name: " + name + "\n  digest: sha256:aa\n"
	)
	tests := []struct {
		name, ref string
		want      map[string]any
	}{
		{"digest", name + "@sha256:bb", map[string]any{"name": name, "digest": "sha256:bb"}},
		{"tag", name + ":scenario", map[string]any{"name": name, "newTag": "scenario"}},
		{"elsewhere", "docker.io/library/python@sha256:cc",
			map[string]any{"name": name, "newName": "docker.io/library/python", "digest": "sha256:cc"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			out, err := setImage([]byte(file), name, tt.ref)
			if err != nil {
				t.Fatal(err)
			}
			var got map[string]any
			if err := yaml.Unmarshal(out, &got); err != nil {
				t.Fatal(err)
			}
			want := map[string]any{"resources": []any{"deploy"}, "images": []any{tt.want}}
			if d := cmp.Diff(want, got); d != "" {
				t.Error(d)
			}
		})
	}
	for _, ref := range []string{name, "python"} {
		if _, err := setImage([]byte(file), name, ref); err == nil {
			t.Errorf("%s was taken for a reference", ref)
		}
	}
	if _, err := setImage([]byte(file), "other", name+":x"); err == nil {
		t.Error("an image that isn't there was set")
	}
}

func TestGitErrTellsRefusalsFromFaults(t *testing.T) {
	tests := []struct {
		said string
		want bool
	}{
		{"command error on refs/heads/main: pre-receive hook declined", true},
		{"authorization failed", true},
		{"dial tcp 127.0.0.1:1: connection refused", false},
		{"unexpected EOF", false},
	}
	for _, tt := range tests {
		if got := errors.As(gitErr("push", errors.New(tt.said)), new(refusal)); got != tt.want {
			t.Errorf("%q: refusal %v, want %v", tt.said, got, tt.want)
		}
	}
}

// In another place nothing is called as in the sample's.
func TestCopyServiceIsNamedAfterItsPlace(t *testing.T) {
	dir := t.TempDir()
	if err := copyService(dir, Place{Tenant: "water", Service: "pump-service", Algorithm: "alg-00000001"}); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "deploy", "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	text := ""
	for _, file := range append(files, filepath.Join(dir, "algorithm.yaml")) {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text += string(data)
	}
	for word, want := range map[string]bool{
		"drone-service": false, "alg-d1jk3vl8": false, "druppie/pump-service": true, "name: pump-service": true, "alg-00000001": true,
	} {
		if strings.Contains(text, word) != want {
			t.Errorf("%q is there: %v", word, !want)
		}
	}
}

func TestCopyServiceIsWhole(t *testing.T) {
	dir := t.TempDir()
	if err := copyService(dir, Sample()); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		"Dockerfile", "algorithm.yaml", "drone_service/__init__.py", "drone_service/__main__.py",
		"tests/__init__.py", "deploy/kustomization.yaml", "samples/dike-section.geojson", ".gitignore",
	} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "embed.go")); err == nil {
		t.Error("the Go file that embeds the service is among its files")
	}
	err := filepath.WalkDir(dir, func(name string, _ os.DirEntry, err error) error {
		if strings.Contains(name, "__pycache__") {
			t.Errorf("%s: a cache is no source", name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
