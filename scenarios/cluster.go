package scenarios

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	"github.com/druppie/druppie-up/scenarios/platform"
)

// kubeErr is a refusal where the API server, or an admission webhook through it,
// said no.
func kubeErr(err error) error {
	if apierrors.IsForbidden(err) || apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) {
		return refusal{err}
	}
	// A webhook that can't be reached shows as an internal error: the object is
	// kept out, but by a fault and not by a decision.
	return err
}

// fieldManager is the name under which scenarios change objects.
const fieldManager = "druppie-scenario"

// object reads the one object in a file, whose ${VARIABLES} are the script's, with a client for it.
func (c *call) object(p *platform.Platform, file string) (*unstructured.Unstructured, dynamic.ResourceInterface, error) {
	data, err := os.ReadFile(c.ts.MkAbs(file))
	if err != nil {
		return nil, nil, err
	}
	obj := &unstructured.Unstructured{}
	if err := yaml.UnmarshalStrict([]byte(c.expand(string(data))), &obj.Object); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", file, err)
	}
	gvk := obj.GroupVersionKind()
	m, err := p.Mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", gvk, err)
	}
	return obj, p.Dynamic.Resource(m.Resource).Namespace(obj.GetNamespace()), nil
}

// runApply creates the object in a file. It is deleted when the script ends, unless what is applied is to last.
func runApply(c *call, p *platform.Platform) error {
	obj, client, err := c.object(p, c.args[0])
	if err != nil {
		return err
	}
	if err := c.admit(func() error {
		_, err := client.Create(c.ctx, obj, metav1.CreateOptions{FieldManager: fieldManager})
		return err
	}); err != nil {
		return err
	}
	if c.lasting {
		return nil
	}
	c.cleanup(obj.GetKind()+" "+obj.GetName(), func(after *call) error {
		options := metav1.DeleteOptions{GracePeriodSeconds: ptr.To(int64(0))}
		if err := client.Delete(after.ctx, obj.GetName(), options); !apierrors.IsNotFound(err) {
			return err
		}
		return nil
	})
	return nil
}

// runPatch makes an object that is there be as a file says, and leaves all else of it as it is; as the service account
// does it that is named, if one is. What was before doesn't come back by itself.
func runPatch(c *call, p *platform.Platform) error {
	if len(c.args) == 2 {
		var err error
		if p, err = p.As(c.args[1]); err != nil {
			return err
		}
	}
	obj, client, err := c.object(p, c.args[0])
	if err != nil {
		return err
	}
	patch, err := obj.MarshalJSON()
	if err != nil {
		return err
	}
	return c.admit(func() error {
		_, err := client.Patch(c.ctx, obj.GetName(), types.MergePatchType, patch, metav1.PatchOptions{FieldManager: fieldManager})
		return err
	})
}

// runEphemeral asks for a debug container in a running pod. An ephemeral
// container can't be taken out again, so one that is admitted stays until the
// pod goes; scripts expect refusals.
func runEphemeral(c *call, p *platform.Platform) error {
	namespace, image := c.args[0], c.args[2]
	pods, err := p.Kube.CoreV1().Pods(namespace).List(c.ctx, metav1.ListOptions{
		LabelSelector: c.args[1], FieldSelector: "status.phase=Running",
	})
	if err != nil {
		return err
	}
	if len(pods.Items) == 0 {
		return fmt.Errorf("no pod runs in %s with %s", namespace, c.args[1])
	}
	patch, err := json.Marshal(map[string]any{"spec": map[string]any{"ephemeralContainers": []corev1.EphemeralContainer{{
		EphemeralContainerCommon: corev1.EphemeralContainerCommon{
			Name: "debug-" + strconv.FormatInt(time.Now().UnixMilli(), 36), Image: image,
			SecurityContext: &corev1.SecurityContext{
				RunAsNonRoot: ptr.To(true), AllowPrivilegeEscalation: ptr.To(false),
				Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
			},
		},
	}}}})
	if err != nil {
		return err
	}
	return c.admit(func() error {
		_, err := p.Kube.CoreV1().Pods(namespace).Patch(c.ctx, pods.Items[0].Name, types.StrategicMergePatchType,
			patch, metav1.PatchOptions{}, "ephemeralcontainers")
		return err
	})
}

// admit asks the API server to take something. A webhook that couldn't be called has decided nothing, so it is asked
// again a moment later; what stays so is a fault.
func (c *call) admit(ask func() error) error {
	const tries = 3
	for try := 1; ; try++ {
		err := ask()
		if !apierrors.IsInternalError(err) || try == tries {
			return kubeErr(err)
		}
		c.ts.Logf("asked again: %v", err)
		select {
		case <-c.ctx.Done():
			return context.Cause(c.ctx)
		case <-time.After(time.Second):
		}
	}
}

