package collect

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/druppie/druppie-up/internal/names"
	"github.com/druppie/druppie-up/tracedb"
)

// fluxManager is under which name Flux's kustomize-controller applies.
const fluxManager = "kustomize-controller"

// controllers are the controllers of Kubernetes itself, whose changes to a workload are its bookkeeping.
var controllers = []string{fluxManager, "kube-controller-manager", "kube-scheduler", "kubelet"}

// workloads are the feeds of a tenant's workloads: what somebody other than Flux changed in them.
func (p *Pods) workloads(namespace string) []*reflector {
	var out []*reflector
	for _, of := range []struct {
		resource string
		as       func() runtime.Object
	}{
		{"deployments", func() runtime.Object { return &appsv1.Deployment{} }},
		{"statefulsets", func() runtime.Object { return &appsv1.StatefulSet{} }},
		{"daemonsets", func() runtime.Object { return &appsv1.DaemonSet{} }},
	} {
		d := &drifts{pods: p, namespace: namespace}
		out = append(out, &reflector{
			name: of.resource + " of " + namespace, of: p.Client.Resource(appsv1.SchemeGroupVersion.WithResource(of.resource)).Namespace(namespace),
			as: of.as, health: &p.health, rec: p.rec, relist: p.relist,
			all: d.all, one: d.one,
		})
	}
	return out
}

// drifts are the deviations of one kind of workload in a tenant that nobody has taken back yet.
type drifts struct {
	pods      *Pods
	namespace string
	recalled  bool
	open      map[string][]tracedb.Draft // records of deviations, by the workload's UID
}

// recall asks the log, once, which deviations stood when the service was last there, so that one which
// was taken back meanwhile is recorded as undone.
func (d *drifts) recall(ctx context.Context) error {
	if d.open == nil {
		d.open = map[string][]tracedb.Draft{}
	}
	if d.recalled || d.pods.Log == nil {
		return nil
	}
	q := tracedb.Query{
		Kinds: []tracedb.Kind{tracedb.KindDrift}, Refs: []tracedb.Ref{ref(tracedb.RefNamespace, d.namespace)}, Limit: tracedb.MaxPage,
	}
	undone := map[string]bool{}
	for range recallPages {
		page, err := d.pods.Log.Search(ctx, q)
		if err != nil {
			return fmt.Errorf("which deviations stood: %w", err)
		}
		for _, e := range page.Entries { // newest first
			parts := strings.Split(e.ID, "/")
			if e.Writer != d.pods.rec.identity().Name || len(parts) < 3 || parts[0] != "drift" {
				continue
			}
			if e.Outcome == tracedb.Undone {
				undone[strings.TrimSuffix(e.ID, "/undone")] = true
				continue
			}
			if undone[e.ID] {
				continue
			}
			body, err := d.pods.Log.Payload(ctx, e.Seq)
			if errors.Is(err, tracedb.ErrDisposed) {
				continue
			}
			if err != nil {
				return fmt.Errorf("which deviations stood: %w", err)
			}
			d.open[parts[1]] = append(d.open[parts[1]], tracedb.Draft{ID: e.ID, Kind: e.Kind, Actor: e.Actor, At: e.At, Outcome: e.Outcome, Refs: e.Refs, Payload: body})
		}
		if page.Next == 0 {
			break
		}
		q.Before = page.Next
	}
	d.recalled = true
	return nil
}

func (d *drifts) all(ctx context.Context, objects []runtime.Object) error {
	if err := d.recall(ctx); err != nil {
		return err
	}
	there := map[string]bool{}
	for _, o := range objects {
		if m, err := meta.Accessor(o); err == nil {
			there[string(m.GetUID())] = true
		}
		if err := d.one(ctx, watch.Added, o); err != nil {
			return err
		}
	}
	for uid := range d.open {
		if !there[uid] {
			delete(d.open, uid)
		}
	}
	return nil
}

