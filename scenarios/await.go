package scenarios

import (
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/druppie/druppie-up/internal/names"
	"github.com/druppie/druppie-up/internal/tekton"
	"github.com/druppie/druppie-up/scenarios/platform"
)

const (
	// How long the platform may take; a step that moves is far quicker.
	runTimeout   = 10 * time.Minute
	fluxTimeout  = 5 * time.Minute
	eventTimeout = 2 * time.Minute // from a merge to a run that begins
	// scheduleTimeout is how long a pod may be without a node: one that restarts is back by then.
	scheduleTimeout = 2 * time.Minute
)

func runAwait(c *call) error {
	switch c.args[0] {
	case "trace":
		return awaitTrace(c)
	case "dismissed":
		return awaitDismissed(c)
	}
	p, err := c.platform()
	if err != nil {
		return err
	}
	switch c.args[0] {
	case "run":
		if c.args[3] == "again" {
			return awaitAgain(c, p)
		}
		return awaitRun(c, p)
	case "task":
		return awaitTask(c, p)
	case "rollout":
		return awaitRollout(c, p)
	case "replicas":
		return awaitReplicas(c, p)
	case "denied":
		return awaitDenied(c, p)
	}
	return awaitRevision(c, p)
}

// awaitRun waits for the pipeline run of a commit to end as expected, and sets
// RUN and, from its results, DIGEST and IMAGE.
func awaitRun(c *call, p *platform.Platform) error {
	repo, commit, want := c.args[1], c.args[2], c.args[3]
	run, err := endOfRun(c, p, repo, commit)
	if err != nil {
		return err
	}
	c.ts.Setenv("RUN", run.Name)
	tasks, err := tekton.Tasks(c.ctx, p.Dynamic, names.NamespaceFoundry, run.Name)
	if err != nil {
		return fmt.Errorf("list task runs: %w", err)
	}
	for _, t := range tasks {
		c.clock.part(t.Labels[tekton.LabelPipelineTask], t.Took())
	}
	if run.Is(metav1.ConditionTrue) != (want == "succeeded") {
		return fmt.Errorf("pipeline run %s should have %s, but: %s", run.Name, want, message(run))
	}
	if want == "failed" {
		fmt.Fprintln(c.ts.Stdout(), message(run))
		return nil
	}
	if built := strings.TrimSpace(run.Result("commit")); built != commit {
		return fmt.Errorf("pipeline run %s says it built commit %q", run.Name, built)
	}
	digest := strings.TrimSpace(run.Result("digest"))
	if !strings.HasPrefix(digest, "sha256:") {
		return fmt.Errorf("pipeline run %s has no digest among its results", run.Name)
	}
	c.ts.Setenv("DIGEST", digest)
	c.ts.Setenv("IMAGE", platform.Repository(repo)+"@"+digest)
	return nil
}

// message is what Tekton says about how a run goes, or went.
func message(r *tekton.Run) string {
	if c := r.Succeeded(); c != nil {
		return c.Message
	}
	return ""
}

// outcome is how a task's run went, in a word.
func outcome(r *tekton.Run) string {
	switch {
	case r.Is(metav1.ConditionTrue):
		return "Succeeded"
	case r.Is(metav1.ConditionFalse):
		return "Failed"
	}
	return "Running"
}

// runTasks prints the tasks that a run started, a line each: name and outcome.
func runTasks(c *call, p *platform.Platform) error {
	tasks, err := tekton.Tasks(c.ctx, p.Dynamic, names.NamespaceFoundry, c.args[0])
	if err != nil {
		return fmt.Errorf("list task runs: %w", err)
	}
	if len(tasks) == 0 {
		return fmt.Errorf("run %s has no tasks: is it there?", c.args[0])
	}
	for _, t := range tasks {
		fmt.Fprintln(c.ts.Stdout(), t.Labels[tekton.LabelPipelineTask], outcome(t))
	}
	return nil
}

// awaitRollout waits until all pods of a deployment run a digest, and checks it
// against what the container runtime says it runs.
func awaitRollout(c *call, p *platform.Platform) error {
	namespace, name, digest := c.args[1], c.args[2], c.args[3]
	housed := time.Now() // when all pods were last seen to have a node
	return c.wait(fluxTimeout, func() (bool, string, error) {
		s, err := rollout(c, p, namespace, name)
		if !s.homeless {
			housed = time.Now()
		}
		switch {
		case apierrors.IsNotFound(err):
			return false, "for Flux to apply " + name, nil
		case err != nil:
			return false, "", err
		case time.Since(housed) > scheduleTimeout:
			return false, "", fmt.Errorf("not scheduled within %s: %s", scheduleTimeout, s.waiting)
		case !strings.HasSuffix(s.image, "@"+digest):
			return false, "for Flux to apply " + short(digest) + "; the deployment has " + s.image, nil
		case s.waiting != "":
			return false, s.waiting, nil
		case s.running != digest:
			return false, fmt.Sprintf("for the pods to run %s; they run %s", short(digest), short(s.running)), nil
		}
		return true, "", nil
	})
}

func short(digest string) string {
	_, hex, _ := strings.Cut(digest, ":")
	return hex[:min(12, len(hex))]
}

// awaitReplicas waits until a Deployment asks for so many replicas again.
func awaitReplicas(c *call, p *platform.Platform) error {
	namespace, name := c.args[1], c.args[2]
	return c.wait(fluxTimeout, func() (bool, string, error) {
		d, err := p.Kube.AppsV1().Deployments(namespace).Get(c.ctx, name, metav1.GetOptions{})
		if err != nil {
			return false, "", fmt.Errorf("look at %s: %w", name, err)
		}
		replicas := ptr.Deref(d.Spec.Replicas, 1)
		return int64(replicas) == c.number, fmt.Sprintf("for Flux to set the replicas of %s to %d; there are %d", name, c.number, replicas), nil
	})
}
