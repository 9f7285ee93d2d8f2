package collect

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"regexp"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"

	"github.com/druppie/druppie-up/tracedb"
)

// Kyverno watches Events for what was refused: those of Kyverno's admission controller, and those of
// the controllers that may not make a pod. The API server forgets Events after an hour, so a service
// that is down for longer misses those of before; what Flux asked for stands in Flux's status too. Its
// exported fields are set before its first use.
type Kyverno struct {
	Client dynamic.Interface
	Sink   Sink
	Log    tracedb.Reader // may be nil
	Logger *slog.Logger

	health health
	start  sync.Once
	rec    *recorder
	relist time.Duration
}

func (k *Kyverno) ready() {
	k.start.Do(func() {
		k.rec = newRecorder("kyverno", k.Sink, k.Log, k.Logger, &k.health, tracedb.KindAdmission)
	})
}

// Status is how it goes.
func (k *Kyverno) Status() Status { return k.health.read("kyverno") }

// Run watches until ctx ends.
func (k *Kyverno) Run(ctx context.Context) error {
	k.ready()
	var wg sync.WaitGroup
	for _, reason := range []string{"PolicyViolation", "FailedCreate"} {
		f := k.reflector(reason)
		wg.Go(func() { _ = f.run(ctx) }) // ends with ctx alone
	}
	wg.Wait()
	return ctx.Err()
}

func (k *Kyverno) reflector(reason string) *reflector {
	one := func(ctx context.Context, what watch.EventType, o runtime.Object) error {
		e, ok := o.(*corev1.Event)
		if !ok || what == watch.Deleted || e.Reason != reason {
			return nil
		}
		return k.rec.put(ctx, eventDrafts(e))
	}
	return &reflector{
		name: "events " + reason, of: k.Client.Resource(corev1.SchemeGroupVersion.WithResource("events")),
		as:     func() runtime.Object { return &corev1.Event{} },
		opts:   metav1.ListOptions{FieldSelector: "reason=" + reason},
		health: &k.health, rec: k.rec, relist: k.relist,
		one: one,
		all: func(ctx context.Context, objects []runtime.Object) error {
			for _, o := range objects {
				if err := one(ctx, watch.Added, o); err != nil {
					return err
				}
			}
			return nil
		},
	}
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

// eventDrafts are the records of an Event; none where it tells of no refusal.
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
