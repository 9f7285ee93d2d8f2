package conformance

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"github.com/druppie/druppie-up/internal/giteaclient"
	"github.com/druppie/druppie-up/internal/names"
	"github.com/druppie/druppie-up/internal/tekton"
	"github.com/druppie/druppie-up/scenarios/platform"
)

const (
	// journal is the Secret in which a mutation keeps what it changes, until that is undone: whoever is
	// killed in between leaves it behind.
	journal    = names.MutationJournal
	journalKey = "journal"
	// fieldManager is the name under which mutations change objects.
	fieldManager = "druppie-conformance"
	// reconcileTimeout is how long Flux may take to reconcile a part when a mutation is undone.
	reconcileTimeout = 5 * time.Minute
	// rolloutTimeout is how long it may take until what was put back runs.
	rolloutTimeout = 5 * time.Minute
	// runTimeout is how long a pipeline run may take that goes on when a mutation is undone.
	runTimeout = 15 * time.Minute
)

// Platform mutates a platform as somebody with an administrator's rights would: by the Kubernetes API, past
// Git, and by Gitea's.
type Platform struct {
	Kube    kubernetes.Interface
	Dynamic dynamic.Interface
	Mapper  apimeta.RESTMapper
	Gitea   func(ctx context.Context) (*giteaclient.Client, error) // as its administrator
}

// Connect opens a platform. The caller calls close when it has no more to ask.
func Connect(ctx context.Context, o platform.Options) (p Platform, close func() error, err error) {
	c, err := platform.Connect(ctx, o)
	if err != nil {
		return Platform{}, nil, err
	}
	admin := func(ctx context.Context) (*giteaclient.Client, error) { return c.Gitea(ctx, names.UserAdmin) }
	return Platform{Kube: c.Kube, Dynamic: c.Dynamic, Mapper: c.Mapper, Gitea: admin}, c.Close, nil
}

// target is what one change is about.
type target interface {
	// read gives its state; nil: it isn't there.
	read(ctx context.Context) (map[string]any, error)
	change(ctx context.Context) error
	// restore makes its state what it was.
	restore(ctx context.Context, was map[string]any) error
	// settings is the part of a state that somebody chose, as against what the server adds.
	settings(state map[string]any) map[string]any
}

func (p Platform) target(ctx context.Context, c Change) (target, error) {
	if c.Gitea == nil {
		return p.object(c)
	}
	client, err := p.Gitea(ctx)
	if err != nil {
		return nil, err
	}
	return giteaSettings{*c.Gitea, client}, nil
}

// entry is what the journal says of a mutation. Originals are in the order of its changes.
type entry struct {
	Mutation  Mutation         `json:"mutation"`
	Originals []map[string]any `json:"originals"`
}

// Mutate implements Cluster.
func (p Platform) Mutate(ctx context.Context, m Mutation) error {
	if applied, err := p.readJournal(ctx); err != nil || applied != nil {
		return cmp.Or(err, ErrApplied)
	}
	for _, part := range m.Parts {
		if err := p.refuseSuspended(ctx, part); err != nil {
			return err
		}
		// A comparison that has begun goes on when Flux is told to leave the part alone, and would put back what
		// is changed: right after one, the next is far.
		if err := p.reconcile(ctx, part); err != nil {
			return err
		}
	}
	e := entry{Mutation: m}
	var targets []target
	for _, c := range m.Change {
		t, err := p.target(ctx, c)
		if err != nil {
			return err
		}
		was, err := t.read(ctx)
		if err != nil {
			return err
		}
		if was == nil {
			return fmt.Errorf("%s isn't there", c)
		}
		targets, e.Originals = append(targets, t), append(e.Originals, was)
	}
	if err := p.writeJournal(ctx, e); err != nil {
		return err
	}
	for _, part := range m.Parts {
		if err := platform.Suspend(ctx, p.Dynamic, part, true, fieldManager); err != nil {
			return err
		}
	}
	for i, t := range targets {
		if err := t.change(ctx); err != nil {
			return fmt.Errorf("change %s: %w", m.Change[i], err)
		}
		now, err := t.read(ctx)
		if err != nil {
			return err
		}
		if same(t, e.Originals[i], now) {
			return fmt.Errorf("%s is as it was: the change changes nothing, so it is weak already", m.Change[i])
		}
	}
	return sleep(ctx, m.Settle.Duration)
}

