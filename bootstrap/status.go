package bootstrap

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/druppie/druppie-up/bootstrap/cluster"
	"github.com/druppie/druppie-up/bootstrap/flux"
	"github.com/druppie/druppie-up/bootstrap/kube"
	"github.com/druppie/druppie-up/bootstrap/part"
	"github.com/druppie/druppie-up/bootstrap/tenant"
	"github.com/druppie/druppie-up/internal/names"
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
	Name      string `json:"name"`
	Ready     bool   `json:"ready"`
	Suspended bool   `json:"suspended,omitempty"` // Flux doesn't reconcile it; then it isn't ready
	Message   string `json:"message,omitempty"`
}

// GetStatus looks and changes nothing.
func GetStatus(ctx context.Context, o Options) (Status, error) {
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
	weakened, err := mutation(ctx, c)
	if err != nil {
		return s, err
	}
	if weakened != "" {
		s.Parts = append(s.Parts, Condition{Name: "conformance", Message: weakened})
	}
	if s.Runs, err = pipelineRuns(ctx, c); err != nil {
		return s, err
	}
	s.Ready = len(s.Parts) > 0 && allReady(s.Nodes) && allReady(s.Parts)
	return s, nil
}

// mutation says that a mutation of the conformance suite weakens a control now, and what to do; empty: none does.
func mutation(ctx context.Context, c client.Reader) (string, error) {
	journal := &corev1.Secret{}
	err := c.Get(ctx, client.ObjectKey{Namespace: names.NamespaceSystem, Name: names.MutationJournal}, journal)
	if apierrors.IsNotFound(err) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read secret %s: %w", names.MutationJournal, err)
	}
	return fmt.Sprintf("mutation %s weakens a control: if no `druppie-up conformance --mutate` runs any more, "+
		"`druppie-up conformance --undo` puts it back", journal.Annotations[names.AnnotationMutation]), nil
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

// parts are the foundation's Deployments, what Flux installs, and of the rest of
// the platform what isn't ready.
func parts(ctx context.Context, c *kube.Client) ([]Condition, error) {
	out, err := foundationConditions(ctx, c)
	if err != nil {
		return nil, err
	}
	installed, err := flux.Inspect(ctx, c)
	if err != nil {
		return nil, err
	}
	workloads, err := platformWorkloads(ctx, c)
	if err != nil {
		return nil, err
	}
	there := map[string]bool{}
	for _, o := range workloads {
		there[workloadName(o)] = true
	}
	for _, s := range installed {
		cond := Condition{Name: s.Name, Ready: s.Ready, Suspended: s.Suspended, Message: s.Message}
		for _, o := range s.Workloads {
			if isListed := o.GetKind() == "Deployment" || o.GetKind() == "StatefulSet"; isListed && part.IsNamespace(o.GetNamespace()) && !there[workloadName(o)] {
				cond.fail(workloadName(o) + ": is gone")
			}
		}
		out = append(out, cond)
	}
	for _, name := range flux.Controllers() {
		o := "Deployment/" + names.NamespaceFlux + "/" + name
		if len(installed) > 0 && !there[o] {
			out = append(out, Condition{Name: names.NamespaceFlux + "/" + name, Message: o + ": is gone"})
		}
	}
	for _, o := range workloads {
		if out, err = withWorkload(ctx, c, out, o); err != nil {
			return nil, err
		}
	}
	if out, err = withTenants(ctx, c, out); err != nil {
		return nil, err
	}
	slices.SortStableFunc(out, func(a, b Condition) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// withTenants says of a tenant that it isn't ready if nothing starts the pipeline of a service that it has: somebody
// ended `onboard` before it was through.
func withTenants(ctx context.Context, c client.Reader, parts []Condition) ([]Condition, error) {
	list, err := tenant.List(ctx, c)
	if apierrors.IsNotFound(err) {
		return parts, nil
	}
	if err != nil {
		return append(parts, Condition{Name: part.Tenants, Message: err.Error()}), nil
	}
	all := &corev1.ConfigMapList{}
	if err := c.List(ctx, all, client.InNamespace(names.NamespaceFoundry)); err != nil {
		return nil, fmt.Errorf("read what starts pipelines: %w", err)
	}
	triggers := ""
	for _, m := range all.Items {
		if strings.HasPrefix(m.Name, names.Triggers) {
			triggers += strings.Join(slices.Sorted(maps.Values(m.Data)), "\n")
		}
	}
	for _, t := range list {
		for _, s := range t.Services {
			if strings.Contains(triggers, fmt.Sprintf("%q:%q", names.Organisation+"/"+s, t.Name)) {
				continue
			}
			why := fmt.Sprintf("nothing builds service %s yet: `druppie-up onboard %s` goes on where it was stopped", s, t.Name)
			i := slices.IndexFunc(parts, func(p Condition) bool { return p.Name == t.Account() })
			if i < 0 {
				i = len(parts)
				parts = append(parts, Condition{Name: t.Account()})
			}
			parts[i].fail(why)
		}
	}
	return parts, nil
}

// withWorkload says of a part that it isn't ready if a workload of it isn't:
// Flux looks seldom at what it found ready once. A workload of no part is one.
func withWorkload(ctx context.Context, c *kube.Client, parts []Condition, o *unstructured.Unstructured) ([]Condition, error) {
	why := ""
	if replicas, set, _ := unstructured.NestedInt64(o.Object, "spec", "replicas"); set && replicas == 0 {
		why = workloadName(o) + ": scaled to nothing"
	} else {
		causes, err := c.Check(ctx, []*unstructured.Unstructured{o})
		if err != nil || len(causes) == 0 {
			return parts, err
		}
		why = causes[0].String()
	}
	name, ok := o.GetLabels()[kustomizev1.GroupVersion.Group+"/name"]
	if !ok {
		name = o.GetName()
	}
	i := slices.IndexFunc(parts, func(p Condition) bool { return p.Name == name })
	if i < 0 {
		return append(parts, Condition{Name: o.GetNamespace() + "/" + name, Message: why}), nil
	}
	parts[i].fail(why)
	return parts, nil
}

// fail makes a part not ready. Where it isn't already, with a cause, that is why; that
// Flux is suspended explains no pod that is missing, so both are told.
func (c *Condition) fail(why string) {
	switch {
	case c.Ready || c.Message == "":
		c.Message = why
	case c.Suspended:
		c.Message = why + "; " + c.Message
	}
	c.Ready = false
}

func workloadName(o *unstructured.Unstructured) string {
	return o.GetKind() + "/" + o.GetNamespace() + "/" + o.GetName()
}

func foundationConditions(ctx context.Context, c *kube.Client) ([]Condition, error) {
	var out []Condition
	for _, p := range foundationParts() {
		d, err := c.Clientset.AppsV1().Deployments(p.Namespace).Get(ctx, p.Name, metav1.GetOptions{})
		if err != nil {
			out = append(out, Condition{Name: p.Name, Message: err.Error()})
			continue
		}
		cond := Condition{Name: p.Name, Ready: d.Status.ReadyReplicas > 0 && d.Status.ReadyReplicas == d.Status.Replicas}
		if !cond.Ready {
			cond.Message = c.Explain(ctx, p.Namespace)
		}
		out = append(out, cond)
	}
	return out, nil
}

func allReady(conditions []Condition) bool {
	return !slices.ContainsFunc(conditions, func(c Condition) bool { return !c.Ready })
}
