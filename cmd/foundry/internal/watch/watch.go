// Package watch sends the event of a push again that was lost (Gitea doesn't
// deliver a webhook twice; step F2) or whose run was cut off, as by a node that
// restarts, and prunes old runs. It owns no way of its own to start a run: it
// sends the same signed event to the same listener, so every check still applies.
// It refuses to try again what failed by itself: a test that fails has failed.
package watch

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"

	"github.com/druppie/druppie-up/cmd/foundry/internal/listen"
	"github.com/druppie/druppie-up/internal/giteaclient"
	"github.com/druppie/druppie-up/internal/names"
	"github.com/druppie/druppie-up/internal/tekton"
)

// Watch is the repository that is watched and what that takes.
type Watch struct {
	Gitea      *giteaclient.Client
	Tekton     dynamic.Interface
	Namespace  string
	Repository string // full name, owner/name

	Listener string                 // where Gitea's webhook goes
	Secret   func() (string, error) // what its events are signed with now
	HTTP     *http.Client

	// Grace is how long a commit may stand without a run before its event
	// counts as lost.
	Grace time.Duration
	// Attempts is how many runs of a commit may be cut off before that is its end.
	Attempts int
	// Keep is how many finished runs are kept.
	Keep int

	// The commit that has no run which counts, and since when.
	missing      string
	missingSince time.Time
}

// Reconcile does what is to be done now, and returns a line about each thing that it did. Mostly that is nothing.
func (w *Watch) Reconcile(ctx context.Context, now time.Time) (did []string, err error) {
	owner, name, _ := strings.Cut(w.Repository, "/")
	runs, err := tekton.List(ctx, w.Tekton, tekton.PipelineRuns, w.Namespace, map[string]string{names.LabelRepository: name})
	if err != nil {
		return nil, fmt.Errorf("list the runs of %s: %w", w.Repository, err)
	}
	branch, _, err := w.Gitea.GetRepoBranch(owner, name, names.MainBranch)
	if err != nil {
		return nil, fmt.Errorf("main of %s: %w", w.Repository, err)
	}
	if branch.Commit == nil {
		return nil, fmt.Errorf("main of %s has no commit", w.Repository)
	}
	head := branch.Commit.ID
	ofHead := slices.DeleteFunc(slices.Clone(runs), func(r *tekton.Run) bool { return r.Labels[names.LabelCommit] != head })
	cut, err := w.cutOff(ctx, ofHead)
	if err != nil {
		return nil, err
	}
	if w.lost(head, len(ofHead) > cut || cut > 0 && cut >= w.Attempts, now) {
		ok, err := w.buildable(head)
		if err != nil {
			return nil, err
		}
		if ok {
			if err := w.send(ctx, head); err != nil {
				return nil, err
			}
			why := "no run was started"
			if cut > 0 {
				why = fmt.Sprintf("a run was cut off (%d so far, of at most %d)", cut, w.Attempts)
			}
			did = append(did, fmt.Sprintf("%s for %s of %s: its event was sent again", why, head, w.Repository))
		}
	}
	pruned, err := w.prune(ctx, runs, head)
	return append(did, pruned...), err
}

// cutOff counts the runs that ended without saying anything about their commit.
func (w *Watch) cutOff(ctx context.Context, runs []*tekton.Run) (n int, err error) {
	for _, r := range runs {
		if !r.Is(metav1.ConditionFalse) {
			continue
		}
		tasks, err := tekton.Tasks(ctx, w.Tekton, w.Namespace, r.Name)
		if err != nil {
			return 0, fmt.Errorf("list the tasks of run %s: %w", r.Name, err)
		}
		failed := slices.DeleteFunc(tasks, func(t *tekton.Run) bool { return !t.Is(metav1.ConditionFalse) })
		if len(failed) == 0 {
			continue
		}
		// What failed by itself before the others were cut off is the commit's fault, and would fail again.
		first := slices.MinFunc(failed, func(a, b *tekton.Run) int { return a.Ended().Compare(b.Ended()) })
		if wasCutOff(first) {
			n++
		}
	}
	return n, nil
}

