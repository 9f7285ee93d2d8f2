package collect

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/utils/lru"

	"github.com/druppie/druppie-up/tracedb"
)

var (
	kustomizationResource = schema.GroupVersionResource{Group: "kustomize.toolkit.fluxcd.io", Version: "v1", Resource: "kustomizations"}
	gitRepositoryResource = schema.GroupVersionResource{Group: "source.toolkit.fluxcd.io", Version: "v1", Resource: "gitrepositories"}
)

// Kustomizations watches the status of Flux's Kustomizations: what was applied, and what failed or was refused.
type Kustomizations struct {
	*recorder
	client    dynamic.Interface
	namespace string
	targets   map[string]fluxTarget // by namespace/name
	last      *lru.Cache            // the application that was recorded last, by idPrefix
}

// kustomization is what is read of a Kustomization.
type kustomization struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		TargetNamespace string `json:"targetNamespace"`
		SourceRef       struct {
			Kind string `json:"kind"`
			Name string `json:"name"`
		} `json:"sourceRef"`
	} `json:"spec"`
	Status struct {
		LastAppliedRevision   string             `json:"lastAppliedRevision"`
		LastAttemptedRevision string             `json:"lastAttemptedRevision"`
		Conditions            []metav1.Condition `json:"conditions"`
		History               []meta.Snapshot    `json:"history"`
	} `json:"status"`
}

// fluxTarget is what a Kustomization applies, and where.
type fluxTarget struct {
	source    string // repository's full name
	namespace string // that it is confined to
}

// NewKustomizations returns a collector of the Kustomizations in a namespace.
func NewKustomizations(client dynamic.Interface, namespace string, o Options) *Kustomizations {
	return &Kustomizations{
		recorder: newRecorder("flux", o, tracedb.KindDeployment, tracedb.KindAdmission),
		client:   client, namespace: namespace, targets: map[string]fluxTarget{}, last: lru.New(maxRecent),
	}
}

// Run watches until ctx ends.
func (k *Kustomizations) Run(ctx context.Context) error {
	f := &reflector[kustomization]{
		recorder: k.recorder, name: "kustomizations",
		of: k.client.Resource(kustomizationResource).Namespace(k.namespace),
		listed: func(context.Context, []*kustomization) error {
			clear(k.targets)
			return nil
		},
		handle: func(ctx context.Context, what watch.EventType, o *kustomization) error {
			if what == watch.Deleted {
				return nil
			}
			if err := k.findTarget(ctx, o); err != nil {
				return err
			}
			for _, r := range o.reconciliations() {
				drafts, err := k.drafts(ctx, r)
				if err != nil {
					return err
				}
				if err := k.put(ctx, drafts...); err != nil {
					return err
				}
			}
			return nil
		},
	}
	return f.run(ctx)
}

// reconciliations are what the status reports: which revision is applied, and how the last try at another failed.
func (o *kustomization) reconciliations() []reconciliation {
	base := reconciliation{kind: o.Kind, namespace: o.Namespace, name: o.Name, uid: string(o.UID)}
	var out []reconciliation
	if o.Status.LastAppliedRevision != "" {
		r := base
		r.revision, r.reason = o.Status.LastAppliedRevision, meta.ReconciliationSucceededReason
		r.at, r.until = o.applied(r.revision)
		out = append(out, r)
	}
	for _, c := range o.Status.Conditions {
		if c.Type != meta.ReadyCondition {
			continue
		}
		if c.Status == metav1.ConditionTrue && len(out) > 0 && out[0].at.IsZero() {
			out[0].at = c.LastTransitionTime.Time
		}
		// What waits for others hasn't failed; Flux doesn't report it as a failure either.
		if c.Status != metav1.ConditionFalse || c.Reason == meta.DependencyNotReadyReason || c.Reason == meta.ArtifactFailedReason ||
			o.Status.LastAttemptedRevision == "" {
			continue
		}
		r := base
		r.revision, r.reason, r.message, r.at, r.failed = o.Status.LastAttemptedRevision, c.Reason, c.Message, c.LastTransitionTime.Time, true
		out = append(out, r)
	}
	for i := range out {
		if out[i].until.Before(out[i].at) {
			out[i].until = out[i].at
		}
	}
	return out
}

// applied is when a revision was first and last applied as a whole, as far as the status remembers.
func (o *kustomization) applied(revision string) (first, last time.Time) {
	for _, s := range o.Status.History {
		if s.LastReconciledStatus != meta.ReconciliationSucceededReason || s.Metadata["revision"] != revision {
			continue
		}
		if t := s.FirstReconciled.Time; !t.IsZero() && (first.IsZero() || t.Before(first)) {
			first = t
		}
		if t := s.LastReconciled.Time; t.After(last) {
			last = t
		}
	}
	return first, last
}

// findTarget finds what a Kustomization applies, and where.
func (k *Kustomizations) findTarget(ctx context.Context, o *kustomization) error {
	key := o.Namespace + "/" + o.Name
	if _, known := k.targets[key]; known {
		return nil
	}
	target := fluxTarget{namespace: o.Spec.TargetNamespace}
	if o.Spec.SourceRef.Kind == "GitRepository" && o.Spec.SourceRef.Name != "" {
		source, err := k.client.Resource(gitRepositoryResource).Namespace(o.Namespace).Get(ctx, o.Spec.SourceRef.Name, metav1.GetOptions{})
		switch {
		case err == nil:
			address, _, _ := unstructured.NestedString(source.Object, "spec", "url")
			target.source = repositoryOf(address)
		case !apierrors.IsNotFound(err):
			return fmt.Errorf("source of %s: %w", key, err)
		}
	}
	k.targets[key] = target
	return nil
}

// repositoryOf is the full name in a clone URL: https://gitea.…/druppie/fleet.git.
func repositoryOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(strings.Trim(u.Path, "/"), ".git")
}
