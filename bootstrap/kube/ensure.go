package kube

import (
	"bytes"
	"context"
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Objects is the part of a Kubernetes client that reads and writes single
// objects.
type Objects interface {
	client.Reader
	Create(ctx context.Context, obj client.Object, opts ...client.CreateOption) error
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
func EnsureNamespace(ctx context.Context, c Objects, name string, labels map[string]string) error {
	want := PartOf()
	maps.Copy(want, labels)
	ns := &corev1.Namespace{}
	err := c.Get(ctx, client.ObjectKey{Name: name}, ns)
	if apierrors.IsNotFound(err) {
		ns = &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: want}}
		err = c.Create(ctx, ns)
	} else if err == nil && labels != nil && !covers(ns.Labels, want) {
		before := ns.DeepCopy()
		ns.Labels = merged(ns.Labels, want)
		err = c.Patch(ctx, ns, client.MergeFrom(before))
	}
	if err != nil {
		return fmt.Errorf("namespace %s: %w", name, err)
	}
	return nil
}

// SecretOnce returns the secret's data, which make supplies if there is none yet.
func SecretOnce(ctx context.Context, c Objects, namespace, name string, typ corev1.SecretType, make func() (map[string][]byte, error)) (map[string][]byte, error) {
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
	s = &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: PartOf()},
		Type:       typ,
		Data:       data,
	}
	if err := c.Create(ctx, s); err != nil {
		return nil, fmt.Errorf("secret %s/%s: %w", namespace, name, err)
	}
	return data, nil
}

// EnsureSecret makes the secret's data have these values; other keys stay.
func EnsureSecret(ctx context.Context, c Objects, namespace, name string, typ corev1.SecretType, data map[string][]byte) error {
	s := &corev1.Secret{}
	err := c.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, s)
	if apierrors.IsNotFound(err) {
		_, err = SecretOnce(ctx, c, namespace, name, typ, func() (map[string][]byte, error) { return data, nil })
		return err
	}
	if err != nil {
		return fmt.Errorf("secret %s/%s: %w", namespace, name, err)
	}
	before := s.DeepCopy()
	changed := false
	for key, value := range data {
		if !bytes.Equal(s.Data[key], value) {
			if s.Data == nil {
				s.Data = map[string][]byte{}
			}
			s.Data[key] = value
			changed = true
		}
	}
	if !changed {
		return nil
	}
	if err := c.Patch(ctx, s, client.MergeFrom(before)); err != nil {
		return fmt.Errorf("secret %s/%s: %w", namespace, name, err)
	}
	return nil
}

// EnsureConfigMap makes the config map's data have these values; other keys stay.
func EnsureConfigMap(ctx context.Context, c Objects, namespace, name string, data map[string]string) error {
	cm := &corev1.ConfigMap{}
	err := c.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, cm)
	if apierrors.IsNotFound(err) {
		cm = &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: PartOf()},
			Data:       data,
		}
		err = c.Create(ctx, cm)
	} else if err == nil && !covers(cm.Data, data) {
		before := cm.DeepCopy()
		cm.Data = merged(cm.Data, data)
		err = c.Patch(ctx, cm, client.MergeFrom(before))
	}
	if err != nil {
		return fmt.Errorf("config map %s/%s: %w", namespace, name, err)
	}
	return nil
}

func covers(have, want map[string]string) bool {
	for k, v := range want {
		if got, ok := have[k]; !ok || got != v {
			return false
		}
	}
	return true
}

func merged(have, want map[string]string) map[string]string {
	out := maps.Clone(have)
	if out == nil {
		out = map[string]string{}
	}
	maps.Copy(out, want)
	return out
}
