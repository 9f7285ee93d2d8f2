package conformance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/fluxcd/pkg/apis/meta"
	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
)

// revisionAnnotation is where the controller of Deployments keeps how often their pods were changed.
const revisionAnnotation = "deployment.kubernetes.io/revision"

// object is a Kubernetes object that a mutation changes.
type object struct {
	Change
	client dynamic.ResourceInterface
}

func (p Platform) object(c Change) (target, error) {
	gv, err := schema.ParseGroupVersion(c.APIVersion)
	if err != nil {
		return nil, err
	}
	mapping, err := p.Mapper.RESTMapping(schema.GroupKind{Group: gv.Group, Kind: c.Kind}, gv.Version)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c, err)
	}
	client := p.Dynamic.Resource(mapping.Resource)
	if c.Namespace == "" {
		return object{c, client}, nil
	}
	return object{c, client.Namespace(c.Namespace)}, nil
}

func (o object) read(ctx context.Context) (map[string]any, error) {
	u, err := o.client.Get(ctx, o.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", o.Change, err)
	}
	return u.Object, nil
}

func (o object) change(ctx context.Context) error {
	if len(o.Patch) == 0 {
		return o.client.Delete(ctx, o.Name, metav1.DeleteOptions{})
	}
	patch, err := json.Marshal(o.Patch)
	if err != nil {
		return err
	}
	_, err = o.client.Patch(ctx, o.Name, types.JSONPatchType, patch, metav1.PatchOptions{FieldManager: fieldManager})
	return err
}

func (o object) restore(ctx context.Context, was map[string]any) error {
	u := &unstructured.Unstructured{Object: o.settings(was)}
	now, err := o.client.Get(ctx, o.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		_, err = o.client.Create(ctx, u, metav1.CreateOptions{FieldManager: fieldManager})
	case err == nil && now.GetDeletionTimestamp() != nil:
		return errors.New("it is still being deleted: undo the mutation again in a while")
	case err == nil:
		u.SetResourceVersion(now.GetResourceVersion())
		_, err = o.client.Update(ctx, u, metav1.UpdateOptions{FieldManager: fieldManager})
	}
	return err
}

func (o object) settings(state map[string]any) map[string]any {
	u := (&unstructured.Unstructured{Object: state}).DeepCopy().Object
	for _, field := range []string{"resourceVersion", "uid", "creationTimestamp", "generation", "managedFields"} {
		unstructured.RemoveNestedField(u, "metadata", field)
	}
	// Whoever has Flux reconcile now leaves that there, the receiver of Gitea's webhooks among them.
	unstructured.RemoveNestedField(u, "metadata", "annotations", meta.ReconcileRequestAnnotation)
	unstructured.RemoveNestedField(u, "metadata", "annotations", revisionAnnotation)
	unstructured.RemoveNestedField(u, "metadata", "annotations", appsv1.DeprecatedTemplateGeneration) // of a DaemonSet, counted by the server
	if left, _, _ := unstructured.NestedMap(u, "metadata", "annotations"); len(left) == 0 {
		unstructured.RemoveNestedField(u, "metadata", "annotations") // a server keeps none that is empty
	}
	unstructured.RemoveNestedField(u, "status")
	return u
}
