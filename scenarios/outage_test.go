package scenarios

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/druppie/druppie-up/internal/names"
	"github.com/druppie/druppie-up/internal/ui"
	"github.com/druppie/druppie-up/scenarios/platform"
)

func tracedbObject(apiVersion, kind, namespace string, fields map[string]any) *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: fields}
	u.SetAPIVersion(apiVersion)
	u.SetKind(kind)
	u.SetNamespace(namespace)
	u.SetName("tracedb")
	return u
}

func ready(status string) *unstructured.Unstructured {
	return tracedbObject("kustomize.toolkit.fluxcd.io/v1", "Kustomization", names.NamespaceFlux, map[string]any{
		"spec": map[string]any{"path": "./tracedb"},
		"status": map[string]any{"conditions": []any{
			map[string]any{"type": "Ready", "status": status, "message": "Reconciliation in progress"},
		}},
	})
}

// What is suspended must not stay so, whatever becomes of the script.
func TestOutage(t *testing.T) {
	const held, gone, free = `{"spec":{"suspend":true}}`, `{"spec":{"replicas":0}}`, `{"spec":{"suspend":null}}`
	tests := []struct {
		name, script string
		fails        bool
		want         []string // what was changed
	}{
		{"stopped to the end", "outage trace stop", false, []string{held, "ready", gone, free}},
		{"stopped when the script fails", "outage trace stop\nsame x a b", true, []string{held, "ready", gone, free}},
		{"released", "outage trace stop\noutage trace release", false, []string{held, "ready", gone, free, free}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			client := dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), map[schema.GroupVersionResource]string{
				platform.Kustomizations: "KustomizationList", workloads["trace"].resource: "StatefulSetList",
			}, ready("True"), tracedbObject("apps/v1", "StatefulSet", "druppie-system", map[string]any{"spec": map[string]any{"replicas": int64(1)}}))
			var did []string
			gets := 0
			client.PrependReactor("get", "kustomizations", func(clienttesting.Action) (bool, runtime.Object, error) {
				if gets++; gets == 1 {
					return true, ready("Unknown"), nil // Flux is at it, and would start it again
				}
				did = append(did, "ready")
				return false, nil, nil
			})
			client.PrependReactor("patch", "*", func(a clienttesting.Action) (bool, runtime.Object, error) {
				did = append(did, string(a.(clienttesting.PatchAction).GetPatch()))
				return false, nil, nil
			})
			e := newEngine(t.Context(), Options{Reporter: ui.Discard()})
			e.connected = &platform.Platform{Dynamic: client}
			if h := runScript(t, e, tt.script+"\n"); h.failed != tt.fails {
				t.Error(h.log.String())
			}
			if d := cmp.Diff(tt.want, did); d != "" {
				t.Error(d)
			}
			gets = 1
			k, err := client.Resource(platform.Kustomizations).Namespace(names.NamespaceFlux).Get(t.Context(), "tracedb", metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if _, there, _ := unstructured.NestedBool(k.Object, "spec", "suspend"); there {
				t.Errorf("Flux is left with %v", k.Object["spec"])
			}
		})
	}
}