// one records the deviations of a workload, and those that are no more.
func (d *drifts) one(ctx context.Context, what watch.EventType, o runtime.Object) error {
	w, ok := workloadOf(o)
	if !ok {
		return nil
	}
	uid := string(w.meta.GetUID())
	if what == watch.Deleted {
		delete(d.open, uid)
		return nil
	}
	now := w.deviations()
	if err := d.pods.rec.put(ctx, now); err != nil {
		return err
	}
	var back []tracedb.Draft
	for _, before := range d.open[uid] {
		if !slices.ContainsFunc(now, func(n tracedb.Draft) bool { return n.ID == before.ID }) {
			undone := before
			undone.ID, undone.Outcome, undone.Actor = before.ID+"/undone", tracedb.Undone, fluxManager
			undone.At = tracedb.Instant(w.lastApplied(d.pods.rec.now()))
			back = append(back, undone)
		}
	}
	if err := d.pods.rec.put(ctx, back); err != nil {
		return err
	}
	d.open[uid] = now
	if len(now) == 0 {
		delete(d.open, uid)
	}
	return nil
}

// workload is what deviations are looked for in.
type workload struct {
	kind string
	meta metav1.Object
	pod  *corev1.PodTemplateSpec
}

func workloadOf(o runtime.Object) (workload, bool) {
	switch w := o.(type) {
	case *appsv1.Deployment:
		return workload{"Deployment", w, &w.Spec.Template}, true
	case *appsv1.StatefulSet:
		return workload{"StatefulSet", w, &w.Spec.Template}, true
	case *appsv1.DaemonSet:
		return workload{"DaemonSet", w, &w.Spec.Template}, true
	}
	return workload{}, false
}

// deviations are the records of what managers other than Flux and Kubernetes own of the workload. The
// values stay out: an environment variable may be a secret. Where Flux owns nothing of it, the workload
// isn't in Git at all.
func (w workload) deviations() []tracedb.Draft {
	if metav1.GetControllerOf(w.meta) != nil {
		return nil // its owner is looked at
	}
	entries := w.meta.GetManagedFields()
	ours := slices.ContainsFunc(entries, func(e metav1.ManagedFieldsEntry) bool { return e.Manager == fluxManager })
	images := w.images()
	var out []tracedb.Draft
	for _, e := range entries {
		if e.Subresource == "status" || slices.Contains(controllers, e.Manager) {
			continue
		}
		fields := fieldsOf(e)
		if len(fields) == 0 {
			continue
		}
		p := tracedb.Drift{
			Namespace: w.meta.GetNamespace(), Object: object(w.kind, w.meta.GetName()), By: tracedb.Clip(e.Manager, 128),
			Want: "as in Git", Got: "changed: " + tracedb.Clip(strings.Join(fields, ", "), 2048),
		}
		if !ours {
			p.Want, p.Got = "not there: no file in Git has it", "there"
		}
		at := w.meta.GetCreationTimestamp().Time
		if e.Time != nil {
			at = e.Time.Time
		}
		about := append(refs(tracedb.RefImage, images), ref(tracedb.RefNamespace, p.Namespace),
			ref(tracedb.RefAlgorithm, w.algorithm()))
		id := fmt.Sprintf("drift/%s/%s", w.meta.GetUID(), hash(append(slices.Clone(fields), "", e.Manager, string(e.Operation), at.UTC().Format(time.RFC3339))...))
		out = append(out, draft(id, tracedb.KindDrift, p.By, at, tracedb.Failed, p, about...))
	}
	return out
}

// lastApplied is when Flux last changed the workload.
func (w workload) lastApplied(now time.Time) time.Time {
	for _, e := range w.meta.GetManagedFields() {
		if e.Manager == fluxManager && e.Time != nil {
			now = e.Time.Time
		}
	}
	return now
}

func (w workload) images() []string {
	var out []string
	for _, c := range slices.Concat(w.pod.Spec.InitContainers, w.pod.Spec.Containers) {
		if d := digestOf(c.Image); d != "" {
			out = append(out, d)
		}
	}
	slices.Sort(out)
	out = slices.Compact(out)
	return out[:min(len(out), maxImages)]
}

func (w workload) algorithm() string {
	if id := w.pod.Labels[names.LabelAlgorithm]; id != "" {
		return id
	}
	return w.meta.GetLabels()[names.LabelAlgorithm]
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
