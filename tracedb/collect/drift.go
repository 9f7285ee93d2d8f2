package collect

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/druppie/druppie-up/internal/names"
	"github.com/druppie/druppie-up/tracedb"
)

// fluxManager is under which name Flux's kustomize-controller applies.
const fluxManager = "kustomize-controller"

// expectedManagers are the field managers whose changes are no drift: Flux applies what Git says, and
// Kubernetes' own controllers keep their books in the object.
var expectedManagers = []string{fluxManager, "kube-controller-manager", "kube-scheduler", "kubelet"}

// workload is what is read of a Deployment, StatefulSet or DaemonSet.
type workload struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		Template corev1.PodTemplateSpec `json:"template"`
	} `json:"spec"`
}

// workloads follows a tenant's workloads of one kind: what somebody other than Flux changed in them.
func (p *Pods) workloads(resource, namespace string) *reflector[workload] {
	d := &drifts{Pods: p, namespace: namespace, standing: map[string][]tracedb.Draft{}}
	return &reflector[workload]{
		recorder: p.recorder, name: resource + " of " + namespace,
		of:     p.client.Resource(appsv1.SchemeGroupVersion.WithResource(resource)).Namespace(namespace),
		listed: d.listed, handle: d.handle,
	}
}

// drifts are the deviations of one kind of workload in a tenant that nobody has taken back yet.
type drifts struct {
	*Pods
	namespace string
	recalled  bool
	standing  map[string][]tracedb.Draft // records of deviations, by the workload's UID
}

// recall asks the log, once, which deviations there were when the service last ran, so that one which
// was taken back meanwhile is recorded as undone.
func (d *drifts) recall(ctx context.Context) error {
	if d.recalled {
		return nil
	}
	q := tracedb.Query{Kinds: []tracedb.Kind{tracedb.KindDrift}, Refs: []tracedb.Ref{ref(tracedb.RefNamespace, d.namespace)}}
	undone := map[string]bool{}
	err := d.own(ctx, q, func(e tracedb.Entry) error { // newest first
		parts := strings.Split(e.ID, "/")
		if len(parts) < 3 || parts[0] != "drift" || undone[e.ID] {
			return nil
		}
		if e.Outcome == tracedb.Undone {
			undone[strings.TrimSuffix(e.ID, "/undone")] = true
			return nil
		}
		body, err := d.Log.Payload(ctx, e.Seq)
		if errors.Is(err, tracedb.ErrDisposed) {
			return nil
		}
		d.standing[parts[1]] = append(d.standing[parts[1]],
			tracedb.Draft{ID: e.ID, Kind: e.Kind, Actor: e.Actor, At: e.At, Outcome: e.Outcome, Refs: e.Refs, Payload: body})
		return err
	})
	if err != nil {
		clear(d.standing)
		return fmt.Errorf("which deviations there were: %w", err)
	}
	d.recalled = true
	return nil
}

// listed forgets the deviations of workloads that are gone.
func (d *drifts) listed(ctx context.Context, workloads []*workload) error {
	if err := d.recall(ctx); err != nil {
		return err
	}
	maps.DeleteFunc(d.standing, func(uid string, _ []tracedb.Draft) bool {
		return !slices.ContainsFunc(workloads, func(w *workload) bool { return string(w.UID) == uid })
	})
	return nil
}

// handle records the deviations of a workload, and those that are no more.
func (d *drifts) handle(ctx context.Context, what watch.EventType, w *workload) error {
	uid := string(w.UID)
	if what == watch.Deleted {
		delete(d.standing, uid)
		return nil
	}
	now := w.deviations()
	if err := d.put(ctx, now...); err != nil {
		return err
	}
	var back []tracedb.Draft
	for _, before := range d.standing[uid] {
		if !slices.ContainsFunc(now, func(n tracedb.Draft) bool { return n.ID == before.ID }) {
			undone := before
			undone.ID, undone.Outcome, undone.Actor = before.ID+"/undone", tracedb.Undone, fluxManager
			undone.At = tracedb.Instant(w.lastApplied(d.now()))
			back = append(back, undone)
		}
	}
	if err := d.put(ctx, back...); err != nil {
		return err
	}
	d.standing[uid] = now
	if len(now) == 0 {
		delete(d.standing, uid)
	}
	return nil
}

// deviations are the records of what managers other than Flux and Kubernetes own of the workload. The
// values stay out: an environment variable may be a secret. Where Flux owns nothing of it, the workload
// isn't in Git at all.
func (w *workload) deviations() []tracedb.Draft {
	if metav1.GetControllerOf(w) != nil {
		return nil // its owner is looked at
	}
	entries := w.ManagedFields
	ours := slices.ContainsFunc(entries, func(e metav1.ManagedFieldsEntry) bool { return e.Manager == fluxManager })
	images := imagesOf(w.Spec.Template.Spec)
	var out []tracedb.Draft
	for _, e := range entries {
		if e.Subresource == "status" || slices.Contains(expectedManagers, e.Manager) {
			continue
		}
		fields := fieldsOf(e)
		if len(fields) == 0 {
			continue
		}
		p := tracedb.Drift{
			Namespace: w.Namespace, Object: object(w.Kind, w.Name), By: tracedb.Clip(e.Manager, 128),
			Want: "as in Git", Got: "changed: " + tracedb.Clip(strings.Join(fields, ", "), 2048),
		}
		if !ours {
			p.Want, p.Got = "not there: no file in Git has it", "there"
		}
		at := w.CreationTimestamp.Time
		if e.Time != nil {
			at = e.Time.Time
		}
		about := append(refs(tracedb.RefImage, images), ref(tracedb.RefNamespace, p.Namespace),
			ref(tracedb.RefAlgorithm, w.algorithm()))
		id := fmt.Sprintf("drift/%s/%s", w.UID, hash(append(slices.Clone(fields), "", e.Manager, string(e.Operation), at.UTC().Format(time.RFC3339))...))
		out = append(out, draft(id, tracedb.KindDrift, p.By, at, tracedb.Failed, p, about...))
	}
	return out
}

// lastApplied is when Flux last changed the workload.
func (w *workload) lastApplied(now time.Time) time.Time {
	for _, e := range w.ManagedFields {
		if e.Manager == fluxManager && e.Time != nil {
			now = e.Time.Time
		}
	}
	return now
}

// imagesOf are the digests of the images that a pod, or what pods are made from, names.
func imagesOf(pod corev1.PodSpec) []string {
	var out []string
	for _, c := range slices.Concat(pod.InitContainers, pod.Containers) {
		if d := digestOf(c.Image); d != "" {
			out = append(out, d)
		}
	}
	return sortedImages(out)
}

func (w *workload) algorithm() string {
	return cmp.Or(w.Spec.Template.Labels[names.LabelAlgorithm], w.Labels[names.LabelAlgorithm])
}

// fieldsOf are the paths of the fields that a manager owns, the leaves alone.
func fieldsOf(e metav1.ManagedFieldsEntry) []string {
	if e.FieldsV1 == nil {
		return nil
	}
	set := &fieldpath.Set{}
	if err := set.FromJSON(bytes.NewReader(e.FieldsV1.Raw)); err != nil {
		return []string{"fields that can't be read"}
	}
	var out []string
	set.Leaves().Iterate(func(p fieldpath.Path) { out = append(out, strings.TrimPrefix(p.String(), ".")) })
	slices.Sort(out)
	return out
}
