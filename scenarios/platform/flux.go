package platform

import (
	"context"
	"fmt"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/druppie/druppie-up/internal/names"
)

// Flux's kinds, all in names.NamespaceFlux.
var (
	Kustomizations  = schema.GroupVersionResource{Group: "kustomize.toolkit.fluxcd.io", Version: "v1", Resource: "kustomizations"}
	GitRepositories = schema.GroupVersionResource{Group: "source.toolkit.fluxcd.io", Version: "v1", Resource: "gitrepositories"}
)

// Suspend makes Flux leave a Kustomization's objects as they are, or no
// longer. Git says nothing of it, so Flux doesn't take that back by itself.
func Suspend(ctx context.Context, c dynamic.Interface, name string, yes bool, fieldManager string) error {
	patch := []byte(`{"spec":{"suspend":null}}`)
	if yes {
		patch = []byte(`{"spec":{"suspend":true}}`)
	}
	_, err := c.Resource(Kustomizations).Namespace(names.NamespaceFlux).
		Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: fieldManager})
	if err != nil {
		return fmt.Errorf("suspend kustomization %s: %t: %w", name, yes, err)
	}
	return nil
}

// RequestReconcile asks Flux to reconcile an object now instead of at its next
// interval. What it returns is in the object's status once Flux has handled it.
func RequestReconcile(ctx context.Context, c dynamic.Interface, resource schema.GroupVersionResource, name string) (string, error) {
	at := time.Now().Format(time.RFC3339Nano)
	patch := fmt.Appendf(nil, `{"metadata":{"annotations":{%q:%q}}}`, meta.ReconcileRequestAnnotation, at)
	_, err := c.Resource(resource).Namespace(names.NamespaceFlux).Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{})
	if err != nil {
		return "", fmt.Errorf("ask Flux for %s: %w", name, err)
	}
	return at, nil
}
