package collect

import (
	"context"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/druppie/druppie-up/tracedb"
)

// tenantPods is what is known of a tenant's pods.
type tenantPods struct {
	*Pods
	namespace string // empty: all of them, for recall alone
	recalled  bool
	running   map[string]runningPod // by UID: recorded as running, and not as gone since
	gone      map[string]int        // by UID: how often it was recorded as gone
}

// runningPod is what is said of a pod again when it is gone.
type runningPod struct {
	refs []tracedb.Ref
	data tracedb.Deployment
}

// termination is how a pod is gone.
type termination struct {
	at              time.Time
	reason, message string
}

// reflector follows the tenant's pods.
func (p *tenantPods) reflector() *reflector[corev1.Pod] {
	return &reflector[corev1.Pod]{
		recorder: p.recorder, name: "pods of " + p.namespace,
		of:     p.client.Resource(corev1.SchemeGroupVersion.WithResource("pods")).Namespace(p.namespace),
		listed: p.listed, handle: p.handle,
	}
}

// listed records that what ran and isn't there any more is gone.
func (p *tenantPods) listed(ctx context.Context, pods []*corev1.Pod) error {
	if err := p.recall(ctx); err != nil {
		return err
	}
	there := map[string]bool{}
	for _, pod := range pods {
		there[string(pod.UID)] = true
	}
	for uid := range p.running {
		if !there[uid] {
			if err := p.end(ctx, uid, termination{p.now(), "Gone", "nobody saw it go"}); err != nil {
				return err
			}
		}
	}
	maps.DeleteFunc(p.gone, func(uid string, _ int) bool { return !there[uid] })
	return nil
}

// handle records what happened to a pod. One that is finished is gone, though its object stays.
func (p *tenantPods) handle(ctx context.Context, what watch.EventType, pod *corev1.Pod) error {
	uid := string(pod.UID)
	over := what == watch.Deleted || terminated(pod)
	_, ran := p.running[uid]
	// A pod that was deleted before anybody looked has run all the same. What was recorded to its end isn't
	// recorded again; but what wasn't watched for a while, and is seen to run, runs again.
	if d, r, ok := podDraft(pod, p.gone[uid]); ok && (ran || !over || p.gone[uid] == 0) {
		if err := p.put(ctx, d); err != nil {
			return err
		}
		p.running[uid], ran = r, true
	}
	if err := p.put(ctx, incidents(pod)...); err != nil {
		return err
	}
	if !over || !ran {
		return nil
	}
	return p.end(ctx, uid, terminationOf(pod, p.now()))
}

// unwatched records that what ran in the namespace isn't watched any more.
func (p *tenantPods) unwatched(ctx context.Context) error {
	if err := p.recall(ctx); err != nil {
		return err
	}
	for uid := range p.running {
		if err := p.end(ctx, uid, termination{p.now(), "Unwatched", "its namespace is gone, or is no tenant's any more"}); err != nil {
			return err
		}
	}
	return nil
}

// end records that a pod is gone.
func (p *tenantPods) end(ctx context.Context, uid string, t termination) error {
	pod := p.running[uid]
	pod.data.Reason, pod.data.Message, pod.data.Node = t.reason, t.message, ""
	id := "pod/" + uid + "/gone" + suffix(p.gone[uid])
	err := p.put(ctx, draft(id, tracedb.KindDeployment, "kubernetes", t.at, tracedb.Gone, pod.data, pod.refs...))
	if err == nil {
		delete(p.running, uid)
		p.gone[uid]++
	}
	return err
}

// suffix is what the ids of a pod end with that was gone n times before.
func suffix(n int) string {
	if n == 0 {
		return ""
	}
	return "/" + strconv.Itoa(n)
}

// terminated says whether a pod is done for good: nothing in it will run any more.
func terminated(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}

// terminationOf is how a pod that is finished or deleted came to its end.
func terminationOf(pod *corev1.Pod, now time.Time) termination {
	how := termination{at: now, reason: "Gone", message: string(pod.Status.Phase)}
	if t := pod.DeletionTimestamp; t != nil {
		how.at = t.Time
	}
	if !terminated(pod) {
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
	// A pod that is deleted ends with whatever code: that says nothing.
	if pod.DeletionTimestamp == nil {
		how.reason, how.message = first(pod.Status.Reason, string(pod.Status.Phase)), tracedb.Clip(pod.Status.Message, maxText)
	}
	return how
}

// recall asks the log, once, which pods ran when the service was last there.
func (p *tenantPods) recall(ctx context.Context) error {
	if p.recalled {
		return nil
	}
	p.running, p.gone = map[string]runningPod{}, map[string]int{}
	q := tracedb.Query{Kinds: []tracedb.Kind{tracedb.KindDeployment}, Actor: "kubernetes"}
	if p.namespace != "" {
		q.Refs = []tracedb.Ref{ref(tracedb.RefNamespace, p.namespace)}
	}
	err := p.own(ctx, q, func(e tracedb.Entry) error { // newest first
		parts := strings.Split(e.ID, "/")
		if len(parts) < 3 || parts[0] != "pod" {
			return nil
		}
		uid := parts[1]
		_, known := p.running[uid]
		switch {
		case e.Outcome == tracedb.Gone:
			p.gone[uid]++
		case !known && p.gone[uid] == 0:
			p.running[uid] = recalledPod(e)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("which pods ran: %w", err)
	}
	p.recalled = true
	return nil
}

// recalledPod is what an entry says of a pod that ran.
func recalledPod(e tracedb.Entry) runningPod {
	l := runningPod{refs: e.Refs}
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
