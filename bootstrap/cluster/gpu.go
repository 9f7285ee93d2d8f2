package cluster

import (
	"context"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
)

// SimulatedAnnotation marks what only stands for the real thing.
const SimulatedAnnotation = "druppie.io/simulated"

// gpus is how many GPUs a simulated GPU node says it has.
const gpus = "1"

// AdvertiseGPU has the GPU nodes say that they have GPUs, and returns the names
// of those that had to be told. No device stands behind it: the scheduler
// counts, the pod finds nothing, and an annotation says so. A kubelet that
// starts forgets a resource it doesn't manage itself, so this is called at
// every run and not only at the first.
func AdvertiseGPU(ctx context.Context, set kubernetes.Interface) (changed []string, err error) {
	nodes, err := set.CoreV1().Nodes().List(ctx, metav1.ListOptions{LabelSelector: GPULabel + "=" + GPULabelValue})
	if err != nil {
		return nil, fmt.Errorf("list GPU nodes: %w", err)
	}
	for i := range nodes.Items {
		n := &nodes.Items[i]
		did, err := advertise(ctx, set, n)
		if err != nil {
			return changed, fmt.Errorf("advertise the GPU of %s: %w", n.Name, err)
		}
		if did {
			changed = append(changed, n.Name)
		}
	}
	return changed, nil
}

func advertise(ctx context.Context, set kubernetes.Interface, n *corev1.Node) (bool, error) {
	did := false
	if n.Annotations[SimulatedAnnotation] != "true" {
		patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]string{SimulatedAnnotation: "true"}}})
		if err != nil {
			return false, err
		}
		if _, err := set.CoreV1().Nodes().Patch(ctx, n.Name, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
			return false, err
		}
		did = true
	}
	capacity, allocatable := n.Status.Capacity[GPUResource], n.Status.Allocatable[GPUResource]
	if capacity.String() == gpus && allocatable.String() == gpus {
		return did, nil
	}
	have := map[string]any{GPUResource: gpus}
	patch, err := json.Marshal(map[string]any{"status": map[string]any{"capacity": have, "allocatable": have}})
	if err != nil {
		return did, err
	}
	_, err = set.CoreV1().Nodes().Patch(ctx, n.Name, types.MergePatchType, patch, metav1.PatchOptions{}, "status")
	return true, err
}
