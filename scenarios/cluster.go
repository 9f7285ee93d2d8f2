package scenarios

import (
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
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"

	"github.com/druppie/druppie-up/internal/names"
	"github.com/druppie/druppie-up/scenarios/platform"
)

// kubeErr is a refusal where the API server, or an admission webhook through it,
// said no.
func kubeErr(err error) error {
	if apierrors.IsForbidden(err) || apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) {
		return refusal{err}
	}
	// A webhook that can't be asked answers as an internal error: the object is
	// kept out, but by a fault and not by a decision.
	return err
}

// runApply creates the one object in a file, whose ${VARIABLES} are the script's.
// What it creates goes when the script ends.
func runApply(c *call) error {
	p, err := c.platform()
	if err != nil {
		return err
	}
	data, err := os.ReadFile(c.ts.MkAbs(c.args[0]))
	if err != nil {
		return err
	}
	obj := &unstructured.Unstructured{}
	if err := yaml.UnmarshalStrict([]byte(c.expand(string(data))), &obj.Object); err != nil {
		return fmt.Errorf("%s: %w", c.args[0], err)
	}
	client, err := resource(p, obj)
	if err != nil {
		return err
	}
	if _, err := client.Create(c.ctx, obj, metav1.CreateOptions{FieldManager: "druppie-scenario"}); err != nil {
		return kubeErr(err)
	}
	c.ts.Defer(func() {
		// The script has ended, perhaps because its context did.
		grace := int64(0)
		err := client.Delete(contextWithoutEnd(c.ctx), obj.GetName(), metav1.DeleteOptions{GracePeriodSeconds: &grace})
		if err != nil && !apierrors.IsNotFound(err) {
			c.ts.Logf("left behind: %s %s: %v", obj.GetKind(), obj.GetName(), err)
		}
	})
	return nil
}

func resource(p *platform.Platform, obj *unstructured.Unstructured) (dynamic.ResourceInterface, error) {
	gvk := obj.GroupVersionKind()
	m, err := p.Mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", gvk, err)
	}
	return p.Dynamic.Resource(m.Resource).Namespace(obj.GetNamespace()), nil
}

// runEphemeral asks for a debug container in a running pod. An ephemeral
// container can't be taken out again, so one that is admitted stays until the
// pod goes; scripts expect refusals.
func runEphemeral(c *call) error {
	p, err := c.platform()
	if err != nil {
		return err
	}
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
	yes, no := true, false
	patch, err := json.Marshal(map[string]any{"spec": map[string]any{"ephemeralContainers": []corev1.EphemeralContainer{{
		EphemeralContainerCommon: corev1.EphemeralContainerCommon{
			Name: "debug-" + strconv.FormatInt(time.Now().UnixMilli(), 36), Image: image,
			SecurityContext: &corev1.SecurityContext{
				RunAsNonRoot: &yes, AllowPrivilegeEscalation: &no,
				Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
			},
		},
	}}}})
	if err != nil {
		return err
	}
	_, err = p.Kube.CoreV1().Pods(namespace).Patch(c.ctx, pods.Items[0].Name, types.StrategicMergePatchType,
		patch, metav1.PatchOptions{}, "ephemeralcontainers")
	return kubeErr(err)
}

// runRunning sets a variable to the image that a ready deployment runs, after
// making sure that all its pods do.
func runRunning(c *call) error {
	p, err := c.platform()
	if err != nil {
		return err
	}
	state, err := rollout(c, p, c.args[0], c.args[1])
	if apierrors.IsNotFound(err) {
		return fmt.Errorf("%s/%s isn't there: run the scenario first-flight before this one", c.args[0], c.args[1])
	}
	if err != nil {
		return err
	}
	if state.waiting != "" {
		return fmt.Errorf("%s/%s isn't ready: %s", c.args[0], c.args[1], state.waiting)
	}
	c.ts.Setenv(c.args[2], state.image)
	return nil
}

type rolloutState struct {
	image   string // that the deployment wants
	waiting string // why its pods aren't all that, and ready; empty: they are
	running string // digest that the ready pods run, as the container runtime says
}

// rollout looks at a deployment and its pods.
func rollout(c *call, p *platform.Platform, namespace, name string) (rolloutState, error) {
	d, err := p.Kube.AppsV1().Deployments(namespace).Get(c.ctx, name, metav1.GetOptions{})
	if err != nil {
		return rolloutState{}, err
	}
	s := rolloutState{image: d.Spec.Template.Spec.Containers[0].Image}
	want := int32(1)
	if d.Spec.Replicas != nil {
		want = *d.Spec.Replicas
	}
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
		if pod.DeletionTimestamp != nil || pod.Status.Phase != corev1.PodRunning {
			continue
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

// runReconcile asks Flux to look now instead of at its next interval.
func runReconcile(c *call) error {
	p, err := c.platform()
	if err != nil {
		return err
	}
	patch := lookNow(time.Now().Format(time.RFC3339Nano))
	for _, o := range []struct {
		gvr  schema.GroupVersionResource
		name string
	}{{gitRepositories, c.args[1]}, {kustomizations, c.args[0]}} {
		_, err := p.Dynamic.Resource(o.gvr).Namespace(names.NamespaceFlux).
			Patch(c.ctx, o.name, types.MergePatchType, patch, metav1.PatchOptions{})
		if err != nil {
			return fmt.Errorf("ask Flux for %s: %w", o.name, err)
		}
	}
	return nil
}

// runHTTP calls a Service through the API server's proxy; an answer of 400 and
// more counts as a refusal.
func runHTTP(c *call) error {
	namespace, rest, ok := strings.Cut(c.args[1], "/")
	if !ok {
		return fmt.Errorf("%w: %q isn't NAMESPACE/SERVICE:PORT", errUsage, c.args[1])
	}
	p, err := c.platform()
	if err != nil {
		return err
	}
	req := p.Kube.CoreV1().RESTClient().Get()
	if c.args[0] == "post" {
		body, err := os.ReadFile(c.ts.MkAbs(c.args[3]))
		if err != nil {
			return err
		}
		req = p.Kube.CoreV1().RESTClient().Post().Body(body).SetHeader("Content-Type", "application/json")
	}
	res := req.AbsPath("/api/v1/namespaces", namespace, "services", rest, "proxy", c.args[2]).
		Timeout(30 * time.Second).Do(c.ctx)
	data, err := res.Raw()
	if _, werr := c.ts.Stdout().Write(data); werr != nil {
		return werr
	}
	var status apierrors.APIStatus
	if errors.As(err, &status) && status.Status().Code >= http.StatusBadRequest && status.Status().Code < http.StatusInternalServerError {
		return refusal{fmt.Errorf("%w: %s", err, data)}
	}
	return err
}
