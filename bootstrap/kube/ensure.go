package kube

import (
	"context"
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
)

// Objects is the part of a Kubernetes client that reads and patches objects.
type Objects interface {
	client.Reader
	Patch(ctx context.Context, obj client.Object, patch client.Patch, opts ...client.PatchOption) error
}

// PartOf marks all that the installer makes in the cluster.
func PartOf() map[string]string {
	return map[string]string{
		"app.kubernetes.io/part-of":    "druppie",
		"app.kubernetes.io/managed-by": FieldManager,
	}
}

// EnsureNamespace makes a namespace, and keeps its labels where it is given any.
// Like the functions beside it, it writes only what isn't as it should be, so that
// a second time moves no resourceVersion.
func EnsureNamespace(ctx context.Context, c client.Client, name string, labels map[string]string) error {
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	return ensure(ctx, c, "namespace "+name, ns, func() {
		if labels != nil {
			ns.Labels = merged(ns.Labels, merged(PartOf(), labels))
		}
	})
}

// ensure creates an object, or patches what set changes of it.
func ensure(ctx context.Context, c client.Client, what string, o client.Object, set func()) error {
	_, err := controllerutil.CreateOrPatch(ctx, c, o, func() error {
		if o.GetResourceVersion() == "" {
			o.SetLabels(PartOf())
		}
		set()
		return nil
	})
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// SecretOnce returns the secret's data, which make supplies if there is none yet.
func SecretOnce(ctx context.Context, c client.Client, namespace, name string, typ corev1.SecretType, make func() (map[string][]byte, error)) (map[string][]byte, error) {
	s := &corev1.Secret{}
	err := c.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, s)
	if err == nil {
		return s.Data, nil
	}
	if !apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("secret %s/%s: %w", namespace, name, err)
	}
	data, err := make()
	if err != nil {
		return nil, fmt.Errorf("secret %s/%s: %w", namespace, name, err)
	}
	return data, EnsureSecret(ctx, c, namespace, name, typ, data)
}

// EnsureSecret makes the secret's data have these values; other keys stay.
func EnsureSecret(ctx context.Context, c client.Client, namespace, name string, typ corev1.SecretType, data map[string][]byte) error {
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	return ensure(ctx, c, "secret "+namespace+"/"+name, s, func() {
		if s.ResourceVersion == "" {
			s.Type = typ
		}
		s.Data = merged(s.Data, data)
	})
}

// EnsureConfigMap makes the config map's data have these values; other keys stay.
func EnsureConfigMap(ctx context.Context, c client.Client, namespace, name string, data map[string]string) error {
	cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	return ensure(ctx, c, "config map "+namespace+"/"+name, cm, func() { cm.Data = merged(cm.Data, data) })
}

func merged[V any](have, want map[string]V) map[string]V {
	out := map[string]V{}
	maps.Copy(out, have)
	maps.Copy(out, want)
	return out
}
