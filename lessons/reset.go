package lessons

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"

	"code.gitea.io/sdk/gitea"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/druppie/druppie-up/internal/names"
	"github.com/druppie/druppie-up/internal/ui"
	"github.com/druppie/druppie-up/scenarios"
	"github.com/druppie/druppie-up/scenarios/platform"
)

// prefix opens the name of everything that a lesson makes.
const prefix = "lesson-"

// unique is the name of a lesson; what it makes is named so, or so with a dash and more behind.
var unique = regexp.MustCompile(`^` + prefix + `[0-9a-z]{8,9}$`)

// ResetLimit is how long a reset of one lesson may take.
const ResetLimit = 30 * time.Second

// Reset takes away what a lesson made, its files, and the attendee's place in it. It may be stopped and run
// again: the place is forgotten last.
func (w *Walk) Reset(ctx context.Context, name string) error {
	p := w.state.Lessons[name]
	if p == nil {
		return nil
	}
	l, err := Find(name)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, ResetLimit, fmt.Errorf("not done within %s", ResetLimit))
	defer cancel()
	if err := w.sweep(ctx, func(made string) bool { return made == p.ID || strings.HasPrefix(made, p.ID+"-") }); err != nil {
		return err
	}
	if l.Reset != "" {
		if _, err := w.run(ctx, l, toReset.Plus(l.Title), "", scenarios.Excerpt{Script: l.Reset}); err != nil {
			return err
		}
	}
	if err := os.RemoveAll(w.Folder(name)); err != nil {
		return err
	}
	delete(w.state.Lessons, name)
	if w.state.Current == name {
		w.state.Current = ""
	}
	return w.state.write(w.file)
}

// ResetAll takes away what any lesson of anybody made on this platform, whether this attendee's state knows
// of it or not, and the whole state.
func (w *Walk) ResetAll(ctx context.Context) error {
	all, err := All()
	if err != nil {
		return err
	}
	made := regexp.MustCompile(strings.TrimSuffix(unique.String(), "$") + `(-.*)?$`)
	if err := w.sweep(ctx, made.MatchString); err != nil {
		return err
	}
	for _, l := range all {
		if l.Reset == "" {
			continue
		}
		w.state.Lessons[l.Name] = &Progress{ID: newID(), Began: time.Now().UTC(), Vars: map[string]string{}}
		if _, err := w.run(ctx, l, toReset.Plus(l.Title), "", scenarios.Excerpt{Script: l.Reset}); err != nil {
			return fmt.Errorf("lesson %s: %w", l.Name, err)
		}
	}
	return os.RemoveAll(w.opt.Dir)
}

// sweep removes what has a matching name, and returns when it is gone.
func (w *Walk) sweep(ctx context.Context, mine func(name string) bool) error {
	p, err := platform.Connect(ctx, platform.Options{Kubeconfig: w.opt.Scenario.Kubeconfig, Port: w.opt.Scenario.Port})
	if err != nil {
		return err
	}
	defer p.Close()
	if err := closePullRequests(ctx, p, mine); err != nil {
		return err
	}
	for {
		left, err := remove(ctx, p, mine)
		if err == nil && len(left) == 0 {
			return nil
		}
		if err != nil && ctx.Err() == nil {
			return err
		}
		select {
		case <-ctx.Done():
			err := fmt.Errorf("%w; still there: %s", context.Cause(ctx), strings.Join(left, ", "))
			return ui.WithHint(err, "it is being removed; run it again to see it gone")
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// remove deletes namespaces and pods, and names those that were still there.
func remove(ctx context.Context, p *platform.Platform, mine func(string) bool) ([]string, error) {
	var left []string
	now := metav1.DeleteOptions{GracePeriodSeconds: ptr.To(int64(0))}
	gone := func(err error) error {
		if apierrors.IsNotFound(err) {
			return nil
		}
		return err
	}
	pods, err := p.Kube.CoreV1().Pods("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list pods: %w", err)
	}
	var errs []error
	for _, pod := range pods.Items {
		if mine(pod.Name) || mine(pod.Namespace) {
			left = append(left, "pod "+pod.Namespace+"/"+pod.Name)
			errs = append(errs, gone(p.Kube.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, now)))
		}
	}
	namespaces, err := p.Kube.CoreV1().Namespaces().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list namespaces: %w", err)
	}
	for _, ns := range namespaces.Items {
		if mine(ns.Name) {
			left = append(left, "namespace "+ns.Name)
			if ns.DeletionTimestamp == nil {
				errs = append(errs, gone(p.Kube.CoreV1().Namespaces().Delete(ctx, ns.Name, metav1.DeleteOptions{})))
			}
		}
	}
	return left, errors.Join(errs...)
}

// closePullRequests closes those that are open, as their author. Their branches stay: Gitea keeps protected
// branches from being deleted, and these are.
func closePullRequests(ctx context.Context, p *platform.Platform, mine func(string) bool) error {
	client, err := p.Gitea(ctx, names.UserBuilder)
	if err != nil {
		return err
	}
	for page := 1; ; page++ {
		prs, _, err := client.ListRepoPullRequests(names.Organisation, names.RepoDroneService, gitea.ListPullRequestsOptions{
			State: gitea.StateOpen, ListOptions: gitea.ListOptions{Page: page, PageSize: 50},
		})
		if err != nil {
			return fmt.Errorf("list pull requests: %w", err)
		}
		for _, pr := range prs {
			if pr.Head == nil || !mine(pr.Head.Name) {
				continue
			}
			closed := gitea.StateClosed
			if _, _, err := client.EditPullRequest(names.Organisation, names.RepoDroneService, pr.Index, gitea.EditPullRequestOption{State: &closed}); err != nil {
				return fmt.Errorf("close pull request %d: %w", pr.Index, err)
			}
			page = 0 // what was closed leaves the list
		}
		if len(prs) < 50 {
			return nil
		}
	}
}
