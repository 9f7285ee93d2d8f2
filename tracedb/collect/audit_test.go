package collect

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	authnv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"

	"github.com/druppie/druppie-up/tracedb"
)

const (
	human   = "kubernetes-admin"
	replica = "system:serviceaccount:kube-system:replicaset-controller"
)

// asked is an event of the API server's audit log: group/resource/subresource, namespace/name, and the code of the
// answer.
func asked(user, verb, resource, object string, code int32, message string) auditv1.Event {
	group, resource, _ := strings.Cut(resource, ":")
	if resource == "" {
		group, resource = "", group
	}
	resource, sub, _ := strings.Cut(resource, "/")
	namespace, name, _ := strings.Cut(object, "/")
	e := auditv1.Event{
		Level: auditv1.LevelMetadata, AuditID: types.UID(hash(user, verb, resource, object, message)), Stage: auditv1.StageResponseComplete, Verb: verb,
		RequestURI: "/api/x", User: authnv1.UserInfo{Username: user}, UserAgent: "kubectl/v1.36.0",
		ObjectRef:      &auditv1.ObjectReference{Resource: resource, APIGroup: group, Subresource: sub, Namespace: namespace, Name: name},
		ResponseStatus: &metav1.Status{Code: code, Message: message},
	}
	return when(e, noon)
}

func when(e auditv1.Event, t time.Time) auditv1.Event {
	e.RequestReceivedTimestamp, e.StageTimestamp = metav1.NewMicroTime(t), metav1.NewMicroTime(t.Add(time.Millisecond))
	return e
}

// forPod adds the pod that was asked for, as the log has it: its maker has no name for it yet.
func forPod(t *testing.T, e auditv1.Event) auditv1.Event {
	t.Helper()
	yes := true
	pod := corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			GenerateName: "web-6d-", Labels: map[string]string{"druppie.io/algorithm-id": "alg-d1jk3vl8"},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "web-6d", Controller: &yes}},
		},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Image: "registry.foundry.svc.cluster.local:5000/druppie/x@" + imageX}}},
	}
	raw, err := json.Marshal(pod)
	if err != nil {
		t.Fatal(err)
	}
	e.RequestObject = &runtime.Unknown{Raw: raw, ContentType: runtime.ContentTypeJSON}
	return e
}

func lines(t *testing.T, events ...auditv1.Event) [][]byte {
	t.Helper()
	var out [][]byte
	for _, e := range events {
		raw, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, raw)
	}
	return out
}

func newAudit(tr *trace) *Audit {
	// As beside the API server, where nobody may search the log.
	a := NewAudit(Options{Sink: tr.as(tracedb.KindAdmission, tracedb.KindRequest, tracedb.KindDrift)})
	withTestClock(a.recorder)
	return a
}

// as is a sink that writes as the account of the collector, which is no part of the service.
func (tr *trace) as(kinds ...tracedb.Kind) Sink {
	return func(ctx context.Context, _ tracedb.Identity, drafts []tracedb.Draft) ([]tracedb.Receipt, error) {
		return tr.sink(ctx, tracedb.Identity{Name: "audit", Roles: []tracedb.Role{tracedb.RoleWriter}, Kinds: kinds}, drafts)
	}
}

func auditLine(t *testing.T) func(tracedb.Record) string {
	return func(r tracedb.Record) string {
		about := refTexts(r.Refs) + " | "
		switch r.Kind {
		case tracedb.KindDrift:
			d := payload[tracedb.Drift](t, r.Payload)
			return about + d.Object + " want " + d.Want + " got " + d.Got + " by " + d.By
		case tracedb.KindAdmission:
			a := payload[tracedb.Admission](t, r.Payload)
			return about + a.Resource + " by " + a.User + " " + a.Policy + ": " + a.Reason
		}
		q := payload[tracedb.Request](t, r.Payload)
		return about + q.User + " " + q.Verb + " " + q.Resource + " " + q.Name + " " + q.Reason
	}
}

const webhookSaid = `admission webhook "vpol.validate.kyverno.svc-fail" denied the request: Policy non-root failed: root`

