package kube

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/druppie/druppie-up/internal/ui"
)

// WaitOptions bound a wait. Zero values stand for the defaults.
type WaitOptions struct {
	Timeout  time.Duration // of the wait; default 5 minutes
	Interval time.Duration // between two checks; default 1 second
	// BrokenFor is how long something may look broken before the wait fails early;
	// default 1 minute.
	BrokenFor time.Duration
	// OnWait is called after each check with what isn't ready and why; may be nil.
	OnWait func(waiting []string)
}

// NotReadyError says what a wait was waiting for when it ended.
type NotReadyError struct {
	// Early is true when the wait ended before its timeout, since it can't become ready.
	Early   bool
	Waited  time.Duration
	Waiting []Cause
}

func (e *NotReadyError) Error() string {
	why := fmt.Sprintf("not ready after %s", e.Waited.Round(time.Second))
	if e.Early {
		why = "can't become ready"
	}
	lines := make([]string, 0, len(e.Waiting))
	for i, c := range e.Waiting {
		if i == 5 {
			lines = append(lines, fmt.Sprintf("and %d more", len(e.Waiting)-i))
			break
		}
		lines = append(lines, c.String())
	}
	return why + ": " + strings.Join(lines, "; ")
}

// WaitReady waits until every object is there and ready, as kstatus counts it
// (a Job: complete). It fails before its deadline when a cause is found that
// doesn't go away by itself: an image that can't be had, a container that crashes
// again and again, a pod that no node takes, a job that failed.
func (c *Client) WaitReady(ctx context.Context, objs []*unstructured.Unstructured, opt WaitOptions) error {
	start := time.Now()
	w := watch{Client: c, since: map[string]time.Time{}, brokenFor: cmp.Or(opt.BrokenFor, time.Minute)}
	pending := objs
	var causes []Cause
	confirm := false
	for {
		var err error
		pending, causes, err = w.check(ctx, pending)
		switch {
		case err != nil && ctx.Err() != nil:
			return waitEnded(ctx, causes)
		case err != nil && !transient(err):
			return err
		case err == nil && len(pending) == 0 && !confirm:
			return nil
		case err == nil && len(pending) == 0:
			// A container without a readiness probe is ready for a moment
			// before it crashes: what wasn't ready at first is checked twice.
			pending, confirm = objs, false
		default:
			confirm = true
		}
		if final := slices.DeleteFunc(slices.Clone(causes), func(c Cause) bool { return !c.Final }); len(final) > 0 {
			return notReady(&NotReadyError{Early: true, Waited: time.Since(start), Waiting: final})
		}
		if time.Since(start) > cmp.Or(opt.Timeout, 5*time.Minute) {
			return notReady(&NotReadyError{Waited: time.Since(start), Waiting: causes})
		}
		if len(causes) > 0 && opt.OnWait != nil {
			opt.OnWait(sentences(causes))
		}
		select {
		case <-ctx.Done():
			return waitEnded(ctx, causes)
		case <-time.After(cmp.Or(opt.Interval, time.Second)):
		}
	}
}

// Check returns, of the objects that aren't ready now, why they aren't.
func (c *Client) Check(ctx context.Context, objs []*unstructured.Unstructured) ([]Cause, error) {
	w := watch{Client: c, since: map[string]time.Time{}, brokenFor: time.Minute}
	_, causes, err := w.check(ctx, objs)
	return causes, err
}

func waitEnded(ctx context.Context, causes []Cause) error {
	err := context.Cause(ctx)
	if s := sentences(causes); len(s) > 0 {
		return fmt.Errorf("%w while waiting for %s", err, strings.Join(s, "; "))
	}
	return err
}

func notReady(e *NotReadyError) error {
	for _, c := range e.Waiting {
		if c.Hint != "" {
			return ui.WithHint(e, c.Hint)
		}
	}
	return ui.WithHint(e, "run `druppie-up up` again: it goes on where it stopped; `druppie-up status` shows what is not ready")
}

