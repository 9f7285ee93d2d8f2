package collect

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	dynamicfake "k8s.io/client-go/dynamic/fake"

	"github.com/druppie/druppie-up/tracedb"
)

// often is how soon the tests' feeds list again: the fake API server forgets what happens between a
// list and its watch.
const often = 20 * time.Millisecond

// kyvernoEvent is an Event as Kyverno's admission controller writes it to events.k8s.io (pkg/event,
// emitEvent and NewPolicyFailEvent), and core/v1 shows it.
func kyvernoEvent(uid, policy, kind, namespace, name, rule, said string, blocked bool, at time.Time) *corev1.Event {
	message := fmt.Sprintf("%s %s/%s: [%s] fail", kind, namespace, name, rule)
	action := "Resource Passed"
	if blocked {
		message, action = message+" (blocked)", "Resource Blocked"
	}
	message += "; " + said
	if len(message) > 1024 {
		message = message[:1021] + "..."
	}
	e := eventsv1.Event{
		ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("%s.%s%x", policy, uid, at.UnixNano()), Namespace: "default", UID: types.UID(uid), CreationTimestamp: metav1.NewTime(at)},
		EventTime:  metav1.NewMicroTime(at), ReportingController: "kyverno-admission", ReportingInstance: "kyverno-admission-x",
		Action: action, Reason: "PolicyViolation", Note: message, Type: "Warning",
		Regarding: corev1.ObjectReference{APIVersion: "policies.kyverno.io/v1", Kind: "ValidatingPolicy", Name: policy, UID: "p"},
		Related:   &corev1.ObjectReference{APIVersion: "v1", Kind: kind, Namespace: namespace, Name: name},
	}
	// core/v1 and events.k8s.io show one object (k8s.io/kubernetes, pkg/apis/events/v1, conversion.go).
	return &corev1.Event{
		ObjectMeta: e.ObjectMeta, EventTime: e.EventTime, ReportingController: e.ReportingController, ReportingInstance: e.ReportingInstance,
		Action: e.Action, Reason: e.Reason, Message: e.Note, Type: e.Type, InvolvedObject: e.Regarding, Related: e.Related,
	}
}

func failedCreate(uid, message string, count int32) *corev1.Event {
	return &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{Name: "web-6d." + uid, Namespace: "drones", UID: types.UID(uid)},
		InvolvedObject: corev1.ObjectReference{Kind: "ReplicaSet", Namespace: "drones", Name: "web-6d", APIVersion: "apps/v1"},
		Reason:         "FailedCreate", Message: message, Source: corev1.EventSource{Component: "replicaset-controller"},
		FirstTimestamp: metav1.NewTime(noon), LastTimestamp: metav1.NewTime(noon.Add(time.Minute)), Count: count, Type: "Warning",
	}
}

