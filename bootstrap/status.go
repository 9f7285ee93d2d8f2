package bootstrap

import (
	"context"
	"fmt"
	"sort"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/druppie/druppie-up/bootstrap/cluster"
	"github.com/druppie/druppie-up/bootstrap/kube"
)

// Status is what there is of a platform and how it is.
type Status struct {
	Name  string        `json:"name"`
	State string        `json:"state"` // absent, stopped, running
	Ready bool          `json:"ready"` // every part is
	Nodes []Condition   `json:"nodes,omitempty"`
	Parts []Condition   `json:"parts,omitempty"`
	Runs  []PipelineRun `json:"runs,omitempty"`
	URLs  []URL         `json:"urls,omitempty"`
}

// Condition says whether one thing is ready and, if it isn't, why.
type Condition struct {
	Name    string `json:"name"`
	Ready   bool   `json:"ready"`
	Message string `json:"message,omitempty"`
}

// GetStatus looks and changes nothing.
func GetStatus(ctx context.Context, o Options) (Status, error) {
	o, err := o.Complete()
	if err != nil {
		return Status{}, err
	}
	state, err := cluster.Inspect(ctx, o.Name)
	if err != nil {
		return Status{}, err
	}
	s := Status{Name: o.Name, State: "running", URLs: urls(state.Port)}
	switch {
	case !state.Exists() || !state.Ours() || len(state.Nodes) == 0:
		s.State, s.URLs = "absent", nil
		return s, nil
	case !state.Running():
		s.State = "stopped"
		return s, nil
	}
	c, err := kube.New(o.Kubeconfig())
	if err != nil {
		return s, err
	}
	if s.Nodes, err = nodes(ctx, c); err != nil {
		return s, err
	}
	if s.Parts, err = parts(ctx, c); err != nil {
		return s, err
	}
	if s.Runs, err = pipelineRuns(ctx, c); err != nil {
		return s, err
	}
	s.Ready = len(s.Parts) > 0 && allReady(s.Nodes) && allReady(s.Parts)
	return s, nil
}

func nodes(ctx context.Context, c *kube.Client) ([]Condition, error) {
	list := &corev1.NodeList{}
	if err := c.List(ctx, list); err != nil {
		return nil, fmt.Errorf("list nodes: %w", err)
	}
	var out []Condition
	for _, n := range list.Items {
		cond := Condition{Name: n.Name, Message: n.Status.NodeInfo.KubeletVersion}
		for _, nc := range n.Status.Conditions {
			if nc.Type == corev1.NodeReady {
				cond.Ready = nc.Status == corev1.ConditionTrue
				if !cond.Ready {
					cond.Message = nc.Message
				}
			}
		}
		out = append(out, cond)
	}
	return out, nil
}

// parts are the foundation's Deployments and what Flux installs.
func parts(ctx context.Context, c *kube.Client) ([]Condition, error) {
	out, err := foundationParts(ctx, c)
	if err != nil {
		return nil, err
	}
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(kustomizev1.GroupVersion.WithKind("KustomizationList"))
	if err := c.List(ctx, list, client.InNamespace("flux-system")); err != nil {
		if meta.IsNoMatchError(err) {
			return out, nil // Flux isn't there yet
		}
		return nil, fmt.Errorf("list what flux installs: %w", err)
	}
	for _, k := range list.Items {
		out = append(out, fluxCondition(k))
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out, nil
}

func foundationParts(ctx context.Context, c *kube.Client) ([]Condition, error) {
	var out []Condition
	for _, part := range foundationCharts {
		d, err := c.Clientset.AppsV1().Deployments(part.namespace).Get(ctx, part.chart, metav1.GetOptions{})
		if err != nil {
			out = append(out, Condition{Name: part.chart, Message: err.Error()})
			continue
		}
		cond := Condition{Name: part.chart, Ready: d.Status.ReadyReplicas > 0 && d.Status.ReadyReplicas == d.Status.Replicas}
		if !cond.Ready {
			cond.Message = c.Explain(ctx, part.namespace)
		}
		out = append(out, cond)
	}
	return out, nil
}

func fluxCondition(k unstructured.Unstructured) Condition {
	cond := Condition{Name: k.GetName(), Message: "not reconciled yet"}
	conditions, _, _ := unstructured.NestedSlice(k.Object, "status", "conditions") // absent reads as empty
	for _, item := range conditions {
		fields, ok := item.(map[string]any)
		if !ok || fields["type"] != "Ready" {
			continue
		}
		cond.Ready = fields["status"] == "True"
		cond.Message = fmt.Sprint(fields["message"])
	}
	return cond
}

func allReady(conditions []Condition) bool {
	for _, c := range conditions {
		if !c.Ready {
			return false
		}
	}
	return true
}
