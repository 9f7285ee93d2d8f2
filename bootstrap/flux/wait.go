package flux

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/druppie/druppie-up/bootstrap/kube"
	"github.com/druppie/druppie-up/internal/names"
	"github.com/druppie/druppie-up/internal/ui"
)

const (
	// failureTimeout is how long a part may fail with the same message. A part that
	// starts fails for a while too, if its webhook has no pod yet, say.
	failureTimeout = 3 * time.Minute
	// progressTimeout is how long it may take until one more part is ready.
	progressTimeout = 12 * time.Minute
)

// Cluster is what waiting for Flux wants of the Kubernetes client.
type Cluster interface {
	kube.Objects
	WaitReady(ctx context.Context, objs []*unstructured.Unstructured, opt kube.WaitOptions) error
}

// Wait waits until all that Flux installs from the platform repository is
// ready at a commit of it. Flux reconciles at once instead of at its next
// interval, and objects that were deleted are applied again. It ends early, with
// the failing part's own message, on what can't get better.
func Wait(ctx context.Context, c Cluster, revision string, task ui.Task) error {
	return waitAll(ctx, c, revision, task, time.Second)
}

func waitAll(ctx context.Context, c Cluster, revision string, task ui.Task, interval time.Duration) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	w := &waiter{
		Cluster: c, want: names.MainBranch + "@sha1:" + revision, task: task, stop: cancel,
		since: map[string]failure{}, watched: map[string]bool{}, requested: map[string]string{},
		why: map[string]string{}, interval: interval,
	}
	defer w.watchers.Wait()
	defer cancel(nil)
	return w.run(ctx)
}

type waiter struct {
	Cluster
	want     string // revision, as Flux writes it
	task     ui.Task
	stop     context.CancelCauseFunc
	interval time.Duration

	since     map[string]failure // by part, what it says and since when
	requested map[string]string  // by kind and name, the request it has to have handled
	restored  bool               // whether deleted objects were looked for

	watched  map[string]bool // parts whose workloads are looked at
	watchers sync.WaitGroup
	mu       sync.Mutex
	why      map[string]string // by part, why its workloads aren't ready
}

type failure struct {
	message string
	at      time.Time
}

func (w *waiter) run(ctx context.Context) error {
	best, moved := -1, time.Now()
	var last []string // what was waited for when the time was up
	for {
		ready, waiting, err := w.check(ctx)
		switch {
		case ctx.Err() != nil:
			return timeoutError(ctx, last)
		case err != nil:
			return err
		case len(waiting) == 0 && !w.restored:
			w.restored = true
			if err := w.restoreDeleted(ctx); err != nil {
				return err
			}
			continue
		case len(waiting) == 0:
			return nil
		}
		last = waiting
		if ready > best {
			best, moved = ready, time.Now()
		}
		if time.Since(moved) > progressTimeout {
			return ui.WithHint(fmt.Errorf("flux made no progress for %s; waits for %s", progressTimeout, strings.Join(waiting, "; ")), hint)
		}
		w.task.Progress(int64(ready), int64(ready+len(waiting)))
		w.task.Detail("%s", waiting[0])
		select {
		case <-ctx.Done():
			return timeoutError(ctx, waiting)
		case <-time.After(w.interval):
		}
	}
}

// timeoutError says why waiting ended: when the time is up, with what was waited for; a
// part that can't get better says all that there is to say.
func timeoutError(ctx context.Context, waiting []string) error {
	cause := context.Cause(ctx)
	if errors.Is(ctx.Err(), context.DeadlineExceeded) && len(waiting) > 0 {
		return fmt.Errorf("%w; waited for %s", cause, strings.Join(waiting, "; "))
	}
	return cause
}

const hint = "`druppie-up status` shows every part; run `druppie-up up` again when the cause is gone"

// check counts the parts that are ready and says of the others what they wait for.
func (w *waiter) check(ctx context.Context) (ready int, waiting []string, err error) {
	src := &sourcev1.GitRepository{}
	if err := w.Get(ctx, rootKey, src); err != nil {
		return 0, nil, fmt.Errorf("flux: %w", err)
	}
	if a := src.Status.Artifact; a == nil || a.Revision != w.want {
		if err := w.requestReconcile(ctx, src); err != nil {
			return 0, nil, err
		}
		cond := apimeta.FindStatusCondition(src.Status.Conditions, meta.ReadyCondition)
		return 0, []string{"flux to fetch the platform repository" + conditionMessage(cond)}, w.permanentFailure("the platform repository", cond)
	}
	all, err := kustomizations(ctx, w)
	if err != nil {
		return 0, nil, err
	}
	for i := range all {
		k := &all[i]
		if k.Spec.SourceRef.Name != root {
			continue // a tenant's: its failures are none of the platform
		}
		if w.ready(k) {
			ready++
			delete(w.since, k.Name)
			continue
		}
		cond := apimeta.FindStatusCondition(k.Status.Conditions, meta.ReadyCondition)
		if k.Status.LastAttemptedRevision == w.want {
			if err := w.permanentFailure(k.Name, cond); err != nil {
				return ready, nil, err
			}
		}
		if err := w.watchWorkloads(ctx, k, cond); err != nil {
			return ready, nil, err
		}
		waiting = append(waiting, w.describe(k.Name, cond))
	}
	return ready, sorted(waiting), nil
}

