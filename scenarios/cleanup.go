package scenarios

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/druppie/druppie-up/internal/names"
	"github.com/druppie/druppie-up/internal/tekton"
	"github.com/druppie/druppie-up/scenarios/platform"
)

// settleTimeout is how long a script's end waits for the pods of what it released.
const settleTimeout = 90 * time.Second

// settle has the script's end wait for what a commit on main sets going: its pipeline run, and the pods of what
// that releases. A script that fails halfway would else leave it to the next one, which sees a service change that
// it didn't touch. Of several commits only the last one's pods are waited for.
func (c *call) settle(p *platform.Platform, repo, commit string) {
	if c.lasting || c.ended || !names.IsService(repo) {
		return
	}
	c.latest = commit
	c.cleanup(fmt.Sprintf("what commit %s of %s sets going", commit, repo), func(after *call) error {
		if c.ctx.Err() != nil {
			return nil // whoever stopped it doesn't wait for it
		}
		return settled(after, p, repo, commit)
	})
	if c.refused {
		c.takeBack(p, repo, commit) // before that, so that its run and this one don't wait for each other
	}
}

// takeBack has the script's end take back what came onto main and mustn't stay, if that hasn't happened: nothing is
// released on top of what nobody approved.
func (c *call) takeBack(p *platform.Platform, repo, commit string) {
	c.cleanup(fmt.Sprintf("commit %s on main of %s", commit, repo), func(after *call) error {
		reverted, err := revert(after, p, repo, commit)
		if err != nil || reverted == "" || c.ctx.Err() != nil {
			return err
		}
		after.latest = reverted
		return settled(after, p, repo, reverted)
	})
}

// cleanup has something done when the script ends, whatever becomes of it. What can't be done is left behind, and
// said; with Options.Keep so is everything that a script has made which failed.
func (c *call) cleanup(what string, do func(after *call) error) {
	c.ts.Defer(func() {
		if c.opt.Keep && c.harness.hasFailed() {
			c.ts.Logf("kept: %s", what)
			return
		}
		after := *c
		after.ended = true
		// The script has ended, perhaps because its context did.
		after.ctx = context.WithoutCancel(c.ctx)
		if err := do(&after); err != nil {
			c.ts.Logf("left behind: %s: %v", what, err)
		}
	})
}

func settled(c *call, p *platform.Platform, repo, commit string) error {
	run, err := endOfRun(c, p, repo, commit)
	if err != nil || commit != c.latest || !run.Is(metav1.ConditionTrue) {
		return err
	}
	tenant := run.Param("tenant")
	return c.wait(settleTimeout, func() (bool, string, error) {
		s, err := rollout(c, p, tenant, repo)
		return s.running == run.Result("digest") && s.waiting == "", fmt.Sprintf("for the pods of %s in %s", repo, tenant), err
	})
}

// runsOf are the pipeline runs of a commit, in the order in which they began: more than one where one was cut off.
func runsOf(c *call, p *platform.Platform, repo, commit string) ([]*tekton.Run, error) {
	labels := map[string]string{names.LabelRepository: repo, names.LabelCommit: commit}
	runs, err := tekton.List(c.ctx, p.Dynamic, tekton.PipelineRuns, names.NamespaceFoundry, labels)
	if err != nil {
		return nil, fmt.Errorf("list pipeline runs: %w", err)
	}
	return runs, nil
}

// endOfRun waits for the last pipeline run of a commit to end.
func endOfRun(c *call, p *platform.Platform, repo, commit string) (*tekton.Run, error) {
	begun := time.Now()
	var run *tekton.Run
	err := c.wait(runTimeout, func() (bool, string, error) {
		runs, err := runsOf(c, p, repo, commit)
		if err != nil {
			return false, "", err
		}
		if len(runs) == 0 {
			if time.Since(begun) > eventTimeout {
				return false, "", fmt.Errorf("no pipeline run began for commit %s within %s: the webhook's event is lost", commit, eventTimeout)
			}
			return false, "for the webhook to start a pipeline run", nil
		}
		run = runs[len(runs)-1]
		return run.Done(), "pipeline run " + run.Name + ": " + message(run), nil
	})
	return run, err
}
