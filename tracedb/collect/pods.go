package collect

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"

	"github.com/druppie/druppie-up/tracedb"
)

// TenantSelector selects the namespaces of tenants.
const TenantSelector = "druppie.io/tenant=true"

// Pods watches what runs in tenants: pods that run, are gone or go wrong, and workloads that somebody
// other than Flux changed. Its exported fields are set before its first use.
type Pods struct {
	Client   kubernetes.Interface
	Selector string // of tenants' namespaces; empty: TenantSelector
	Sink     Sink
	// Log says which pods ran when the service went down; without it a pod that ended meanwhile stays
	// running in the log. May be nil.
	Log    tracedb.Reader
	Logger *slog.Logger

	health health
	start  sync.Once
	rec    *recorder
	relist time.Duration
}

func (p *Pods) ready() {
	p.start.Do(func() {
		p.rec = newRecorder("pods", p.Sink, p.Log, p.Logger, &p.health, tracedb.KindDeployment, tracedb.KindIncident, tracedb.KindDrift)
		if p.Selector == "" {
			p.Selector = TenantSelector
		}
	})
}

// Status is how it goes.
func (p *Pods) Status() Status { return p.health.read("pods") }

// Run watches until ctx ends.
func (p *Pods) Run(ctx context.Context) error {
	p.ready()
	tenants := map[string]context.CancelFunc{}
	var wg sync.WaitGroup
	defer wg.Wait()
	begin := func(name string) {
		if tenants[name] != nil {
			return
		}
		inside, cancel := context.WithCancel(ctx)
		tenants[name] = cancel
		for _, f := range p.feeds(name) {
			wg.Go(func() {
				_ = f.run(inside) // ends with its context alone
				p.health.drop(f.name)
			})
		}
	}
	end := func(name string) {
		if cancel := tenants[name]; cancel != nil {
			cancel()
			delete(tenants, name)
		}
	}
	defer func() {
		for name := range tenants {
			end(name)
		}
	}()
	of := p.Client.CoreV1().Namespaces()
	f := &feed{
		name: "namespaces", health: &p.health, rec: p.rec, relist: p.relist,
		opts:  metav1.ListOptions{LabelSelector: p.Selector},
		list:  func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return of.List(ctx, o) },
		watch: of.Watch,
		all: func(_ context.Context, objects []runtime.Object) error {
			there := map[string]bool{}
			for _, o := range objects {
				if n, ok := o.(*corev1.Namespace); ok {
					there[n.Name] = true
					begin(n.Name)
				}
			}
			for name := range tenants {
				if !there[name] {
					end(name)
				}
			}
			return nil
		},
		one: func(_ context.Context, what watch.EventType, o runtime.Object) error {
			n, ok := o.(*corev1.Namespace)
			switch {
			case !ok:
			case what == watch.Deleted:
				end(n.Name)
			default:
				begin(n.Name)
			}
			return nil
		},
	}
	return f.run(ctx)
}

// feeds are what is watched in a tenant.
func (p *Pods) feeds(namespace string) []*feed {
	pods := p.Client.CoreV1().Pods(namespace)
	r := &running{pods: p, namespace: namespace}
	out := []*feed{{
		name: "pods of " + namespace, health: &p.health, rec: p.rec, relist: p.relist,
		list:  func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return pods.List(ctx, o) },
		watch: pods.Watch, all: r.all, one: r.one,
	}}
	return append(out, p.workloads(namespace)...)
}

// running is what is known of a tenant's pods.
type running struct {
	pods      *Pods
	namespace string
	recalled  bool
	live      map[string]livePod // by UID: recorded as running, and not as gone
}

type livePod struct {
	name string
	refs []tracedb.Ref
	data tracedb.Deployment
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
	for uid, l := range r.live {
		if !there[uid] {
			if err := r.gone(ctx, uid, l, r.pods.rec.now(), "nobody saw it go"); err != nil {
				return err
			}
		}
	}
	for _, o := range objects {
		if err := r.one(ctx, watch.Added, o); err != nil {
			return err
		}
	}
	return nil
}

