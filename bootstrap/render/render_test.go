package render

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func TestKustomizeBuildsUpstreamWithOurPatches(t *testing.T) {
	ours := fstest.MapFS{"kustomization.yaml": {Data: []byte(`
namespace: there
resources: [upstream/example.com/part/config/cm.yaml]
patches:
- target: {kind: ConfigMap}
  patch: |
    - op: add
      path: /data/key
      value: |-
        ${key}
`)}}
	upstream := fstest.MapFS{"example.com/part/config/cm.yaml": {Data: []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {a: b}\n")}}
	out, err := Kustomize(ours, upstream, map[string]string{"key": "secretless"})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"namespace: there", "a: b", "key: secretless"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("output lacks %q:\n%s", want, out)
		}
	}
}

func TestKustomizeRefusesWhatIsNotThere(t *testing.T) {
	ours := fstest.MapFS{"kustomization.yaml": {Data: []byte("resources: [upstream/gone.yaml]\n")}}
	if _, err := Kustomize(ours, nil, nil); err == nil {
		t.Fatal("a missing resource was accepted")
	}
}

func TestSubstituteKeepsIndentation(t *testing.T) {
	got := Substitute([]byte("key:\n  data: |\n    ${pem}\nother: ${unknown}\n"), map[string]string{"pem": "a\nb\n"})
	want := "key:\n  data: |\n    a\n    b\nother: ${unknown}\n"
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Error(diff)
	}
}

func TestPin(t *testing.T) {
	const digest = "sha256:aa"
	images := []Image{
		{Name: "ghcr.io/x/controller:v1", Ko: "example.com/x/cmd/controller", Digest: digest},
		{Name: "docker.io/library/registry:3", Digest: digest},
		{Name: "ghcr.io/x/unbuilt:v1"},
	}
	tests := []struct{ name, in, want string }{
		{"ko reference", "ko://example.com/x/cmd/controller", "ghcr.io/x/controller:v1@sha256:aa"},
		{"name and tag", "ghcr.io/x/controller:v1", "ghcr.io/x/controller:v1@sha256:aa"},
		{"short name of an official image", "registry:3", "docker.io/library/registry:3@sha256:aa"},
		{"an argument", "--image=ghcr.io/x/controller:v1", "--image=ghcr.io/x/controller:v1@sha256:aa"},
		{"another tag is not ours", "ghcr.io/x/controller:v2", "ghcr.io/x/controller:v2"},
		{"no digest known", "ghcr.io/x/unbuilt:v1", "ghcr.io/x/unbuilt:v1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"l": []any{map[string]any{"image": tt.in}}}}}
			unpinned := Pin([]*unstructured.Unstructured{o}, images)
			got := o.Object["spec"].(map[string]any)["l"].([]any)[0].(map[string]any)["image"]
			if got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
			if wantUnpinned := tt.name == "no digest known"; wantUnpinned != (len(unpinned) == 1) {
				t.Errorf("unpinned = %v", unpinned)
			}
		})
	}
}

func TestChart(t *testing.T) {
	chart := fstest.MapFS{
		"Chart.yaml":        {Data: []byte("apiVersion: v2\nname: c\nversion: 0.1.0\n")},
		"values.yaml":       {Data: []byte("port: 1\n")},
		"templates/cm.yaml": {Data: []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ .Release.Name }}, namespace: {{ .Release.Namespace }}}\ndata: {port: \"{{ .Values.port }}\"}\n")},
	}
	out, err := Chart(chart, "rel", "ns", map[string]any{"port": 8443})
	if err != nil {
		t.Fatal(err)
	}
	if want := `{name: rel, namespace: ns}`; !strings.Contains(string(out), want) || !strings.Contains(string(out), `"8443"`) {
		t.Errorf("unexpected:\n%s", out)
	}
}
