package scenarios

import (
	"fmt"
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/druppie/druppie-up/scenarios/platform"
)

var deployments = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}

// runScale sets a Deployment's replicas by hand, past Git.
func runScale(c *call) error {
	p, err := c.platform()
	if err != nil {
		return err
	}
	replicas, err := strconv.Atoi(c.args[2])
	if err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	patch := fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, replicas)
	_, err = p.Dynamic.Resource(deployments).Namespace(c.args[0]).
		Patch(c.ctx, c.args[1], types.MergePatchType, patch, metav1.PatchOptions{FieldManager: "druppie-scenario"})
	if err != nil {
		return fmt.Errorf("scale %s: %w", c.args[1], err)
	}
	return nil
}

// awaitReplicas waits until a Deployment asks for so many replicas again.
func awaitReplicas(c *call, p *platform.Platform) error {
	namespace, name, want := c.args[1], c.args[2], c.args[3]
	return c.wait(fluxTimeout, func() (bool, string, error) {
		d, err := p.Dynamic.Resource(deployments).Namespace(namespace).Get(c.ctx, name, metav1.GetOptions{})
		if err != nil {
			return false, "", fmt.Errorf("look at %s: %w", name, err)
		}
		got, _, err := unstructured.NestedInt64(d.Object, "spec", "replicas")
		if err != nil {
			return false, "", fmt.Errorf("replicas of %s: %w", name, err)
		}
		return strconv.FormatInt(got, 10) == want, fmt.Sprintf("for Flux to set the replicas of %s to %s; there are %d", name, want, got), nil
	})
}