// sorted puts first what isn't merely waiting for another part.
func sorted(waiting []string) []string {
	slices.SortStableFunc(waiting, func(a, b string) int {
		waits := func(s string) int {
			if strings.Contains(s, "dependency") {
				return 1
			}
			return 0
		}
		return waits(a) - waits(b)
	})
	return waiting
}

func (w *waiter) ready(k *kustomizev1.Kustomization) bool {
	if r, ok := w.requested[requestKey(k)]; ok && k.Status.LastHandledReconcileAt != r {
		return false
	}
	return isReady(k, w.want)
}

func (w *waiter) describe(name string, cond *metav1.Condition) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if why := w.why[name]; why != "" {
		return name + ": " + why
	}
	return name + conditionMessage(cond)
}

func conditionMessage(cond *metav1.Condition) string {
	if cond == nil || cond.Message == "" || cond.Status == metav1.ConditionTrue {
		return ""
	}
	return ": " + cond.Message
}

// permanentFailure returns an error when a part's failure won't go away.
func (w *waiter) permanentFailure(name string, cond *metav1.Condition) error {
	if cond == nil || cond.Status != metav1.ConditionFalse {
		delete(w.since, name)
		return nil
	}
	fail := ui.WithHint(fmt.Errorf("flux: %s: %s", name, cond.Message), hint)
	switch cond.Reason {
	case meta.BuildFailedReason, meta.InvalidPathReason, meta.InvalidURLReason, meta.InvalidCELExpressionReason:
		return fail
	case meta.DependencyNotReadyReason, meta.ProgressingReason, meta.ArtifactFailedReason:
		return nil
	}
	r, ok := w.since[name]
	if !ok || r.message != cond.Message {
		w.since[name] = failure{cond.Message, time.Now()}
		return nil
	}
	if time.Since(r.at) > failureTimeout {
		return fail
	}
	return nil
}

// watchWorkloads looks, beside Flux, at what a part has applied: Flux only says
// that something isn't ready, and only much later; the pods say why.
func (w *waiter) watchWorkloads(ctx context.Context, k *kustomizev1.Kustomization, cond *metav1.Condition) error {
	if w.watched[k.Name] || k.Status.LastAttemptedRevision != w.want || cond == nil || k.Status.Inventory == nil ||
		cond.Status == metav1.ConditionTrue || cond.Reason == meta.DependencyNotReadyReason {
		return nil
	}
	objs, err := workloads(k)
	if err != nil || len(objs) == 0 {
		return err
	}
	w.watched[k.Name] = true
	w.watchers.Go(func() {
		err := w.WaitReady(ctx, objs, kube.WaitOptions{
			Timeout: progressTimeout,
			OnWait:  func(waiting []string) { w.explain(k.Name, strings.Join(waiting, "; ")) },
		})
		w.explain(k.Name, "")
		var notReady *kube.NotReadyError
		if errors.As(err, &notReady) && notReady.Early {
			w.stop(fmt.Errorf("%s: %w", k.Name, err))
		}
	})
	return nil
}

func (w *waiter) explain(name, why string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.why[name] = why
}

// requestReconcile asks Flux to reconcile an object now, once for each.
func (w *waiter) requestReconcile(ctx context.Context, o client.Object) error {
	key := requestKey(o)
	if w.requested[key] != "" {
		return nil
	}
	at := time.Now().Format(time.RFC3339Nano)
	patch := fmt.Sprintf(`{"metadata":{"annotations":{%q:%q}}}`, meta.ReconcileRequestAnnotation, at)
	if err := w.Patch(ctx, o, client.RawPatch("application/merge-patch+json", []byte(patch))); err != nil {
		return fmt.Errorf("flux: request reconciliation of %s: %w", o.GetName(), err)
	}
	w.requested[key] = at
	return nil
}

func requestKey(o client.Object) string { return fmt.Sprintf("%T/%s", o, o.GetName()) }
