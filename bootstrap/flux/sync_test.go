package flux

import (
	"testing"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Whoever changed by hand what applies a part could keep its controls from being put back until this one looks.
func TestPartsChangedByHandDontStaySo(t *testing.T) {
	objs, err := syncObjects("")
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, o := range objs {
		if o.GetKind() != kustomizev1.KustomizationKind {
			continue
		}
		found = true
		text, _, _ := unstructured.NestedString(o.Object, "spec", "interval")
		if every, err := time.ParseDuration(text); err != nil || every > time.Minute {
			t.Errorf("the parts are compared with Git every %q, want at most a minute (%v)", text, err)
		}
	}
	if !found {
		t.Error("nothing applies the parts")
	}
}
