package flux

import (
	"context"
	"fmt"

	"github.com/fluxcd/cli-utils/pkg/object"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/druppie/druppie-up/internal/names"
)

// inventoryEntry is an object that a part has applied.
type inventoryEntry struct {
	part string
	kind schema.GroupVersionKind
	key  client.ObjectKey
}

func inventory(k *kustomizev1.Kustomization) ([]inventoryEntry, error) {
	if k.Status.Inventory == nil {
		return nil, nil
	}
	var out []inventoryEntry
	for _, ref := range k.Status.Inventory.Entries {
		o, err := object.ParseObjMetadata(ref.ID)
		if err != nil {
			return nil, fmt.Errorf("flux: inventory of %s: %w", k.Name, err)
		}
		out = append(out, inventoryEntry{
			part: k.Name,
			kind: schema.GroupVersionKind{Group: o.GroupKind.Group, Version: ref.Version, Kind: o.GroupKind.Kind},
			key:  client.ObjectKey{Namespace: o.Namespace, Name: o.Name},
		})
	}
	return out, nil
}

// workloads are the objects of a part that run pods.
func workloads(k *kustomizev1.Kustomization) ([]*unstructured.Unstructured, error) {
	all, err := inventory(k)
	if err != nil {
		return nil, err
	}
	var out []*unstructured.Unstructured
	for _, e := range all {
		switch e.kind.Kind {
		case "Deployment", "StatefulSet", "DaemonSet", "Job":
			u := &unstructured.Unstructured{}
			u.SetGroupVersionKind(e.kind)
			u.SetNamespace(e.key.Namespace)
			u.SetName(e.key.Name)
			out = append(out, u)
		}
	}
	return out, nil
}

// restoreDeleted requests a reconciliation of the parts of which an object is
// gone. Flux compares the others by itself within a minute.
func (w *waiter) restoreDeleted(ctx context.Context) error {
	all, err := kustomizations(ctx, w)
	if err != nil {
		return err
	}
	byKind := map[schema.GroupVersionKind][]inventoryEntry{}
	for _, k := range all {
		entries, err := inventory(&k)
		if err != nil {
			return err
		}
		for _, e := range entries {
			byKind[e.kind] = append(byKind[e.kind], e)
		}
	}
	for kind, want := range byKind {
		have, err := w.existing(ctx, kind)
		if err != nil {
			return err
		}
		for _, e := range want {
			if have[e.key] {
				continue
			}
			w.task.Detail("%s: %s %s is gone or scaled to nothing, it is applied again", e.part, e.kind.Kind, e.key.Name)
			k := &kustomizev1.Kustomization{ObjectMeta: metav1.ObjectMeta{Namespace: names.NamespaceFlux, Name: e.part}}
			if err := w.requestReconcile(ctx, k); err != nil {
				return err
			}
		}
	}
	return nil
}

// existing lists the objects of a kind, but not those that were scaled to
// nothing: they do no more than objects that are gone. A kind that is gone has none.
func (w *waiter) existing(ctx context.Context, kind schema.GroupVersionKind) (map[client.ObjectKey]bool, error) {
	list := client.ObjectList(&metav1.PartialObjectMetadataList{})
	if kind.Kind == "Deployment" || kind.Kind == "StatefulSet" {
		list = &unstructured.UnstructuredList{}
	}
	kind.Kind += "List"
	list.GetObjectKind().SetGroupVersionKind(kind)
	if err := w.List(ctx, list); err != nil {
		if meta.IsNoMatchError(err) {
			return nil, nil
		}
		return nil, fmt.Errorf("list %s: %w", kind.Kind, err)
	}
	have := map[client.ObjectKey]bool{}
	return have, meta.EachListItem(list, func(item runtime.Object) error {
		o, err := meta.Accessor(item)
		if err != nil || o.GetDeletionTimestamp() != nil {
			return err
		}
		if u, ok := item.(*unstructured.Unstructured); ok {
			replicas, set, _ := unstructured.NestedInt64(u.Object, "spec", "replicas")
			if set && replicas == 0 {
				return nil
			}
		}
		have[client.ObjectKey{Namespace: o.GetNamespace(), Name: o.GetName()}] = true
		return nil
	})
}