func TestKyverno(t *testing.T) {
	image := "registry.foundry.svc.cluster.local:5000/druppie/x@" + imageX
	first := kyvernoEvent("u1", "foundry-signature", "Pod", "drones", "shell", "foundry-signature", "[C3/F6] "+image+" has no signature", true, noon)
	tests := []struct {
		name   string
		events []*corev1.Event
		want   []string
	}{
		{"blocked", []*corev1.Event{first}, []string{
			"admission denied image:2d711642 namespace:drones pod:drones/shell | Pod/shell foundry-signature: [C3/F6] " + image + " has no signature",
		}},
		{"the same within minutes, and later", []*corev1.Event{
			first,
			kyvernoEvent("u2", "foundry-signature", "Pod", "drones", "shell", "foundry-signature", "[C3/F6] "+image+" has no signature", true, noon.Add(5*time.Minute)),
			kyvernoEvent("u3", "foundry-signature", "Pod", "drones", "shell", "foundry-signature", "[C3/F6] "+image+" has no signature", true, noon.Add(11*time.Minute)),
		}, []string{
			"admission denied image:2d711642 namespace:drones pod:drones/shell | Pod/shell foundry-signature: [C3/F6] " + image + " has no signature",
			"admission denied image:2d711642 namespace:drones pod:drones/shell | Pod/shell foundry-signature: [C3/F6] " + image + " has no signature",
		}},
		{"two policies and two objects", []*corev1.Event{
			kyvernoEvent("u1", "non-root", "Deployment", "drones", "web", "", "root", true, noon),
			kyvernoEvent("u2", "foundry-image", "Deployment", "drones", "web", "", "image", true, noon),
			kyvernoEvent("u3", "non-root", "Deployment", "drones", "api", "", "root", true, noon),
		}, []string{
			"admission denied namespace:drones | Deployment/api non-root: root",
			"admission denied namespace:drones | Deployment/web foundry-image: image",
			"admission denied namespace:drones | Deployment/web non-root: root",
		}},
		{"seen and let in", []*corev1.Event{kyvernoEvent("u1", "non-root", "Pod", "drones", "x", "r", "root", false, noon)}, nil},
		{"a pod that a controller may not make, many times", []*corev1.Event{
			failedCreate("u4", `Error creating: admission webhook "vpol.validate.kyverno.svc-fail" denied the request: Policy non-root failed: root`, 7),
		}, []string{"admission denied namespace:drones | ReplicaSet/web-6d non-root: root"}},
		{"a pod for which there is no room", []*corev1.Event{failedCreate("u5", `Error creating: pods "x" is forbidden: exceeded quota`, 1)}, nil},
		{"somebody else's event of that name", []*corev1.Event{{
			ObjectMeta: metav1.ObjectMeta{Name: "x", Namespace: "drones", UID: "u6"}, Reason: "PolicyViolation", Message: "Pod drones/x: [r] fail (blocked); no",
			ReportingController: "evil", Action: "Resource Blocked", EventTime: metav1.NewMicroTime(noon),
		}}, nil},
		{"other words than Kyverno's", []*corev1.Event{{
			ObjectMeta: metav1.ObjectMeta{Name: "x", Namespace: "drones", UID: "u7"}, Reason: "PolicyViolation", Message: "blocked",
			ReportingController: "kyverno-admission", Action: "Resource Blocked", EventTime: metav1.NewMicroTime(noon),
		}}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tr := newTrace(t)
			client := newCluster()
			collector := func() *Kyverno {
				k := NewKyverno(client, tr.options())
				k.relist = often
				withTestClock(k.recorder)
				return k
			}
			k := collector()
			stop := runs(t, k.Run)
			eventually(t, "it listed", func() bool { return !k.Status().LastSuccess.IsZero() })
			for _, e := range tt.events {
				client.create(t, e)
			}
			eventually(t, "they are recorded", func() bool { return len(tr.records()) >= len(tt.want) })
			before := len(client.Actions())
			eventually(t, "it has listed again", func() bool { return len(client.Actions()) > before+8 })
			stop()
			// A restart, and one that finds the Events in place at once.
			k = collector()
			stop = runs(t, k.Run)
			eventually(t, "it listed", func() bool { return !k.Status().LastSuccess.IsZero() })
			stop()
			got := tr.lines(fluxLine(t))
			if diff := cmp.Diff(tt.want, sorted(got)); diff != "" {
				t.Errorf("records (-want +got):\n%s", diff)
			}
		})
	}
}

// A message that Kyverno cut off is read as far as it goes.
func TestKyvernoCutOff(t *testing.T) {
	e := kyvernoEvent("u", "p", "Pod", "drones", "x", "r", strings.Repeat("long ", 400), true, noon)
	d := eventDrafts(e)
	if len(d) != 1 || !strings.HasSuffix(payload[tracedb.Admission](t, d[0].Payload).Reason, "...") {
		t.Errorf("drafts = %+v", d)
	}
}

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
	// What the webhook tells of the same.
	events := map[string]func() any{
		"applied": func() any { return finished(revA, noon.Add(3*time.Second)) },
		"refused": func() any { return failing(revA, "ReconciliationFailed", refusedByTwo, noon) },
		"not healthy": func() any {
			return failing(revA, "HealthCheckFailed", "health check failed after 2m0.011s: timeout waiting for: [Deployment/drones/x status: 'InProgress']", noon)
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tr := newTrace(t)
			scheme := runtime.NewScheme()
			client := dynamicfake.NewSimpleDynamicClientWithCustomListKinds(scheme, map[schema.GroupVersionResource]string{
				kustomizationResource: "KustomizationList", gitRepositoryResource: "GitRepositoryList",
			}, tt.object, flux("GitRepository", "fleet", map[string]any{"spec": map[string]any{"url": "https://gitea.gitea.svc.cluster.local:3000/druppie/fleet.git"}}))
			watch := func() *Kustomizations {
				k := NewKustomizations(client, "flux-system", tr.options())
				k.relist = often
				withTestClock(k.recorder)
				stop := runs(t, k.Run)
				eventually(t, "it listed", func() bool { return !k.Status().LastSuccess.IsZero() })
				stop()
				return k
			}
			k := watch()
			if diff := cmp.Diff(tt.want, tr.lines(fluxLine(t))); diff != "" {
				t.Errorf("records (-want +got):\n%s", diff)
			}
			// The webhook comes after all, and the service restarts: nothing doubles.
			if e := events[tt.name]; e != nil {
				h := Flux([]byte(secret), k, tr.options())
				withTestClock(h.recorder)
				body, err := json.Marshal(e())
				if err != nil {
					t.Fatal(err)
				}
				w := post(h, "POST", string(body), "Content-Type", "application/json", "X-Signature", "sha256="+hmacOf(secret, string(body)))
				if w.Code != 202 {
					t.Errorf("status %d", w.Code)
				}
			}
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