// one records what happened to a pod.
func (r *running) one(ctx context.Context, what watch.EventType, o runtime.Object) error {
	pod, ok := o.(*corev1.Pod)
	if !ok {
		return nil
	}
	uid := string(pod.UID)
	// A pod that was deleted before anybody looked has run all the same.
	if d, l, ok := podDraft(pod); ok {
		if err := r.pods.rec.put(ctx, []tracedb.Draft{d}); err != nil {
			return err
		}
		r.live[uid] = l
	}
	if err := r.pods.rec.put(ctx, incidents(pod)); err != nil {
		return err
	}
	l, ran := r.live[uid]
	if what != watch.Deleted || !ran {
		return nil
	}
	at := r.pods.rec.now()
	if t := pod.DeletionTimestamp; t != nil {
		at = t.Time
	}
	return r.gone(ctx, uid, l, at, string(pod.Status.Phase))
}

func (r *running) gone(ctx context.Context, uid string, l livePod, at time.Time, reason string) error {
	d := l.data
	d.Reason, d.Message, d.Node = "Gone", reason, ""
	err := r.pods.rec.put(ctx, []tracedb.Draft{draft("pod/"+uid+"/gone", tracedb.KindDeployment, "kubernetes", at, tracedb.Gone, d, l.refs...)})
	if err == nil {
		delete(r.live, uid)
	}
	return err
}

// recallPages bounds how far back the log is asked for pods that ran.
const recallPages = 20

// recall asks the log, once, which pods ran when the service was last there.
func (r *running) recall(ctx context.Context) error {
	if r.live == nil {
		r.live = map[string]livePod{}
	}
	if r.recalled || r.pods.Log == nil {
		return nil
	}
	q := tracedb.Query{
		Kinds: []tracedb.Kind{tracedb.KindDeployment}, Refs: []tracedb.Ref{ref(tracedb.RefNamespace, r.namespace)},
		Limit: tracedb.MaxPage,
	}
	gone := map[string]bool{}
	for range recallPages {
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
				gone[uid] = true
				continue
			}
			if _, known := r.live[uid]; known || gone[uid] {
				continue
			}
			r.live[uid] = recalledPod(r.namespace, e)
		}
		if page.Next == 0 {
			break
		}
		q.Before = page.Next
	}
	r.recalled = true
	return nil
}

// recalledPod is what an entry says of a pod that ran.
func recalledPod(namespace string, e tracedb.Entry) livePod {
	l := livePod{refs: e.Refs, data: tracedb.Deployment{Namespace: namespace}}
	for _, ref := range e.Refs {
		switch ref.Type {
		case tracedb.RefPod:
			_, l.name, _ = strings.Cut(ref.Value, "/")
			l.data.Object = object("Pod", l.name)
		case tracedb.RefImage:
			l.data.Images = append(l.data.Images, ref.Value)
		case tracedb.RefAlgorithm:
			l.data.Algorithm = ref.Value
		}
	}
	return l
}

const labelAlgorithm = "druppie.io/algorithm-id"

// podDraft is the record that a pod runs, or ran; false until every container has an image. Another
// set of images, such as that of a debug container, is another record.
func podDraft(pod *corev1.Pod) (tracedb.Draft, livePod, bool) {
	switch pod.Status.Phase {
	case corev1.PodRunning, corev1.PodSucceeded, corev1.PodFailed:
	default:
		return tracedb.Draft{}, livePod{}, false
	}
	images, complete := podImages(pod)
	if !complete || len(images) == 0 {
		return tracedb.Draft{}, livePod{}, false
	}
	d := tracedb.Deployment{
		Namespace: pod.Namespace, Object: object("Pod", pod.Name), Images: images,
		Algorithm: pod.Labels[labelAlgorithm], Node: pod.Spec.NodeName, Reason: "Running",
	}
	about := append(refs(tracedb.RefImage, images),
		ref(tracedb.RefPod, pod.Namespace+"/"+pod.Name), ref(tracedb.RefNamespace, pod.Namespace), ref(tracedb.RefAlgorithm, d.Algorithm))
	at := pod.CreationTimestamp.Time
	if pod.Status.StartTime != nil {
		at = pod.Status.StartTime.Time
	}
	id := fmt.Sprintf("pod/%s/running/%s", pod.UID, hash(append(slices.Clone(images), "", d.Algorithm)...))
	return draft(id, tracedb.KindDeployment, "kubernetes", at, tracedb.Running, d, about...), livePod{name: pod.Name, refs: about, data: d}, true
}

