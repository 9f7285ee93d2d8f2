package main

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// trim keeps of an object what is looked at: a node's memory is little.
func trim(obj any) (any, error) {
	if o, ok := obj.(metav1.Object); ok {
		o.SetManagedFields(nil)
		if p, ok := obj.(*corev1.Pod); ok {
			p.SetAnnotations(nil)
			spec := corev1.PodSpec{NodeName: p.Spec.NodeName, HostNetwork: p.Spec.HostNetwork}
			spec.InitContainers, spec.Containers = ports(p.Spec.InitContainers), ports(p.Spec.Containers)
			p.Spec = spec
			p.Status = corev1.PodStatus{Phase: p.Status.Phase, PodIP: p.Status.PodIP}
		}
	}
	return obj, nil
}

// same says whether nothing changed that is looked at: nodes and pods change every few seconds.
func same(old, now any) bool {
	switch now := now.(type) {
	case *corev1.Node:
		old := old.(*corev1.Node)
		return old.Spec.PodCIDR == now.Spec.PodCIDR && slices.Equal(old.Spec.PodCIDRs, now.Spec.PodCIDRs) && slices.Equal(old.Status.Addresses, now.Status.Addresses)
	case *corev1.Pod:
		old := old.(*corev1.Pod)
		return old.UID == now.UID && maps.Equal(old.Labels, now.Labels) && equality.Semantic.DeepEqual(old.Spec, now.Spec) && equality.Semantic.DeepEqual(old.Status, now.Status)
	}
	return false
}

func ports(containers []corev1.Container) []corev1.Container {
	var out []corev1.Container
	for _, c := range containers {
		if len(c.Ports) > 0 {
			out = append(out, corev1.Container{Ports: c.Ports, RestartPolicy: c.RestartPolicy})
		}
	}
	return out
}