// refuseSuspended is an error where Flux leaves a part alone already: undoing the mutation would take that back,
// and what somebody has changed meanwhile with it.
func (p Platform) refuseSuspended(ctx context.Context, part string) error {
	u, err := p.Dynamic.Resource(platform.Kustomizations).Namespace(names.NamespaceFlux).Get(ctx, part, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("kustomization %s: %w", part, err)
	}
	if suspended, _, _ := unstructured.NestedBool(u.Object, "spec", "suspend"); suspended {
		return fmt.Errorf("kustomization %s is suspended: what it installs may be weak already, and is left as it is", part)
	}
	return nil
}

// Applied implements Cluster.
func (p Platform) Applied(ctx context.Context) (string, error) {
	e, err := p.readJournal(ctx)
	if err != nil || e == nil {
		return "", err
	}
	return e.Mutation.Name, nil
}

// Undo implements Cluster.
func (p Platform) Undo(ctx context.Context) (string, error) {
	e, err := p.readJournal(ctx)
	if err != nil || e == nil {
		return "", err
	}
	for _, part := range e.Mutation.Parts {
		if err := errors.Join(platform.Suspend(ctx, p.Dynamic, part, false, fieldManager), p.reconcile(ctx, part)); err != nil {
			return e.Mutation.Name, err
		}
	}
	for i, c := range e.Mutation.Change {
		if err := p.restore(ctx, c, e.Originals[i]); err != nil {
			return e.Mutation.Name, err
		}
	}
	for _, c := range e.Mutation.Change {
		if err := p.rolledOut(ctx, c); err != nil {
			return e.Mutation.Name, err
		}
	}
	if err := sleep(ctx, e.Mutation.Settle.Duration); err != nil {
		return e.Mutation.Name, err
	}
	// Before the journal goes: what isn't at rest isn't undone, and another attempt waits for it again.
	if err := p.rest(ctx, e.Mutation.Settle.Duration); err != nil {
		return e.Mutation.Name, err
	}
	err = p.Kube.CoreV1().Secrets(names.NamespaceSystem).Delete(ctx, journal, metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return e.Mutation.Name, fmt.Errorf("delete secret %s: %w", journal, err)
	}
	return e.Mutation.Name, nil
}

// rest waits until no pipeline runs, and as long again as a mutation settles: where undoing one has begun a run,
// what that releases would look to the next scenario as if somebody else had changed the service.
func (p Platform) rest(ctx context.Context, settle time.Duration) error {
	busy := false
	err := poll(ctx, runTimeout, "all is as it was, but a pipeline run hasn't ended", func(ctx context.Context) (bool, error) {
		runs, err := tekton.List(ctx, p.Dynamic, tekton.PipelineRuns, names.NamespaceFoundry, nil)
		if err != nil {
			return false, fmt.Errorf("list pipeline runs: %w", err)
		}
		runs = slices.DeleteFunc(runs, (*tekton.Run).Done)
		busy = busy || len(runs) > 0
		return len(runs) == 0, nil
	})
	if err != nil || !busy {
		return err
	}
	return sleep(ctx, settle)
}

// rolledOut waits until what a change is about runs, or is applied, as it is asked to, where it is something that is.
func (p Platform) rolledOut(ctx context.Context, c Change) error {
	if !slices.Contains([]string{"Deployment", "StatefulSet", "DaemonSet", "Kustomization"}, c.Kind) {
		return nil
	}
	o, err := p.object(c)
	if err != nil {
		return err
	}
	return poll(ctx, rolloutTimeout, fmt.Sprintf("%s was put back, and doesn't run", c), func(ctx context.Context) (bool, error) {
		state, err := o.read(ctx)
		if err != nil || state == nil {
			return false, err
		}
		result, err := status.Compute(&unstructured.Unstructured{Object: state})
		return err == nil && result.Status == status.CurrentStatus, err
	})
}

