package cluster

import (
	"context"
	"encoding/json"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
)

// SimulatedAnnotation marks what is simulated.
const SimulatedAnnotation = "druppie.io/simulated"

// gpus is how many GPUs a simulated GPU node says it has.
const gpus = "1"

// AdvertiseGPU has the GPU nodes say that they have GPUs, and returns the names
// of those that didn't. There is no device: the scheduler counts GPUs, a pod
// finds none, and an annotation says that they are simulated. A kubelet that
// starts forgets a resource it doesn't manage itself, so this is called at
// every run and not only at the first.
func AdvertiseGPU(ctx context.Context, set kubernetes.Interface) (changed []string, err error) {
	nodes, err := set.CoreV1().Nodes().List(ctx, metav1.ListOptions{LabelSelector: GPULabel + "=" + GPULabelValue})
	if err != nil {
		return nil, fmt.Errorf("list GPU nodes: %w", err)
	}
	resources := map[string]string{GPUResource: gpus}
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"annotations": map[string]string{SimulatedAnnotation: "true"}},
		"status":   map[string]any{"capacity": resources, "allocatable": resources},
	})
	if err != nil {
		return nil, err
	}
	for _, n := range nodes.Items {
		capacity, allocatable := n.Status.Capacity[GPUResource], n.Status.Allocatable[GPUResource]
		if n.Annotations[SimulatedAnnotation] == "true" && capacity.String() == gpus && allocatable.String() == gpus {
			continue
		}
		// Like the kubelet's own, a patch of the status writes metadata too.
		if _, err := set.CoreV1().Nodes().Patch(ctx, n.Name, types.MergePatchType, patch, metav1.PatchOptions{}, "status"); err != nil {
			return changed, fmt.Errorf("advertise the GPU of %s: %w", n.Name, err)
		}
		changed = append(changed, n.Name)
	}
	return changed, nil
}
