package kube

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"strings"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/druppie/druppie-up/internal/ui"
)

// WaitOptions bound a wait. The zero value waits five minutes.
type WaitOptions struct {
	// Timeout ends the wait; 0 is five minutes.
	Timeout time.Duration
	// Interval lies between two looks; 0 is one second.
	Interval time.Duration
	// Patience is how long something that looks broken may take to mend
	// itself before the wait fails early; 0 is one minute.
	Patience time.Duration
	// OnWait is told, at each look, what is waited for and why it isn't there.
	OnWait func(waiting []string)
}

func (o WaitOptions) withDefaults() WaitOptions {
	if o.Timeout == 0 {
		o.Timeout = 5 * time.Minute
	}
	if o.Interval == 0 {
		o.Interval = time.Second
	}
	if o.Patience == 0 {
		o.Patience = time.Minute
	}
	if o.OnWait == nil {
		o.OnWait = func([]string) {}
	}
	return o
}

// NotReadyError says what a wait was waiting for when it ended.
type NotReadyError struct {
	// Early is true when waiting longer would have been in vain.
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
// doesn't mend itself: an image that can't be had, a container that crashes
// again and again, a pod that no node takes, a job that failed.
func (c *Client) WaitReady(ctx context.Context, objs []*unstructured.Unstructured, opt WaitOptions) error {
	opt = opt.withDefaults()
	start := time.Now()
	w := watch{Client: c, since: map[string]time.Time{}, patience: opt.Patience}
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
			// before it crashes: what wasn't ready at first is looked at twice.
			pending, confirm = objs, false
		default:
			confirm = true
		}
		if final := finals(causes); len(final) > 0 {
			return notReady(&NotReadyError{Early: true, Waited: time.Since(start), Waiting: final})
		}
		if time.Since(start) > opt.Timeout {
			return notReady(&NotReadyError{Waited: time.Since(start), Waiting: causes})
		}
		if len(causes) > 0 {
			opt.OnWait(sentences(causes))
		}
		select {
		case <-ctx.Done():
			return waitEnded(ctx, causes)
		case <-time.After(opt.Interval):
		}
	}
}

// Check returns, of the objects that aren't ready now, why they aren't.
func (c *Client) Check(ctx context.Context, objs []*unstructured.Unstructured) ([]Cause, error) {
	w := watch{Client: c, since: map[string]time.Time{}, patience: time.Minute}
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
	since    map[string]time.Time
	patience time.Duration
}

// check returns the objects that aren't ready and, for each, why.
func (w *watch) check(ctx context.Context, objs []*unstructured.Unstructured) (pending []*unstructured.Unstructured, causes []Cause, err error) {
	seen := map[string]bool{}
	for i, o := range objs {
		cause, ready, err := w.examine(ctx, o)
		if err != nil {
			// What is left stays waited for; the caller says if it goes on.
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
		if cause.Broken && time.Since(w.since[key]) >= w.patience {
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
	if pods, ok := w.causeOf(ctx, live); ok {
		pods.Object = cause.Object
		cause = pods
	}
	return cause, false, nil
}

func (w *watch) examineJob(ctx context.Context, live *unstructured.Unstructured, cause Cause) (Cause, bool, error) {
	for _, cond := range conditions(live) {
		if cond["status"] != "True" {
			continue
		}
		switch cond["type"] {
		case "Complete", "SuccessCriteriaMet":
			return cause, true, nil
		case "Failed":
			cause.Reason, cause.Message, cause.Final = "JobFailed", "the job failed: "+cond["message"], true
			if line := w.lastLogOf(ctx, live); line != "" {
				cause.Message += "; last line: " + line
			}
			cause.Hint = fmt.Sprintf("see `kubectl -n %s logs job/%s`; delete the job and run `druppie-up up` to try again", live.GetNamespace(), live.GetName())
			return cause, false, nil
		}
	}
	cause.Reason, cause.Message = "JobRunning", "the job is running"
	if pods, ok := w.causeOf(ctx, live); ok {
		pods.Object = cause.Object
		cause = pods
	}
	return cause, false, nil
}

func conditions(o *unstructured.Unstructured) []map[string]string {
	list, _, _ := unstructured.NestedSlice(o.Object, "status", "conditions")
	var out []map[string]string
	for _, item := range list {
		m, ok := item.(map[string]any)
		if !ok {
			continue
		}
		cond := map[string]string{}
		for k, v := range m {
			if s, ok := v.(string); ok {
				cond[k] = s
			}
		}
		out = append(out, cond)
	}
	return out
}

func finals(causes []Cause) []Cause {
	var out []Cause
	for _, c := range causes {
		if c.Final {
			out = append(out, c)
		}
	}
	return out
}

func sentences(causes []Cause) []string {
	out := make([]string, 0, len(causes))
	for _, c := range causes {
		out = append(out, c.String())
	}
	sort.Strings(out)
	return out
}

func subject(o *unstructured.Unstructured) string {
	if o.GetNamespace() == "" {
		return o.GetKind() + "/" + o.GetName()
	}
	return o.GetKind() + "/" + o.GetNamespace() + "/" + o.GetName()
}

// IsNotReady reports whether err is a wait that ended without success.
func IsNotReady(err error) bool {
	var e *NotReadyError
	return errors.As(err, &e)
}