// runRunning sets a variable to the image that a ready deployment runs, after
// making sure that all its pods do.
func runRunning(c *call, p *platform.Platform) error {
	var state rolloutState
	err := c.wait(settleTimeout, func() (ready bool, waiting string, err error) {
		state, err = rollout(c, p, c.args[0], c.args[1])
		if apierrors.IsNotFound(err) {
			err = fmt.Errorf("%s/%s isn't there: run the scenario first-flight before this one", c.args[0], c.args[1])
		}
		return state.waiting == "", fmt.Sprintf("for %s/%s to be ready: %s", c.args[0], c.args[1], state.waiting), err
	})
	if err != nil {
		return err
	}
	c.ts.Setenv(c.args[2], state.image)
	return nil
}

type rolloutState struct {
	image    string // that the deployment wants
	waiting  string // why its pods aren't all that, and ready; empty: they are
	running  string // digest that the ready pods run, as the container runtime says
	homeless bool   // one of its pods has no node
}

// rollout looks at a deployment and its pods.
func rollout(c *call, p *platform.Platform, namespace, name string) (rolloutState, error) {
	d, err := p.Kube.AppsV1().Deployments(namespace).Get(c.ctx, name, metav1.GetOptions{})
	if err != nil {
		return rolloutState{}, err
	}
	s := rolloutState{image: d.Spec.Template.Spec.Containers[0].Image}
	want := ptr.Deref(d.Spec.Replicas, 1)
	switch {
	case d.Status.ObservedGeneration < d.Generation:
		s.waiting = "for the deployment to be seen"
	case d.Status.UpdatedReplicas < want, d.Status.Replicas > d.Status.UpdatedReplicas, d.Status.AvailableReplicas < want:
		s.waiting = fmt.Sprintf("%d of %d pods are updated, %d available", d.Status.UpdatedReplicas, want, d.Status.AvailableReplicas)
	}
	pods, err := p.Kube.CoreV1().Pods(namespace).List(c.ctx, metav1.ListOptions{
		LabelSelector: labels.SelectorFromSet(d.Spec.Selector.MatchLabels).String(),
	})
	if err != nil {
		return rolloutState{}, err
	}
	for _, pod := range pods.Items {
		if pod.DeletionTimestamp != nil {
			continue
		}
		if why := unscheduled(&pod); why != "" {
			s.waiting, s.homeless = cmp.Or(s.waiting, "for a pod to be scheduled")+"; pod "+pod.Name+": "+why, true
		}
		for _, cs := range pod.Status.ContainerStatuses {
			if w := cs.State.Waiting; w != nil && s.waiting != "" {
				s.waiting += fmt.Sprintf("; pod %s: %s", pod.Name, w.Reason)
			}
			if _, digest, ok := strings.Cut(cs.ImageID, "@"); ok && cs.Ready {
				s.running = digest
			}
		}
	}
	return s, nil
}

// unscheduled says why a pod has no node; empty: it has one.
func unscheduled(pod *corev1.Pod) string {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			return c.Message
		}
	}
	return ""
}

// runScale sets a Deployment's replicas by hand, past Git.
func runScale(c *call, p *platform.Platform) error {
	patch := fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, c.number)
	_, err := p.Kube.AppsV1().Deployments(c.args[0]).
		Patch(c.ctx, c.args[1], types.MergePatchType, patch, metav1.PatchOptions{FieldManager: fieldManager})
	if err != nil {
		return fmt.Errorf("scale %s: %w", c.args[1], err)
	}
	return nil
}

// servicePath is the path of the API server that leads to one of a service, NAMESPACE/SERVICE:PORT.
func servicePath(service, path string) ([]string, error) {
	namespace, rest, ok := strings.Cut(service, "/")
	if !ok {
		return nil, fmt.Errorf("%w: %q isn't NAMESPACE/SERVICE:PORT", errUsage, service)
	}
	return []string{"/api/v1/namespaces", namespace, "services", rest, "proxy", path}, nil
}

// runHTTP calls a Service through the API server's proxy; an answer of 400 and
// more counts as a refusal.
func runHTTP(c *call, p *platform.Platform) error {
	path, err := servicePath(c.args[1], c.args[2])
	if err != nil {
		return err
	}
	req := p.Kube.CoreV1().RESTClient().Get()
	if c.args[0] == "post" {
		body, err := os.ReadFile(c.ts.MkAbs(c.args[3]))
		if err != nil {
			return err
		}
		req = p.Kube.CoreV1().RESTClient().Post().Body([]byte(c.expand(string(body)))).SetHeader("Content-Type", "application/json")
	}
	data, err := req.AbsPath(path...).Timeout(30 * time.Second).DoRaw(c.ctx)
	if _, werr := c.ts.Stdout().Write(data); werr != nil {
		return werr
	}
	var status apierrors.APIStatus
	if errors.As(err, &status) && status.Status().Code >= http.StatusBadRequest && status.Status().Code < http.StatusInternalServerError {
		return refusal{fmt.Errorf("%w: %s", err, data)}
	}
	return err
}