// podImages are the digests of all images of a pod, sorted; complete once every container of it has
// one. What the node says it runs counts, and what was asked for by digest too where the two differ:
// an image that was pulled through an index may be told by either.
func podImages(pod *corev1.Pod) (images []string, complete bool) {
	asked := map[string]string{}
	for _, c := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		asked[c.Name] = digestOf(c.Image)
	}
	for _, c := range pod.Spec.EphemeralContainers {
		asked[c.Name] = digestOf(c.Image)
	}
	complete = len(pod.Status.ContainerStatuses) >= len(pod.Spec.Containers)
	for _, s := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses, pod.Status.EphemeralContainerStatuses) {
		runs := digestOf(s.ImageID)
		if s.ImageID == "" || (runs == "" && asked[s.Name] == "") {
			if !slices.ContainsFunc(pod.Status.EphemeralContainerStatuses, func(e corev1.ContainerStatus) bool { return e.Name == s.Name }) {
				complete = false
			}
			continue
		}
		if runs != "" {
			images = append(images, runs)
		}
		if asked[s.Name] != "" {
			images = append(images, asked[s.Name])
		}
	}
	slices.Sort(images)
	images = slices.Compact(images)
	return images[:min(len(images), maxImages)], complete
}

// digestOf is the digest in name@sha256:…. A bare sha256:… is the id of a configuration, by which no
// registry knows the image.
func digestOf(image string) string {
	_, digest, ok := strings.Cut(image, "@")
	if !ok || !isDigest(digest) {
		return ""
	}
	return digest
}

// incidents are the records of what goes wrong in a pod, one for each container and reason: a pod that
// crashes all night is one incident.
func incidents(pod *corev1.Pod) []tracedb.Draft {
	var out []tracedb.Draft
	images, _ := podImages(pod)
	for _, s := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		last := s.LastTerminationState.Terminated
		if s.State.Terminated != nil {
			last = s.State.Terminated
		}
		var reasons []string
		if w := s.State.Waiting; w != nil && w.Reason == "CrashLoopBackOff" {
			reasons = append(reasons, w.Reason)
		}
		if last != nil && last.Reason == "OOMKilled" {
			reasons = append(reasons, last.Reason)
		}
		for _, reason := range reasons {
			i := tracedb.Incident{
				Namespace: pod.Namespace, Object: object("Pod", pod.Name), Images: images, Algorithm: pod.Labels[labelAlgorithm],
				Summary: fmt.Sprintf("container %s: %s", s.Name, reason),
			}
			at := pod.CreationTimestamp.Time
			if last != nil {
				i.Detail = fmt.Sprintf("it ended with exit code %d", last.ExitCode)
				if last.Reason != "" {
					i.Detail += " (" + clip(last.Reason, 100) + ")"
				}
				at = last.FinishedAt.Time
			}
			about := append(refs(tracedb.RefImage, images),
				ref(tracedb.RefPod, pod.Namespace+"/"+pod.Name), ref(tracedb.RefNamespace, pod.Namespace), ref(tracedb.RefAlgorithm, i.Algorithm))
			id := fmt.Sprintf("incident/%s/%s/%s", pod.UID, s.Name, reason)
			out = append(out, draft(id, tracedb.KindIncident, "kubernetes", at, "", i, about...))
		}
	}
	return out
}