// watch remembers, between checks, since when something has looked broken.
type watch struct {
	*Client
	since     map[string]time.Time
	brokenFor time.Duration
}

// check returns the objects that aren't ready and, for each, why.
func (w *watch) check(ctx context.Context, objs []*unstructured.Unstructured) (pending []*unstructured.Unstructured, causes []Cause, err error) {
	seen := map[string]bool{}
	for i, o := range objs {
		cause, ready, err := w.examine(ctx, o)
		if err != nil {
			// The rest counts as pending; the caller decides whether to go on.
			return append(pending, objs[i:]...), causes, err
		}
		if ready {
			continue
		}
		key := cause.Object + "\x00" + cause.Reason
		seen[key] = true
		if w.since[key].IsZero() {
			w.since[key] = time.Now()
		}
		if cause.Broken && time.Since(w.since[key]) >= w.brokenFor {
			cause.Final = true
		}
		pending = append(pending, o)
		causes = append(causes, cause)
	}
	for k := range w.since {
		if !seen[k] {
			delete(w.since, k)
		}
	}
	return pending, causes, nil
}

func (w *watch) examine(ctx context.Context, o *unstructured.Unstructured) (Cause, bool, error) {
	cause := Cause{Object: subject(o)}
	live := &unstructured.Unstructured{}
	live.SetGroupVersionKind(o.GroupVersionKind())
	err := w.Get(ctx, client.ObjectKeyFromObject(o), live)
	switch {
	case apierrors.IsNotFound(err), meta.IsNoMatchError(err):
		cause.Reason, cause.Message = "Missing", "isn't there yet"
		return cause, false, nil
	case err != nil:
		return cause, false, fmt.Errorf("look at %s: %w", cause.Object, err)
	}
	if o.GetKind() == "Job" {
		return w.examineJob(ctx, live, cause)
	}
	res, err := status.Compute(live)
	if err != nil {
		return cause, false, fmt.Errorf("status of %s: %w", cause.Object, err)
	}
	if res.Status == status.CurrentStatus {
		return cause, true, nil
	}
	cause.Reason, cause.Message = res.Status.String(), res.Message
	if res.Status == status.FailedStatus {
		cause.Broken = true
	}
	return w.causeOf(ctx, live, cause), false, nil
}

func (w *watch) examineJob(ctx context.Context, live *unstructured.Unstructured, cause Cause) (Cause, bool, error) {
	for _, cond := range conditions(live) {
		if cond.Status != corev1.ConditionTrue {
			continue
		}
		switch cond.Type {
		case "Complete", "SuccessCriteriaMet":
			return cause, true, nil
		case "Failed":
			cause.Reason, cause.Message, cause.Final = "JobFailed", "the job failed: "+cond.Message, true
			if line := w.lastLogOf(ctx, live); line != "" {
				cause.Message += "; last line: " + line
			}
			cause.Hint = fmt.Sprintf("see `kubectl -n %s logs job/%s`; delete the job and run `druppie-up up` to try again", live.GetNamespace(), live.GetName())
			return cause, false, nil
		}
	}
	cause.Reason, cause.Message = "JobRunning", "the job is running"
	return w.causeOf(ctx, live, cause), false, nil
}

func conditions(o *unstructured.Unstructured) []status.BasicCondition {
	with, err := status.GetObjectWithConditions(o.Object)
	if err != nil {
		return nil
	}
	return with.Status.Conditions
}

func sentences(causes []Cause) []string {
	out := make([]string, 0, len(causes))
	for _, c := range causes {
		out = append(out, c.String())
	}
	slices.Sort(out)
	return out
}

func subject(o *unstructured.Unstructured) string {
	if o.GetNamespace() == "" {
		return o.GetKind() + "/" + o.GetName()
	}
	return o.GetKind() + "/" + o.GetNamespace() + "/" + o.GetName()
}
