package collect

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"

	"github.com/druppie/druppie-up/tracedb"
)

// Kyverno watches Events for what was refused: those of Kyverno's admission controller, and those of
// the controllers that may not make a pod. The API server forgets Events after an hour, so a service
// that is down for longer misses those of before; what Flux requested is in Flux's status too.
type Kyverno struct {
	*recorder
	client dynamic.Interface
}

// NewKyverno returns a collector of a cluster's refusals.
func NewKyverno(client dynamic.Interface, o Options) *Kyverno {
	return &Kyverno{recorder: newRecorder("kyverno", o, tracedb.KindAdmission), client: client}
}

// Run watches until ctx ends.
func (k *Kyverno) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	for _, reason := range []string{"PolicyViolation", "FailedCreate"} {
		f := &reflector[corev1.Event]{
			recorder: k.recorder, name: "events " + reason,
			of:   k.client.Resource(corev1.SchemeGroupVersion.WithResource("events")),
			opts: metav1.ListOptions{FieldSelector: "reason=" + reason},
			handle: func(ctx context.Context, what watch.EventType, e *corev1.Event) error {
				if what == watch.Deleted || e.Reason != reason {
					return nil
				}
				return k.put(ctx, eventDrafts(e)...)
			},
		}
		wg.Go(func() { _ = f.run(ctx) }) // ends with ctx alone
	}
	wg.Wait()
	return ctx.Err()
}

const (
	kyvernoAdmission = "kyverno-admission" // Kyverno's pkg/event, source.go
	resourceBlocked  = "Resource Blocked"  // action.go there

	// repeats is the time in which the same refusal of the same object is one record. Flux asks again
	// every few seconds, first with a dry run, and the Event doesn't say which of these it was.
	repeats = 10 * time.Minute
)

// violation is how Kyverno words an Event about a refusal (pkg/event, buildPolicyEventMessage):
// Pod drones/x: [rule] fail (blocked); why.
var violation = regexp.MustCompile(`(?s)^(\S+) (?:([^/\s]+)/)?(\S+): (?:\[[^\]]*\] )?(?:fail|error) \(blocked\)(?:; (.*))?$`)

// eventDrafts are the records of an Event; none where it reports no refusal.
func eventDrafts(e *corev1.Event) []tracedb.Draft {
	if e.Reason == "FailedCreate" {
		d, ok := parseDenial(e.Message)
		if !ok {
			return nil
		}
		// The pod has no name yet; who wanted to make it has.
		d.kind, d.namespace, d.name = e.InvolvedObject.Kind, e.InvolvedObject.Namespace, e.InvolvedObject.Name
		return d.drafts("kyverno/event/"+string(e.UID), e.Namespace, eventTime(e))
	}
	if e.ReportingController != kyvernoAdmission || e.Action != resourceBlocked {
		return nil
	}
	m := violation.FindStringSubmatch(e.Message)
	if m == nil {
		return nil
	}
	kind, namespace, name := m[1], m[2], m[3]
	if r := e.Related; r != nil && r.Name != "" {
		kind, namespace, name = r.Kind, r.Namespace, r.Name
	}
	namespace = cmp.Or(namespace, e.Namespace)
	at := eventTime(e)
	id := fmt.Sprintf("kyverno/%s/%s/%s", e.InvolvedObject.Name,
		hash(kind, namespace, name, e.Message), strconv.FormatInt(at.Unix()/int64(repeats/time.Second), 10))
	return []tracedb.Draft{denied(id, at, kind, namespace, name, refusal{e.InvolvedObject.Name, m[4]})}
}

// eventTime is when it first happened: new Events say so in one field, old ones in another.
func eventTime(e *corev1.Event) time.Time {
	switch {
	case !e.EventTime.IsZero():
		return e.EventTime.Time
	case !e.FirstTimestamp.IsZero():
		return e.FirstTimestamp.Time
	}
	return e.CreationTimestamp.Time
}
