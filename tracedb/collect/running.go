package collect

import (
	"context"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/druppie/druppie-up/tracedb"
)

// running is what is known of a tenant's pods.
type running struct {
	pods      *Pods
	namespace string // empty: all of them, for recall alone
	recalled  bool
	live      map[string]livePod // by UID: recorded as running, and not as gone since
	gone      map[string]int     // by UID: how often it was recorded as gone
}

// livePod is what is said of a pod again when it is gone.
type livePod struct {
	refs []tracedb.Ref
	data tracedb.Deployment
}

// ending is how a pod is gone.
type ending struct {
	at              time.Time
	reason, message string
}

// reflector follows the tenant's pods.
func (r *running) reflector() *reflector {
	return &reflector{
		name: "pods of " + r.namespace, of: r.pods.Client.Resource(corev1.SchemeGroupVersion.WithResource("pods")).Namespace(r.namespace),
		as:     func() runtime.Object { return &corev1.Pod{} },
		health: &r.pods.health, rec: r.pods.rec, relist: r.pods.relist,
		all: r.all, one: r.one,
	}
}

// all records what runs, and that what ran and isn't there any more is gone.
func (r *running) all(ctx context.Context, objects []runtime.Object) error {
	if err := r.recall(ctx); err != nil {
		return err
	}
	there := map[string]bool{}
	for _, o := range objects {
		if pod, ok := o.(*corev1.Pod); ok {
			there[string(pod.UID)] = true
		}
	}
	for uid := range r.live {
		if !there[uid] {
			if err := r.end(ctx, uid, ending{r.pods.rec.now(), "Gone", "nobody saw it go"}); err != nil {
				return err
			}
		}
	}
	maps.DeleteFunc(r.gone, func(uid string, _ int) bool { return !there[uid] })
	for _, o := range objects {
		if err := r.one(ctx, watch.Added, o); err != nil {
			return err
		}
	}
	return nil
}

// one records what happened to a pod. One that is finished is gone, though its object stays.
func (r *running) one(ctx context.Context, what watch.EventType, o runtime.Object) error {
	pod, ok := o.(*corev1.Pod)
	if !ok {
		return nil
	}
	uid := string(pod.UID)
	over := what == watch.Deleted || spent(pod)
	_, ran := r.live[uid]
	// A pod that was deleted before anybody looked has run all the same. What was told of to its end isn't
	// told again; but who was lost sight of, and is seen to run, runs again.
	if d, l, ok := podDraft(pod, r.gone[uid]); ok && (ran || !over || r.gone[uid] == 0) {
		if err := r.pods.rec.put(ctx, []tracedb.Draft{d}); err != nil {
			return err
		}
		r.live[uid], ran = l, true
	}
	if err := r.pods.rec.put(ctx, incidents(pod)); err != nil {
		return err
	}
	if !over || !ran {
		return nil
	}
	return r.end(ctx, uid, endingOf(pod, r.pods.rec.now()))
}

// lost records that nobody sees any more what ran in the namespace.
func (r *running) lost(ctx context.Context) error {
	if err := r.recall(ctx); err != nil {
		return err
	}
	for uid := range r.live {
		if err := r.end(ctx, uid, ending{r.pods.rec.now(), "Unwatched", "its namespace is gone, or is no tenant's any more"}); err != nil {
			return err
		}
	}
	return nil
}

// end records that a pod is gone.
func (r *running) end(ctx context.Context, uid string, how ending) error {
	l := r.live[uid]
	l.data.Reason, l.data.Message, l.data.Node = how.reason, how.message, ""
	id := "pod/" + uid + "/gone" + suffix(r.gone[uid])
	err := r.pods.rec.put(ctx, []tracedb.Draft{draft(id, tracedb.KindDeployment, "kubernetes", how.at, tracedb.Gone, l.data, l.refs...)})
	if err == nil {
		delete(r.live, uid)
		r.gone[uid]++
	}
	return err
}

// suffix tells the ids of a pod's later turns from those of its first: it was gone n times before.
func suffix(n int) string {
	if n == 0 {
		return ""
	}
	return "/" + strconv.Itoa(n)
}

// spent says whether a pod is done for good: nothing in it will run any more.
func spent(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}

// endingOf is how a pod that is finished or deleted came to its end.
func endingOf(pod *corev1.Pod, now time.Time) ending {
	how := ending{at: now, reason: "Gone", message: string(pod.Status.Phase)}
	if t := pod.DeletionTimestamp; t != nil {
		how.at = t.Time
	}
	if !spent(pod) {
		return how
	}
	var last time.Time
	for _, s := range statuses(pod) {
		if t := s.State.Terminated; t != nil && t.FinishedAt.After(last) {
			last = t.FinishedAt.Time
		}
	}
	if !last.IsZero() {
		how.at = last
	}
	// Who is told to go ends with whatever code: that says nothing.
	if pod.DeletionTimestamp == nil {
		how.reason, how.message = first(pod.Status.Reason, string(pod.Status.Phase)), tracedb.Clip(pod.Status.Message, maxText)
	}
	return how
}

// recallPages bounds how far back the log is asked for what was there.
const recallPages = 20

// recall asks the log, once, which pods ran when the service was last there.
func (r *running) recall(ctx context.Context) error {
	if r.recalled {
		return nil
	}
	r.live, r.gone = map[string]livePod{}, map[string]int{}
	q := tracedb.Query{Kinds: []tracedb.Kind{tracedb.KindDeployment}, Actor: "kubernetes", Limit: tracedb.MaxPage}
	if r.namespace != "" {
		q.Refs = []tracedb.Ref{ref(tracedb.RefNamespace, r.namespace)}
	}
	for n := 0; r.pods.Log != nil && (n == 0 || q.Before > 0); n++ {
		if n == recallPages {
			r.pods.rec.logger.WarnContext(ctx, "too many records of pods: what ran before this one isn't looked for", "namespace", r.namespace, "record", q.Before)
			break
		}
		page, err := r.pods.Log.Search(ctx, q)
		if err != nil {
			return fmt.Errorf("which pods ran: %w", err)
		}
		for _, e := range page.Entries { // newest first
			parts := strings.Split(e.ID, "/")
			if e.Writer != r.pods.rec.identity().Name || len(parts) < 3 || parts[0] != "pod" {
				continue
			}
			uid := parts[1]
			if e.Outcome == tracedb.Gone {
				r.gone[uid]++
				continue
			}
			if _, known := r.live[uid]; known || r.gone[uid] > 0 {
				continue
			}
			r.live[uid] = recalledPod(e)
		}
		q.Before = page.Next
	}
	r.recalled = true
	return nil
}

// recalledPod is what an entry says of a pod that ran.
func recalledPod(e tracedb.Entry) livePod {
	l := livePod{refs: e.Refs}
	for _, ref := range e.Refs {
		switch ref.Type {
		case tracedb.RefPod:
			namespace, name, _ := strings.Cut(ref.Value, "/")
			l.data.Namespace, l.data.Object = namespace, object("Pod", name)
		case tracedb.RefImage:
			l.data.Images = append(l.data.Images, ref.Value)
		case tracedb.RefAlgorithm:
			l.data.Algorithm = ref.Value
		}
	}
	return l
}
