package collect

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"

	"github.com/druppie/druppie-up/internal/names"
)

// refusedConnection is an Event in the audit log that says that a pod was refused a connection.
func refusedConnection(t *testing.T, by, reason, pod, peer, port string) auditv1.Event {
	t.Helper()
	namespace, name, _ := strings.Cut(pod, "/")
	raw, err := json.Marshal(corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{Annotations: map[string]string{names.AnnotationPeer: peer, names.AnnotationPort: port}},
		InvolvedObject: corev1.ObjectReference{Kind: "Pod", Namespace: namespace, Name: name}, Reason: reason, Message: "no policy allows it",
	})
	if err != nil {
		t.Fatal(err)
	}
	e := asked(by, "create", "events", namespace+"/", 201, "")
	e.RequestObject = &runtime.Unknown{Raw: raw}
	return e
}

// TestConnections records what podnet says, of whomever it says it, and what nobody else says in its place.
func TestConnections(t *testing.T) {
	const pod, peer, port = "drones/web-1", "kyverno/kyverno-1 (10.244.0.9)", "port 9443/TCP"
	out := refusedConnection(t, networkAccount, names.EgressRefused, pod, peer, port)
	again := when(out, noon.Add(repeats))
	again.Verb, again.RequestObject, again.ResponseObject = "patch", &runtime.Unknown{Raw: []byte(`{"count":2}`)}, out.RequestObject
	changed := out
	changed.ResponseObject = refusedConnection(t, networkAccount, names.EgressRefused, "drones/another", peer, port).RequestObject
	anew := when(out, noon.Add(time.Minute))
	anew.RequestObject = &runtime.Unknown{Raw: bytes.Replace(out.RequestObject.Raw, []byte(`"kind":"Pod"`), []byte(`"kind":"Pod","uid":"another"`), 1)}
	const want = "request denied namespace:drones pod:drones/web-1 | drones/web-1 connect to kyverno/kyverno-1 port 9443/TCP no policy allows it"
	for _, tt := range []struct {
		name   string
		events []auditv1.Event
		want   []string
	}{
		{"out of a pod", []auditv1.Event{out},
			[]string{want}},
		{"into a pod", []auditv1.Event{refusedConnection(t, networkAccount, names.IngressRefused, pod, peer, port)},
			[]string{"request denied namespace:drones pod:drones/web-1 | kyverno/kyverno-1 connect to drones/web-1 port 9443/TCP no policy allows it"}},
		{"told anew", []auditv1.Event{out, when(out, noon.Add(time.Minute)), when(out, noon.Add(repeats))}, []string{want, want}},
		{"told of a pod that was made anew", []auditv1.Event{out, anew, anew}, []string{want, want}},
		{"a patch, whose answer has what others wrote", []auditv1.Event{again}, nil},
		{"an answer in which others changed it", []auditv1.Event{changed}, []string{want}},
		{"somebody else says so", []auditv1.Event{refusedConnection(t, "system:serviceaccount:kube-system:generic-garbage-collector", names.EgressRefused, pod, peer, port)}, nil},
		{"an address that nobody has", []auditv1.Event{refusedConnection(t, networkAccount, names.AddressRefused, pod, peer, port)}, nil},
		{"what podnet says of something else", []auditv1.Event{refusedConnection(t, networkAccount, "Started", pod, peer, port)}, nil},
		{"the canary", []auditv1.Event{refusedConnection(t, networkAccount, names.EgressRefused, names.NamespaceSystem+"/"+names.Canary+"-x", peer, port)}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tr := newTrace(t)
			if err := newAudit(tr).Lines(t.Context(), lines(t, tt.events...)); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, tr.lines(auditLine(t))); diff != "" {
				t.Errorf("records (-want +got):\n%s", diff)
			}
		})
	}
}

// TestConnectionsFlood has one pod try more than is recorded: another's refusal is recorded all the same.
func TestConnectionsFlood(t *testing.T) {
	var events []auditv1.Event
	for n := range connections.burst + 50 {
		events = append(events, refusedConnection(t, networkAccount, names.EgressRefused, "drones/loud", fmt.Sprintf("10.0.0.%d", n), "port 80/TCP"))
	}
	events = append(events, refusedConnection(t, networkAccount, names.EgressRefused, "drones/quiet", "10.1.1.1", "port 80/TCP"))
	tr := newTrace(t)
	if err := newAudit(tr).Lines(t.Context(), lines(t, events...)); err != nil {
		t.Fatal(err)
	}
	got := tr.lines(auditLine(t))
	all := strings.Join(got, "\n")
	if !strings.Contains(all, "pod:drones/loud | drones/loud more requests") {
		t.Errorf("that there was more isn't about the pod: %q", got)
	}
	if len(got) != connections.burst+2 || !strings.Contains(all, "drones/quiet connect to 10.1.1.1") || !strings.Contains(all, "drones/loud more requests") {
		t.Errorf("%d records, the last of them %q", len(got), got[len(got)-2:])
	}
}
