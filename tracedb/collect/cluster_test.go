package collect

import (
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/kubernetes/scheme"
)

// cluster is an API server that holds objects, and gives them as it does to whoever doesn't know their types.
type cluster struct {
	*fake.FakeDynamicClient
	types *runtime.Scheme
}

func newCluster(objects ...runtime.Object) cluster { return clusterOf(scheme.Scheme, objects...) }

// clusterOf is a cluster with objects of these types.
func clusterOf(types *runtime.Scheme, objects ...runtime.Object) cluster {
	return cluster{fake.NewSimpleDynamicClient(types, objects...), types}
}

func (c cluster) create(t *testing.T, o runtime.Object) {
	t.Helper()
	of, u := c.untyped(t, o)
	if _, err := of.Create(t.Context(), u, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

func (c cluster) update(t *testing.T, o runtime.Object) {
	t.Helper()
	of, u := c.untyped(t, o)
	if _, err := of.Update(t.Context(), u, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
}

func (c cluster) delete(t *testing.T, o runtime.Object) {
	t.Helper()
	of, u := c.untyped(t, o)
	if err := of.Delete(t.Context(), u.GetName(), metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
}

// untyped is where an object belongs, and the object without its type.
func (c cluster) untyped(t *testing.T, o runtime.Object) (dynamic.ResourceInterface, *unstructured.Unstructured) {
	t.Helper()
	u := &unstructured.Unstructured{}
	if err := c.types.Convert(o, u, nil); err != nil {
		t.Fatal(err)
	}
	resource, _ := meta.UnsafeGuessKindToResource(u.GroupVersionKind())
	return c.Resource(resource).Namespace(u.GetNamespace()), u
}
