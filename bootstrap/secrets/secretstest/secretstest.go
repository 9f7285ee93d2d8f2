// Package secretstest reads what a cluster keeps, for tests. It owns no assertion beyond that reading works.
package secretstest

import (
	"context"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Versions notes every object's resourceVersion, so that a change shows.
func Versions(t *testing.T, c client.Client) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, list := range []client.ObjectList{&corev1.SecretList{}, &corev1.ConfigMapList{}, &corev1.NamespaceList{}} {
		if err := c.List(context.Background(), list); err != nil {
			t.Fatal(err)
		}
		switch l := list.(type) {
		case *corev1.SecretList:
			for _, o := range l.Items {
				out["secret "+o.Namespace+"/"+o.Name] = o.ResourceVersion
			}
		case *corev1.ConfigMapList:
			for _, o := range l.Items {
				out["config map "+o.Namespace+"/"+o.Name] = o.ResourceVersion
			}
		case *corev1.NamespaceList:
			for _, o := range l.Items {
				out["namespace "+o.Name] = o.ResourceVersion
			}
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
