package flux

import (
	"context"
	"fmt"
	"strings"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/druppie/druppie-up/bootstrap/kube"
	"github.com/druppie/druppie-up/internal/names"
)

// State is how one of Flux's objects stands.
type State struct {
	Name      string
	Ready     bool
	Suspended bool
	Message   string
	// Workloads are the objects with pods that it has applied, by kind and name.
	Workloads []*unstructured.Unstructured
}

const suspendedMessage = "suspended: Flux neither updates it nor puts back what was changed; `druppie-up up` resumes it"

// Inspect says how everything stands that Flux installs, and names any other
// object of Flux's that is suspended. It changes nothing; where Flux isn't
// installed it finds nothing.
func Inspect(ctx context.Context, c client.Reader) ([]State, error) {
	installed, err := kustomizations(ctx, c)
	if err != nil {
		return nil, err
	}
	revisions, err := sourceRevisions(ctx, c)
	if err != nil {
		return nil, err
	}
	var out []State
	for i := range installed {
		k := &installed[i]
		revision := revisions[k.Spec.SourceRef.Name]
		if k.Spec.SourceRef.Name == fleet {
			// A promotion that is just being applied takes nothing away from what runs.
			revision = k.Status.LastAppliedRevision
		}
		s := State{Name: k.Name, Ready: isReady(k, revision), Suspended: k.Spec.Suspend, Message: "not reconciled yet"}
		if s.Workloads, err = workloads(k); err != nil {
			return nil, err
		}
		cond := apimeta.FindStatusCondition(k.Status.Conditions, meta.ReadyCondition)
		switch {
		case s.Suspended:
			s.Message = suspendedMessage
		case s.Ready:
			s.Message = "Applied revision: " + k.Status.LastAppliedRevision
		case cond != nil:
			s.Message = cond.Message
		}
		out = append(out, s)
	}
	others, err := suspended(ctx, c)
	if err != nil {
		return nil, err
	}
	for _, o := range others {
		if o.GetKind() != kustomizev1.KustomizationKind {
			out = append(out, State{Name: strings.ToLower(o.GetKind()) + "/" + o.GetName(), Suspended: true, Message: suspendedMessage})
		}
	}
	return out, nil
}

// isReady says whether a Kustomization was applied and healthy at a revision and
// hasn't failed since. Flux reports Ready as unknown each time it compares the
// cluster with Git, and as false while it does so with a dependency: the outcome
// of the last attempt counts until there is another.
func isReady(k *kustomizev1.Kustomization, revision string) bool {
	if k.Spec.Suspend || k.Status.ObservedGeneration != k.Generation || k.Status.LastAppliedRevision != revision {
		return false
	}
	cond := apimeta.FindStatusCondition(k.Status.Conditions, meta.ReadyCondition)
	switch {
	case cond == nil:
		return false
	case cond.Reason == meta.ProgressingReason, cond.Reason == meta.DependencyNotReadyReason:
		h := k.Status.History
		return len(h) > 0 && h[0].LastReconciledStatus == meta.ReconciliationSucceededReason
	}
	return cond.Status == "True"
}

// Resume resumes all that is suspended of what the installer made of Flux, and
// names it. A stopped scenario or a repair by hand may have left it so, and Flux
// never resumes anything by itself.
func Resume(ctx context.Context, c kube.Objects) ([]string, error) {
	objs, err := suspended(ctx, c)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, o := range objs {
		patch := []byte(`{"spec":{"suspend":null}}`)
		if err := c.Patch(ctx, &o, client.RawPatch("application/merge-patch+json", patch)); err != nil {
			return names, fmt.Errorf("resume %s %s: %w", o.GetKind(), o.GetName(), err)
		}
		names = append(names, o.GetKind()+" "+o.GetName())
	}
	return names, nil
}

// suspendable are the kinds of Flux's that the platform is made of and that can
// be suspended.
func suspendable() []schema.GroupVersionKind {
	return []schema.GroupVersionKind{
		sourcev1.GroupVersion.WithKind(sourcev1.GitRepositoryKind),
		kustomizev1.GroupVersion.WithKind(kustomizev1.KustomizationKind),
		notificationv1.GroupVersion.WithKind(notificationv1.ReceiverKind),
		{Group: notificationv1.GroupVersion.Group, Version: "v1beta3", Kind: "Alert"},
	}
}

// suspended lists the platform's own objects of Flux's that are suspended.
func suspended(ctx context.Context, c client.Reader) ([]unstructured.Unstructured, error) {
	var out []unstructured.Unstructured
	for _, kind := range suspendable() {
		objs := &unstructured.UnstructuredList{}
		objs.SetGroupVersionKind(kind.GroupVersion().WithKind(kind.Kind + "List"))
		if err := list(ctx, c, kind.Kind, objs, client.MatchingLabels{"app.kubernetes.io/part-of": "druppie"}); err != nil {
			return nil, err
		}
		for _, o := range objs.Items {
			if yes, _, _ := unstructured.NestedBool(o.Object, "spec", "suspend"); yes { // absent is false
				out = append(out, o)
			}
		}
	}
	return out, nil
}

func kustomizations(ctx context.Context, c client.Reader) ([]kustomizev1.Kustomization, error) {
	found := &kustomizev1.KustomizationList{}
	err := list(ctx, c, kustomizev1.KustomizationKind, found)
	return found.Items, err
}

// sourceRevisions are the revisions that Flux has of its sources, by name.
func sourceRevisions(ctx context.Context, c client.Reader) (map[string]string, error) {
	found := &sourcev1.GitRepositoryList{}
	if err := list(ctx, c, sourcev1.GitRepositoryKind, found); err != nil {
		return nil, err
	}
	out := map[string]string{}
	for _, s := range found.Items {
		if s.Status.Artifact != nil {
			out[s.Name] = s.Status.Artifact.Revision
		}
	}
	return out, nil
}

// list lists Flux's objects of a kind; there are none of a kind that the cluster
// doesn't know.
func list(ctx context.Context, c client.Reader, kind string, found client.ObjectList, opts ...client.ListOption) error {
	err := c.List(ctx, found, append(opts, client.InNamespace(names.NamespaceFlux))...)
	if err != nil && !apimeta.IsNoMatchError(err) {
		return fmt.Errorf("flux: list %ss: %w", kind, err)
	}
	return nil
}
