package bootstrap

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/druppie/druppie-up/internal/names"
	"github.com/druppie/druppie-up/internal/ui"
)

func TestRefusal(t *testing.T) {
	at := time.Date(2026, 11, 30, 9, 0, 0, 0, time.UTC)
	event := func(change func(*corev1.Event)) corev1.Event {
		e := corev1.Event{
			ObjectMeta:     metav1.ObjectMeta{Annotations: map[string]string{names.AnnotationPeer: "gitea/gitea-1 (10.0.0.1)", names.AnnotationPort: "port 3000/TCP"}},
			InvolvedObject: corev1.ObjectReference{Namespace: "drones", Name: "web"},
			Reason:         names.EgressRefused, Message: "why", LastTimestamp: metav1.NewTime(at), Count: 3,
		}
		change(&e)
		return e
	}
	want := Refusal{Last: at, Count: 3, Namespace: "drones", Pod: "web", Direction: "egress", Peer: "gitea/gitea-1 (10.0.0.1)", Port: "port 3000/TCP", Message: "why"}
	if got, ok := refusal(event(func(*corev1.Event) {})); !ok || got != want {
		t.Error(cmp.Diff(want, got))
	}
	for name, change := range map[string]func(*corev1.Event){
		"the canary's": func(e *corev1.Event) {
			e.InvolvedObject.Namespace, e.InvolvedObject.Name = names.NamespaceSystem, names.Canary+"-x7"
		},
		"of something else": func(e *corev1.Event) { e.Reason = "BackOff" },
		"of the canary's end": func(e *corev1.Event) {
			e.InvolvedObject.Namespace, e.InvolvedObject.Name = names.NamespaceSystem, names.Canary+"-server-1"
		},
	} {
		if _, ok := refusal(event(change)); ok {
			t.Errorf("%s: told", name)
		}
	}
	if got, ok := refusal(event(func(e *corev1.Event) { e.InvolvedObject.Name = names.Canary })); !ok || got.Pod != names.Canary {
		t.Error("a tenant's pod that is called like the canary isn't told of")
	}
}

// TestCounts: what the nodes tell again is one refusal, as often as it was told, with what was said last.
func TestCounts(t *testing.T) {
	c := counts{}
	at := time.Unix(100, 0)
	c.add(Refusal{Pod: "web", Peer: "a", Port: "1", Last: at, Count: 1, Message: "new"})
	if got, want := c.add(Refusal{Pod: "web", Peer: "a", Port: "1", Last: at.Add(-time.Minute), Count: 2, Message: "old"}),
		(Refusal{Pod: "web", Peer: "a", Port: "1", Last: at, Count: 3, Message: "new"}); got != want {
		t.Error(cmp.Diff(want, got))
	}
	if c.add(Refusal{Pod: "web", Peer: "a", Port: "2", Count: 1}); len(c) != 2 {
		t.Errorf("two ports are %d refusals", len(c))
	}
}

// TestNobodyTells: where nothing tells of refusals, none is no answer.
func TestNobodyTells(t *testing.T) {
	if err := tellsRefusals(t.Context(), fake.NewClientset()); err == nil || ui.Hint(err) == "" {
		t.Errorf("error %v, hint %q", err, ui.Hint(err))
	}
}
