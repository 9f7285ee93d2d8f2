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
	"k8s.io/client-go/dynamic"

	"github.com/druppie/druppie-up/internal/names"
	"github.com/druppie/druppie-up/tracedb"
)

// TenantSelector selects the namespaces of tenants.
const TenantSelector = names.LabelTenant + "=true"

// Pods watches what runs in tenants: pods that run, are gone or go wrong, and workloads that somebody
// other than Flux changed. Its exported fields are set before its first use.
type Pods struct {
	Client   dynamic.Interface
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
	tenants := map[string]tenant{}
	defer func() {
		for _, t := range tenants {
			t.end()
		}
	}()
	begin := func(name string) {
		if _, ok := tenants[name]; !ok {
			tenants[name] = p.tenant(ctx, name)
		}
	}
	recalled := false // that the log was asked which pods ran, in whatever namespace
	end := func(name string) error {
		t, ok := tenants[name]
		if !ok {
			return nil
		}
		t.end()
		delete(tenants, name)
		err := t.running.lost(ctx)
		recalled = recalled && err == nil
		return err
	}
	f := &reflector{
		name: "namespaces", of: p.Client.Resource(corev1.SchemeGroupVersion.WithResource("namespaces")),
		as:     func() runtime.Object { return &corev1.Namespace{} },
		opts:   metav1.ListOptions{LabelSelector: p.Selector},
		health: &p.health, rec: p.rec, relist: p.relist,
		all: func(ctx context.Context, objects []runtime.Object) error {
			there := map[string]bool{}
			for _, o := range objects {
				if n, ok := o.(*corev1.Namespace); ok {
					there[n.Name] = true
					begin(n.Name)
				}
			}
			for name := range tenants {
				if !there[name] {
					if err := end(name); err != nil {
						return err
					}
				}
			}
			if !recalled {
				if err := p.strays(ctx, there); err != nil {
					return err
				}
				recalled = true
			}
			return nil
		},
		one: func(_ context.Context, what watch.EventType, o runtime.Object) error {
			n, ok := o.(*corev1.Namespace)
			switch {
			case !ok:
			case what == watch.Deleted:
				return end(n.Name)
			default:
				begin(n.Name)
			}
			return nil
		},
	}
	return f.run(ctx)
}

// tenant is a namespace that is watched.
type tenant struct {
	running *running
	end     func() // stops watching, and returns when nobody does any more
}

// tenant begins to watch a namespace.
func (p *Pods) tenant(ctx context.Context, namespace string) tenant {
	r := &running{pods: p, namespace: namespace}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	for _, f := range append(p.workloads(namespace), r.reflector()) {
		wg.Go(func() {
			_ = f.run(ctx) // ends with its context alone
			p.health.drop(f.name)
		})
	}
	return tenant{r, func() { cancel(); wg.Wait() }}
}

// strays records as lost what ran, when the service was last there, in namespaces that are no tenants'
// now. It looks back as far as recall does, in all namespaces together.
func (p *Pods) strays(ctx context.Context, there map[string]bool) error {
	everywhere := &running{pods: p}
	if err := everywhere.recall(ctx); err != nil {
		return err
	}
	left := map[string]bool{}
	for _, l := range everywhere.live {
		if !there[l.data.Namespace] {
			left[l.data.Namespace] = true
		}
	}
	for name := range left {
		if err := (&running{pods: p, namespace: name}).lost(ctx); err != nil {
			return err
		}
	}
	return nil
}

// podDraft is the record that a pod runs, or ran; false until one of its containers did, whatever the
// others wait for. Another set of images, such as that of a container that came later, is another record.
func podDraft(pod *corev1.Pod, turn int) (tracedb.Draft, livePod, bool) {
	images, ran := podImages(pod)
	if !ran {
		return tracedb.Draft{}, livePod{}, false
	}
	d := tracedb.Deployment{
		Namespace: pod.Namespace, Object: object("Pod", pod.Name), Images: images,
		Algorithm: pod.Labels[names.LabelAlgorithm], Node: pod.Spec.NodeName, Reason: "Running",
	}
	about := append(refs(tracedb.RefImage, images),
		ref(tracedb.RefPod, pod.Namespace+"/"+pod.Name), ref(tracedb.RefNamespace, pod.Namespace), ref(tracedb.RefAlgorithm, d.Algorithm))
	at := pod.CreationTimestamp.Time
	if pod.Status.StartTime != nil {
		at = pod.Status.StartTime.Time
	}
	id := fmt.Sprintf("pod/%s/running/%s%s", pod.UID, hash(append(slices.Clone(images), "", d.Algorithm)...), suffix(turn))
	return draft(id, tracedb.KindDeployment, "kubernetes", at, tracedb.Running, d, about...), livePod{refs: about, data: d}, true
}

// statuses are those of all containers of a pod.
func statuses(pod *corev1.Pod) []corev1.ContainerStatus {
	return slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses, pod.Status.EphemeralContainerStatuses)
}

// podImages are the digests of the images that run in a pod, or ran, sorted; false where none did. What
// the node says it runs counts, and what was asked for by digest too where the two differ: an image that
// was pulled through an index may be told by either. An image that has no digest is left out.
func podImages(pod *corev1.Pod) (images []string, ran bool) {
	asked := map[string]string{}
	for _, c := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		asked[c.Name] = digestOf(c.Image)
	}
	for _, c := range pod.Spec.EphemeralContainers {
		asked[c.Name] = digestOf(c.Image)
	}
	for _, s := range statuses(pod) {
		// A container that never was is told as terminated too when its pod ends, but without an image.
		if s.ImageID == "" || s.State.Running == nil && s.State.Terminated == nil && s.LastTerminationState.Terminated == nil {
			continue
		}
		ran = true
		for _, digest := range []string{digestOf(s.ImageID), asked[s.Name]} {
			if digest != "" {
				images = append(images, digest)
			}
		}
	}
	slices.Sort(images)
	images = slices.Compact(images)
	return images[:min(len(images), maxImages)], ran
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
				Namespace: pod.Namespace, Object: object("Pod", pod.Name), Images: images, Algorithm: pod.Labels[names.LabelAlgorithm],
				Summary: fmt.Sprintf("container %s: %s", s.Name, reason),
			}
			at := pod.CreationTimestamp.Time
			if last != nil {
				i.Detail = fmt.Sprintf("it ended with exit code %d", last.ExitCode)
				if last.Reason != "" {
					i.Detail += " (" + tracedb.Clip(last.Reason, 100) + ")"
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