func TestAudit(t *testing.T) {
	started := asked(human, "create", "pods/exec", "drones/web-1", 101, "")
	started.Stage = auditv1.StageResponseStarted
	ended := when(started, noon.Add(10*time.Second))
	dry := asked(fluxAccount, "patch", "apps:deployments", "drones/web", 403, webhookSaid)
	dry.RequestURI = "/apis/apps/v1/namespaces/drones/deployments/web?dryRun=All&fieldManager=kustomize-controller"
	dryDelete := asked(human, "delete", "configmaps", "drones/x", 200, "")
	dryDelete.RequestURI = "/api/v1/namespaces/drones/configmaps/x?dryRun=All"
	impersonated := asked(human, "patch", "networking.k8s.io:networkpolicies", "drones/default-deny", 403, "networkpolicies is forbidden")
	impersonated.ImpersonatedUser = &authnv1.UserInfo{Username: "system:serviceaccount:drones:deployer"}
	tests := []struct {
		name   string
		events []auditv1.Event
		want   []string
	}{
		{"a command in a pod, when it begins and ends", []auditv1.Event{started, ended},
			[]string{"request allowed namespace:drones pod:drones/web-1 | kubernetes-admin create pods/exec web-1"}},
		{"a way into a pod of the platform, by one of its accounts", []auditv1.Event{
			asked("system:serviceaccount:foundry:listener", "get", "pods/portforward", "kyverno/kyverno-1", 101, ""),
		}, []string{"request allowed namespace:kyverno pod:kyverno/kyverno-1 | system:serviceaccount:foundry:listener get pods/portforward kyverno-1"}},
		{"one that isn't allowed", []auditv1.Event{asked("eve", "create", "pods/exec", "drones/web-1", 403, "eve may not")},
			[]string{"request denied namespace:drones pod:drones/web-1 | eve create pods/exec web-1 eve may not"}},
		{"a pod is refused", []auditv1.Event{asked(human, "create", "pods", "drones/shell", 400, webhookSaid)},
			[]string{"admission denied namespace:drones pod:drones/shell | Pod/shell by kubernetes-admin non-root: root"}},
		{"a controller's, many times", []auditv1.Event{
			forPod(t, asked(replica, "create", "pods", "drones/", 400, webhookSaid)), when(forPod(t, asked(replica, "create", "pods", "drones/", 400, webhookSaid)), noon.Add(time.Minute)),
		}, []string{"admission denied algorithm:alg-d1jk3vl8 image:2d711642 namespace:drones | ReplicaSet/web-6d by " + replica + " non-root: root"}},
		{"asked as somebody else", []auditv1.Event{impersonated},
			[]string{"request denied namespace:drones | kubernetes-admin patch networkpolicies.networking.k8s.io default-deny networkpolicies is forbidden"}},
		{"a dry run", []auditv1.Event{dry}, nil},
		{"what the platform does", []auditv1.Event{
			asked(fluxAccount, "patch", "apps:deployments", "drones/web", 200, ""), asked(replica, "create", "pods", "drones/", 201, ""),
			asked("system:node:druppie-control-plane", "patch", "pods", "drones/web-1", 200, ""), asked(replica, "create", "pods", "drones/", 403, "exceeded quota"),
		}, nil},
		{"what went wrong is no refusal", []auditv1.Event{asked(human, "delete", "configmaps", "drones/x", 404, "not found"), asked(human, "create", "pods", "drones/x", 409, "already exists")}, nil},
		{"a webhook that didn't answer", []auditv1.Event{asked(human, "create", "pods", "drones/x", 500, `failed calling webhook "vpol.validate.kyverno.svc-fail": no endpoints`)}, nil},
		{"changes by hand", []auditv1.Event{
			asked(human, "patch", "apps:deployments/scale", "drones/web", 200, ""), asked(human, "delete", "kustomize.toolkit.fluxcd.io:kustomizations", "flux-system/fleet", 200, ""),
			asked(human, "create", "secrets", "gitea/x", 201, ""), asked(human, "get", "secrets", "drones/x", 200, ""), asked(human, "patch", "namespaces", "/drones", 200, ""),
		}, []string{
			"request allowed namespace:drones | kubernetes-admin patch deployments.apps/scale web",
			"request allowed namespace:flux-system | kubernetes-admin delete kustomizations.kustomize.toolkit.fluxcd.io fleet",
			"request allowed namespace:gitea | kubernetes-admin create secrets x",
			"request allowed  | kubernetes-admin patch namespaces drones",
		}},
		{"a deletion that calls itself a dry run, which its body decides", []auditv1.Event{dryDelete},
			[]string{"request allowed namespace:drones | kubernetes-admin delete configmaps x"}},
		{"a message that quotes what was asked for", []auditv1.Event{
			asked("eve", "create", "configmaps", "drones/x", 422, `ConfigMap "x" is invalid: data[`+webhookSaid+`]: Invalid value`),
		}, nil},
		{"what an account of the platform has no right to", []auditv1.Event{asked("system:serviceaccount:foundry:step-build", "create", "secrets", "druppie-system/x", 403, "may not")},
			[]string{"request denied namespace:druppie-system | system:serviceaccount:foundry:step-build create secrets x may not"}},
		{"somebody whom the API server doesn't know", []auditv1.Event{asked("", "create", "pods", "drones/x", 401, "Unauthorized")},
			[]string{"request denied namespace:drones pod:drones/x | system:anonymous create pods x Unauthorized"}},
		{"an account with a long name", []auditv1.Event{asked("system:serviceaccount:drones:"+strings.Repeat("x", 253), "create", "pods/exec", "drones/web-1", 101, "")},
			[]string{"request allowed namespace:drones pod:drones/web-1 | system:serviceaccount:drones:" + strings.Repeat("x", 253) + " create pods/exec web-1"}},
		{"Flux puts back a policy", []auditv1.Event{
			asked(human, "patch", "policies.kyverno.io:validatingpolicies", "/non-root", 200, ""), asked(fluxAccount, "patch", "policies.kyverno.io:validatingpolicies", "/non-root", 200, ""),
		}, []string{
			"request allowed  | kubernetes-admin patch validatingpolicies.policies.kyverno.io non-root",
			"drift undone namespace:flux-system | validatingpolicies/non-root want as in Git got otherwise by kubernetes-admin",
		}},
		{"what Flux writes later puts nothing back", []auditv1.Event{
			asked(human, "patch", "services", "drones/web", 200, ""), when(asked(fluxAccount, "patch", "services", "drones/web", 200, ""), noon.Add(time.Hour)),
		}, []string{"request allowed namespace:drones | kubernetes-admin patch services web"}},
		{"Flux puts back what was deleted", []auditv1.Event{
			asked(human, "delete", "apps:deployments", "drones/web", 200, ""), asked(fluxAccount, "patch", "apps:deployments", "drones/web", 201, ""),
			asked(fluxAccount, "patch", "apps:deployments", "drones/web", 200, ""),
		}, []string{
			"request allowed namespace:drones | kubernetes-admin delete deployments.apps web",
			"drift undone namespace:drones | Deployment/web want as in Git got gone by kubernetes-admin",
		}},
		{"and what was changed", []auditv1.Event{
			asked(human, "patch", "services", "drones/web", 200, ""), asked(fluxAccount, "patch", "services", "drones/web", 200, ""),
			asked(human, "create", "configmaps", "drones/more", 201, ""), asked(fluxAccount, "delete", "configmaps", "drones/more", 200, ""),
		}, []string{
			"request allowed namespace:drones | kubernetes-admin patch services web",
			"drift undone namespace:drones | Service/web want as in Git got otherwise by kubernetes-admin",
			"request allowed namespace:drones | kubernetes-admin create configmaps more",
			"drift undone namespace:drones | ConfigMap/more want gone got there by kubernetes-admin",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tr := newTrace(t)
			for range 2 { // the second time after a restart that lost how far it had read
				if err := newAudit(tr).Lines(t.Context(), lines(t, tt.events...)); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(tt.want, tr.lines(auditLine(t))); diff != "" {
				t.Errorf("records (-want +got):\n%s", diff)
			}
		})
	}
}

// TestAuditFlood asks more often than is recorded: others' requests are recorded all the same.
func TestAuditFlood(t *testing.T) {
	tr := newTrace(t)
	a := newAudit(tr)
	var events []auditv1.Event
	for i := range 500 {
		events = append(events, asked("eve", "create", "configmaps", fmt.Sprintf("ns%d/x%d", i, i), http.StatusForbidden, "no"))
	}
	events = append(events, asked(human, "create", "pods/exec", "drones/web-1", 101, ""))
	if err := a.Lines(t.Context(), lines(t, events...)); err != nil {
		t.Fatal(err)
	}
	got := tr.lines(auditLine(t))
	if len(got) != otherRequests.burst+2 {
		t.Errorf("%d records, want %d, one that there were more, and the other's", len(got), otherRequests.burst)
	}
	if !strings.Contains(strings.Join(got, "\n"), "eve more requests") || !strings.Contains(got[len(got)-1], "kubernetes-admin create pods/exec") {
		t.Errorf("at last %q", got[len(got)-2:])
	}
}

// TestAuditNonsense leaves out what is no event.
func TestAuditNonsense(t *testing.T) {
	tr := newTrace(t)
	given := append([][]byte{[]byte("{"), []byte(`{"kind":"Event"}`), []byte(`[]`)}, lines(t, asked(human, "create", "pods/exec", "drones/web-1", 101, ""))...)
	if err := newAudit(tr).Lines(t.Context(), given); err != nil {
		t.Fatal(err)
	}
	if got := tr.records(); len(got) != 1 {
		t.Errorf("%d records", len(got))
	}
}
