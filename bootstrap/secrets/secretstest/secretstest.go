// Package secretstest reads what a cluster keeps, for tests. It owns no assertion beyond that reading works.
package secretstest

import (
	"context"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Versions notes every object's resourceVersion, so that a change shows.
func Versions(t *testing.T, c client.Client) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, list := range []client.ObjectList{&corev1.SecretList{}, &corev1.ConfigMapList{}, &corev1.NamespaceList{}} {
		err := c.List(context.Background(), list)
		if err == nil {
			err = meta.EachListItem(list, func(item runtime.Object) error {
				o, err := meta.Accessor(item)
				out[fmt.Sprintf("%T %s/%s", item, o.GetNamespace(), o.GetName())] = o.GetResourceVersion()
				return err
			})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// Values are a secret's, as texts.
func Values(t *testing.T, c client.Client, namespace, name string) map[string]string {
	t.Helper()
	s := &corev1.Secret{}
	if err := c.Get(context.Background(), client.ObjectKey{Namespace: namespace, Name: name}, s); err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for k, v := range s.Data {
		out[k] = string(v)
	}
	return out
}
