package render

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func TestDropDescriptionsKeepsWhatIsNamedSo(t *testing.T) {
	crd := func(texts bool) *unstructured.Unstructured {
		schema := map[string]any{"type": "object", "properties": map[string]any{
			"description": map[string]any{"type": "string"},
			"steps":       map[string]any{"type": "array", "items": map[string]any{"type": "string"}},
		}}
		if texts {
			schema["description"] = "What it is."
			for _, p := range schema["properties"].(map[string]any) {
				p.(map[string]any)["description"] = "What a property is."
			}
		}
		return &unstructured.Unstructured{Object: map[string]any{
			"kind": "CustomResourceDefinition",
			"spec": map[string]any{"versions": []any{map[string]any{"schema": map[string]any{"openAPIV3Schema": schema}}}},
		}}
	}
	other := func() *unstructured.Unstructured {
		return &unstructured.Unstructured{Object: map[string]any{"kind": "Task", "spec": map[string]any{"description": "Builds."}}}
	}
	got := []*unstructured.Unstructured{crd(true), other()}
	DropDescriptions(got)
	if diff := cmp.Diff([]*unstructured.Unstructured{crd(false), other()}, got); diff != "" {
		t.Errorf("after dropping (-want +got):\n%s", diff)
	}
}