// wasCutOff says whether a task failed without its own doing, by how its steps ended.
func wasCutOff(task *tekton.Run) bool {
	begun := false
	for _, step := range task.Status.Steps {
		t := step.Terminated
		if t == nil {
			continue
		}
		begun = true
		// In the words of the container runtime and of the kubelet: it was there, and isn't any more.
		if t.Reason == "Unknown" || t.Reason == "ContainerStatusUnknown" {
			return true
		}
	}
	if !begun { // before any code of the change ran
		return true
	}
	// What hangs is ended when its time is up; later only where nobody was there to do it.
	c, limit := task.Succeeded(), task.Spec.Timeout
	return c.Reason == "TaskRunTimeout" && limit != nil && task.Took() > limit.Duration+time.Minute
}

// lost says whether a commit has been without a run that counts for too long. After that
// the time counts anew, so that an event isn't sent each time.
func (w *Watch) lost(commit string, built bool, now time.Time) bool {
	if built {
		w.missing = ""
		return false
	}
	known := w.missing == commit
	if known && now.Sub(w.missingSince) < w.Grace {
		return false
	}
	w.missing, w.missingSince = commit, now
	return known
}

// buildable says whether there is anything to build: a repository's first
// commit has no Dockerfile, and no event of it was lost.
func (w *Watch) buildable(commit string) (bool, error) {
	owner, name, _ := strings.Cut(w.Repository, "/")
	_, resp, err := w.Gitea.GetContents(owner, name, commit, "Dockerfile")
	if giteaclient.Status(resp) == http.StatusNotFound {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for a Dockerfile in %s: %w", w.Repository, err)
	}
	return true, nil
}

// send delivers the event of a push to main, as Gitea would have.
func (w *Watch) send(ctx context.Context, commit string) error {
	_, name, _ := strings.Cut(w.Repository, "/")
	body, err := json.Marshal(map[string]any{
		"ref": "refs/heads/" + names.MainBranch, "after": commit,
		"repository": map[string]any{"full_name": w.Repository, "name": name},
	})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.Listener, bytes.NewReader(body))
	if err != nil {
		return err
	}
	secret, err := w.Secret()
	if err != nil {
		return err
	}
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set(listen.HeaderEvent, "push")
	req.Header.Set(listen.HeaderSignature, hex.EncodeToString(mac.Sum(nil)))
	resp, err := w.HTTP.Do(req)
	if err != nil {
		return fmt.Errorf("send the event of %s: %w", commit, err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20)) // so that the connection can be used again
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("send the event of %s: the listener answered %s", commit, resp.Status)
	}
	return nil
}

// prune deletes the oldest finished runs beyond Keep, with their pods and
// volumes. The run of the commit that main stands at stays: without it the
// commit would count as lost.
func (w *Watch) prune(ctx context.Context, runs []*tekton.Run, head string) (did []string, err error) {
	finished := slices.DeleteFunc(slices.Clone(runs), func(r *tekton.Run) bool {
		return !r.Done() || r.Status.CompletionTime == nil || r.Labels[names.LabelCommit] == head
	})
	if len(finished) <= w.Keep {
		return nil, nil
	}
	slices.SortFunc(finished, func(a, b *tekton.Run) int {
		return b.Status.CompletionTime.Compare(a.Status.CompletionTime.Time)
	})
	var errs []error
	for _, r := range finished[w.Keep:] {
		err := w.Tekton.Resource(tekton.PipelineRuns).Namespace(w.Namespace).Delete(ctx, r.Name, metav1.DeleteOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			errs = append(errs, fmt.Errorf("delete run %s: %w", r.Name, err))
			continue
		}
		did = append(did, "deleted run "+r.Name)
	}
	return did, errors.Join(errs...)
}
