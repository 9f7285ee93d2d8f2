package collect

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"

	"github.com/druppie/druppie-up/internal/names"
	"github.com/druppie/druppie-up/tracedb"
)

// TenantSelector selects the namespaces of tenants.
const TenantSelector = names.LabelTenant + "=true"

// Pods watches what runs in tenants: pods that run, are gone or go wrong, and workloads that somebody
// other than Flux changed.
type Pods struct {
	*recorder
	client   dynamic.Interface
	selector string
}

// NewPods returns a collector of what runs in the namespaces that the selector selects; without one, in those of
// TenantSelector.
func NewPods(client dynamic.Interface, selector string, o Options) *Pods {
	return &Pods{
		recorder: newRecorder("pods", o, tracedb.KindDeployment, tracedb.KindIncident, tracedb.KindDrift),
		client:   client, selector: cmp.Or(selector, TenantSelector),
	}
}

// Run watches until ctx ends.
func (p *Pods) Run(ctx context.Context) error {
	tenants := map[string]tenant{}
	defer func() {
		for _, t := range tenants {
			t.stop()
		}
	}()
	recalled := false // that the log was searched for the pods that ran, in whatever namespace
	end := func(name string) error {
		t, ok := tenants[name]
		if !ok {
			return nil
		}
		t.stop()
		delete(tenants, name)
		err := t.pods.unwatched(ctx)
		recalled = recalled && err == nil
		return err
	}
	f := &reflector[corev1.Namespace]{
		recorder: p.recorder, name: "namespaces",
		of:   p.client.Resource(corev1.SchemeGroupVersion.WithResource("namespaces")),
		opts: metav1.ListOptions{LabelSelector: p.selector},
		listed: func(ctx context.Context, namespaces []*corev1.Namespace) error {
			listed := map[string]bool{}
			for _, n := range namespaces {
				listed[n.Name] = true
			}
			for name := range tenants {
				if !listed[name] {
					if err := end(name); err != nil {
						return err
					}
				}
			}
			if recalled {
				return nil
			}
			err := p.formerTenants(ctx, listed)
			recalled = err == nil
			return err
		},
		handle: func(_ context.Context, what watch.EventType, n *corev1.Namespace) error {
			if what == watch.Deleted {
				return end(n.Name)
			}
			if _, ok := tenants[n.Name]; !ok {
				tenants[n.Name] = p.watchTenant(ctx, n.Name)
			}
			return nil
		},
	}
	return f.run(ctx)
}

// tenant is a namespace that is watched.
type tenant struct {
	pods *tenantPods
	stop func() // stops watching, and returns when nothing is watched any more
}

// watchTenant begins to watch a namespace.
func (p *Pods) watchTenant(ctx context.Context, namespace string) tenant {
	pods := &tenantPods{Pods: p, namespace: namespace}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	begin := func(name string, run func(context.Context) error) {
		wg.Go(func() {
			_ = run(ctx) // ends with its context alone
			p.health.drop(name)
		})
	}
	for _, resource := range []string{"deployments", "statefulsets", "daemonsets"} {
		f := p.workloads(resource, namespace)
		begin(f.name, f.run)
	}
	f := pods.reflector()
	begin(f.name, f.run)
	return tenant{pods, func() { cancel(); wg.Wait() }}
}

// formerTenants records as gone what ran, when the service was last there, in namespaces that are no tenants'
// now. It looks back as far as one search does, in all namespaces together.
func (p *Pods) formerTenants(ctx context.Context, tenants map[string]bool) error {
	everywhere := &tenantPods{Pods: p}
	if err := everywhere.recall(ctx); err != nil {
		return err
	}
	former := map[string]bool{}
	for _, l := range everywhere.running {
		if !tenants[l.data.Namespace] {
			former[l.data.Namespace] = true
		}
	}
	for name := range former {
		if err := (&tenantPods{Pods: p, namespace: name}).unwatched(ctx); err != nil {
			return err
		}
	}
	return nil
}

// podDraft is the record that a pod runs, or ran; false until one of its containers did, whatever the
// others wait for. Another set of images, such as that of a container that came later, is another record.
func podDraft(pod *corev1.Pod, goneBefore int) (tracedb.Draft, runningPod, bool) {
	images, ran := podImages(pod)
	if !ran {
		return tracedb.Draft{}, runningPod{}, false
	}
	d := tracedb.Deployment{
		Namespace: pod.Namespace, Object: object("Pod", pod.Name), Images: images,
		Algorithm: pod.Labels[names.LabelAlgorithm], Node: pod.Spec.NodeName, Reason: "Running",
	}
	at := pod.CreationTimestamp.Time
	if pod.Status.StartTime != nil {
		at = pod.Status.StartTime.Time
	}
	id := fmt.Sprintf("pod/%s/running/%s%s", pod.UID, hash(append(slices.Clone(images), "", d.Algorithm)...), suffix(goneBefore))
	about := podRefs(pod, images)
	return draft(id, tracedb.KindDeployment, "kubernetes", at, tracedb.Running, d, about...), runningPod{refs: about, data: d}, true
}

func podRefs(pod *corev1.Pod, images []string) []tracedb.Ref {
	return append(refs(tracedb.RefImage, images), ref(tracedb.RefPod, pod.Namespace+"/"+pod.Name),
		ref(tracedb.RefNamespace, pod.Namespace), ref(tracedb.RefAlgorithm, pod.Labels[names.LabelAlgorithm]))
}

// statuses are those of all containers of a pod.
func statuses(pod *corev1.Pod) []corev1.ContainerStatus {
	return slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses, pod.Status.EphemeralContainerStatuses)
}

// podImages are the digests of the images that run in a pod, or ran, sorted; false where none did. What
// the node says it runs counts, and what was requested by digest too where the two differ: an image that
// was pulled through an index may be reported by either. An image that has no digest is left out.
func podImages(pod *corev1.Pod) (images []string, ran bool) {
	requested := map[string]string{}
	for _, c := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		requested[c.Name] = digestOf(c.Image)
	}
	for _, c := range pod.Spec.EphemeralContainers {
		requested[c.Name] = digestOf(c.Image)
	}
	for _, s := range statuses(pod) {
		// A container that never was is reported as terminated too when its pod ends, but without an image.
		if s.ImageID == "" || s.State.Running == nil && s.State.Terminated == nil && s.LastTerminationState.Terminated == nil {
			continue
		}
		ran = true
		for _, digest := range []string{digestOf(s.ImageID), requested[s.Name]} {
			if digest != "" {
				images = append(images, digest)
			}
		}
	}
	return sortedImages(images), ran
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
			id := fmt.Sprintf("incident/%s/%s/%s", pod.UID, s.Name, reason)
			out = append(out, draft(id, tracedb.KindIncident, "kubernetes", at, "", i, podRefs(pod, images)...))
		}
	}
	return out
}