// restore makes what a change changed as it was, and sees that it is. What Flux has put back already is left
// alone: written again, its fields would belong to mutations too.
func (p Platform) restore(ctx context.Context, c Change, was map[string]any) error {
	t, err := p.target(ctx, c)
	if err != nil {
		return err
	}
	now, err := t.read(ctx)
	if err != nil || same(t, was, now) {
		return err
	}
	if err := t.restore(ctx, was); err != nil {
		return fmt.Errorf("put %s back: %w", c, err)
	}
	if now, err = t.read(ctx); err == nil && !same(t, was, now) {
		err = fmt.Errorf("%s was put back and isn't what it was", c)
	}
	return err
}

// same says whether two states are what somebody chose, and not whether a server wrote them at one time. They
// are compared as JSON: what comes out of the journal has numbers of another type.
func same(t target, a, b map[string]any) bool {
	if a == nil || b == nil {
		return false
	}
	ja, errA := json.Marshal(t.settings(a))
	jb, errB := json.Marshal(t.settings(b))
	return errA == nil && errB == nil && bytes.Equal(ja, jb)
}

// reconcile has Flux compare a part with Git, and waits until it is ready.
func (p Platform) reconcile(ctx context.Context, part string) error {
	at, err := platform.RequestReconcile(ctx, p.Dynamic, platform.Kustomizations, part)
	if err != nil {
		return err
	}
	client := p.Dynamic.Resource(platform.Kustomizations).Namespace(names.NamespaceFlux)
	return poll(ctx, reconcileTimeout, "flux hasn't reconciled "+part, func(ctx context.Context) (bool, error) {
		u, err := client.Get(ctx, part, metav1.GetOptions{})
		if err != nil {
			return false, fmt.Errorf("kustomization %s: %w", part, err)
		}
		var k kustomizev1.Kustomization
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &k); err != nil {
			return false, fmt.Errorf("kustomization %s: %w", part, err)
		}
		return k.Status.GetLastHandledReconcileRequest() == at && apimeta.IsStatusConditionTrue(k.Status.Conditions, meta.ReadyCondition), nil
	})
}

// writeJournal keeps an entry; another one must not be there.
func (p Platform) writeJournal(ctx context.Context, e entry) error {
	data, err := json.Marshal(e)
	if err != nil {
		return err
	}
	about := map[string]string{names.AnnotationMutation: e.Mutation.Name}
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: journal, Annotations: about}, Data: map[string][]byte{journalKey: data}}
	_, err = p.Kube.CoreV1().Secrets(names.NamespaceSystem).Create(ctx, secret, metav1.CreateOptions{FieldManager: fieldManager})
	if apierrors.IsAlreadyExists(err) {
		return ErrApplied
	}
	if err != nil {
		return fmt.Errorf("keep what is changed: %w", err)
	}
	return nil
}

func (p Platform) readJournal(ctx context.Context) (*entry, error) {
	secret, err := p.Kube.CoreV1().Secrets(names.NamespaceSystem).Get(ctx, journal, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read secret %s: %w", journal, err)
	}
	e := &entry{}
	if err := json.Unmarshal(secret.Data[journalKey], e); err != nil || len(e.Originals) != len(e.Mutation.Change) || len(e.Originals) == 0 {
		return nil, fmt.Errorf("secret %s/%s doesn't say any more what mutation %q has changed: put back by hand what docs/controls.md "+
			"says of it, as Git has it, and then delete the Secret", names.NamespaceSystem, journal, secret.Annotations[names.AnnotationMutation])
	}
	return e, nil
}

// poll asks every second until the answer is yes; what is the error where it stays no. A question that fails is asked
// again: a connection that breaks says nothing of the platform.
func poll(ctx context.Context, timeout time.Duration, what string, ask func(ctx context.Context) (bool, error)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("%s within %s", what, timeout))
	defer cancel()
	for {
		yes, err := ask(ctx)
		if yes || apierrors.IsNotFound(err) || apierrors.IsForbidden(err) {
			return err
		}
		if ended := sleep(ctx, time.Second); ended != nil {
			return errors.Join(ended, err)
		}
	}
}

// sleep waits, unless the context ends before.
func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}
