package collect

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	dynamicfake "k8s.io/client-go/dynamic/fake"

	"github.com/druppie/druppie-up/tracedb"
)

// often is how soon the tests' feeds list again: the fake API server forgets what happens between a
// list and its watch.
const often = 20 * time.Millisecond

func sorted(s []string) []string { return slices.Sorted(slices.Values(s)) }

func flux(kind, name string, fields map[string]any) *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: fields}
	group := "kustomize.toolkit.fluxcd.io/v1"
	if kind == "GitRepository" {
		group = "source.toolkit.fluxcd.io/v1"
	}
	u.SetAPIVersion(group)
	u.SetKind(kind)
	u.SetNamespace("flux-system")
	u.SetName(name)
	u.SetUID("3f6a")
	return u
}

func kustomizationWith(status, reason, message, revision string) *unstructured.Unstructured {
	field := map[string]any{"lastAttemptedRevision": revision, "conditions": []any{
		map[string]any{"type": "Reconciling", "status": "True", "reason": "Progressing"},
		map[string]any{"type": "Ready", "status": status, "reason": reason, "message": message, "lastTransitionTime": noon.Format(time.RFC3339)},
	}}
	if status == "True" {
		field["lastAppliedRevision"] = revision
		field["history"] = []any{
			map[string]any{"firstReconciled": noon.Add(-time.Hour).Format(time.RFC3339), "lastReconciledStatus": "ReconciliationFailed", "metadata": map[string]any{"revision": revision}},
			map[string]any{"firstReconciled": noon.Add(-time.Minute).Format(time.RFC3339), "lastReconciledStatus": "ReconciliationSucceeded", "metadata": map[string]any{"revision": revision}},
		}
	}
	return flux("Kustomization", "tenant-drones", map[string]any{
		"spec": map[string]any{
			"targetNamespace": "drones", "sourceRef": map[string]any{"kind": "GitRepository", "name": "fleet"},
		},
		"status": field,
	})
}

func nextRefused() *unstructured.Unstructured {
	u := kustomizationWith("False", "ReconciliationFailed", `Pod/drones/x dry-run failed: admission webhook "w" denied the request: Policy p failed: no`, revB)
	if err := unstructured.SetNestedField(u.Object, revA, "status", "lastAppliedRevision"); err != nil {
		panic(err)
	}
	return u
}

func TestKustomizations(t *testing.T) {
	tests := []struct {
		name   string
		object *unstructured.Unstructured
		want   []string
	}{
		{"applied", kustomizationWith("True", "ReconciliationSucceeded", "Applied revision: "+revA, revA),
			[]string{"deployment passed namespace:drones revision:aaaaaaaa | Kustomization/tenant-drones"}},
		{"refused", kustomizationWith("False", "ReconciliationFailed", strings.TrimSuffix(refusedByTwo, "\n"), revA), []string{
			"admission denied image:2d711642 namespace:drones revision:aaaaaaaa | Deployment/drone-service foundry-image: [C4/F6] registry.foundry.svc.cluster.local:5000/druppie/drone-service@" + imageX + " isn't known",
			"admission denied namespace:drones revision:aaaaaaaa | Deployment/drone-service non-root: [C5/F6] a container may run as root. Set runAsNonRoot: true.; [C5/F6] a container is privileged.",
		}},
		{"not healthy", kustomizationWith("False", "HealthCheckFailed", "timeout waiting for: [Deployment/drones/x status: 'InProgress']", revA),
			[]string{"deployment failed namespace:drones revision:aaaaaaaa | Kustomization/tenant-drones timeout waiting for: [Deployment/drones/x status: 'InProgress']"}},
		{"the next one refused", nextRefused(), []string{
			"deployment passed namespace:drones revision:aaaaaaaa | Kustomization/tenant-drones",
			"admission denied namespace:drones pod:drones/x revision:bbbbbbbb | Pod/x p: no",
		}},
		{"on its way", kustomizationWith("Unknown", "Progressing", "Reconciliation in progress", revA), nil},
		{"waits", kustomizationWith("False", "DependencyNotReady", "dependency 'flux-system/tenants' is not ready", revA), nil},
		{"new", flux("Kustomization", "tenant-drones", map[string]any{}), nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tr := newTrace(t)
			scheme := runtime.NewScheme()
			client := dynamicfake.NewSimpleDynamicClientWithCustomListKinds(scheme, map[schema.GroupVersionResource]string{
				kustomizationResource: "KustomizationList", gitRepositoryResource: "GitRepositoryList",
			}, tt.object, flux("GitRepository", "fleet", map[string]any{"spec": map[string]any{"url": "https://gitea.gitea.svc.cluster.local:3000/druppie/fleet.git"}}))
			watch := func() {
				k := NewKustomizations(client, "flux-system", tr.options())
				k.relist = often
				withTestClock(k.recorder)
				stop := runs(t, k.Run)
				eventually(t, "it listed", func() bool { return !k.Status().LastSuccess.IsZero() })
				stop()
			}
			watch()
			if diff := cmp.Diff(tt.want, tr.lines(fluxLine(t))); diff != "" {
				t.Errorf("records (-want +got):\n%s", diff)
			}
			// The service restarts: nothing doubles.
			watch()
			if n := len(tr.records()); n != len(tt.want) {
				t.Errorf("%d records, want %d: %q", n, len(tt.want), tr.brief())
			}
			for _, r := range tr.records() {
				if tt.name == "applied" && !r.At.Equal(noon.Add(-time.Minute)) {
					t.Errorf("applied at %s, want when it first was", r.At)
				}
				if r.Kind == tracedb.KindDeployment && payload[tracedb.Deployment](t, r.Payload).Source != "druppie/fleet" {
					t.Errorf("source = %s", r.Payload)
				}
			}
		})
	}
}
