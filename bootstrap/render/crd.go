package render

import "k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

// DropDescriptions takes the texts for `kubectl explain` out of the schemas of
// CustomResourceDefinitions, as controller-gen's maxDescLen=0 does. They are three
// quarters of what Kyverno, Tekton and Flux bring (4.2 MB), which the API server
// otherwise parses, merges and publishes again with every comparison with Git.
func DropDescriptions(objs []*unstructured.Unstructured) {
	for _, o := range objs {
		if o.GetKind() == "CustomResourceDefinition" {
			dropDescriptions(o.Object)
		}
	}
}

func dropDescriptions(v any) {
	switch v := v.(type) {
	case map[string]any:
		// A property of that name is a schema, not a text.
		if _, isText := v["description"].(string); isText {
			delete(v, "description")
		}
		for _, child := range v {
			dropDescriptions(child)
		}
	case []any:
		for _, child := range v {
			dropDescriptions(child)
		}
	}
}
