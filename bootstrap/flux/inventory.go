package flux

import (
	"context"
	"fmt"
	"slices"

	"github.com/fluxcd/cli-utils/pkg/object"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// inventory are the objects that a part has applied: their kinds and names.
func inventory(k *kustomizev1.Kustomization) ([]*unstructured.Unstructured, error) {
	if k.Status.Inventory == nil {
		return nil, nil
	}
	var out []*unstructured.Unstructured
	for _, ref := range k.Status.Inventory.Entries {
		o, err := object.ParseObjMetadata(ref.ID)
		if err != nil {
			return nil, fmt.Errorf("flux: inventory of %s: %w", k.Name, err)
		}
		u := &unstructured.Unstructured{}
		u.SetGroupVersionKind(o.GroupKind.WithVersion(ref.Version))
		u.SetNamespace(o.Namespace)
		u.SetName(o.Name)
		out = append(out, u)
	}
	return out, nil
}

// workloads are the objects of a part that run pods.
func workloads(k *kustomizev1.Kustomization) ([]*unstructured.Unstructured, error) {
	all, err := inventory(k)
	return slices.DeleteFunc(all, func(o *unstructured.Unstructured) bool {
		return !slices.Contains([]string{"Deployment", "StatefulSet", "DaemonSet", "Job"}, o.GetKind())
	}), err
}

// restoreDeleted requests a reconciliation of the parts of which an object is
// gone. Flux compares the others by itself within a minute.
func (w *waiter) restoreDeleted(ctx context.Context) error {
	all, err := kustomizations(ctx, w)
	if err != nil {
		return err
	}
	have := map[schema.GroupVersionKind]map[client.ObjectKey]bool{}
	for i := range all {
		want, err := inventory(&all[i])
		if err != nil {
			return err
		}
		for _, o := range want {
			kind := o.GroupVersionKind()
			if _, listed := have[kind]; !listed {
				if have[kind], err = w.existing(ctx, kind); err != nil {
					return err
				}
			}
			if have[kind][client.ObjectKeyFromObject(o)] {
				continue
			}
			w.task.Detail("%s: %s %s is gone or scaled to nothing, it is applied again", all[i].Name, kind.Kind, o.GetName())
			if err := w.requestReconcile(ctx, &all[i]); err != nil {
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
