package scenarios

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/druppie/druppie-up/internal/names"
	"github.com/druppie/druppie-up/scenarios/platform"
)

const (
	// How long the platform may take; a step that moves is far quicker.
	runTimeout   = 10 * time.Minute
	fluxTimeout  = 5 * time.Minute
	eventTimeout = 2 * time.Minute // from a merge to a run that begins
)

var (
	pipelineRuns    = schema.GroupVersionResource{Group: "tekton.dev", Version: "v1", Resource: "pipelineruns"}
	taskRuns        = schema.GroupVersionResource{Group: "tekton.dev", Version: "v1", Resource: "taskruns"}
	kustomizations  = schema.GroupVersionResource{Group: "kustomize.toolkit.fluxcd.io", Version: "v1", Resource: "kustomizations"}
	gitRepositories = schema.GroupVersionResource{Group: "source.toolkit.fluxcd.io", Version: "v1", Resource: "gitrepositories"}
)

func contextWithoutEnd(ctx context.Context) context.Context { return context.WithoutCancel(ctx) }

func runAwait(c *call) error {
	var pattern *regexp.Regexp
	if len(c.args) == 5 {
		var err error
		if pattern, err = regexp.Compile(c.args[4]); err != nil {
			return fmt.Errorf("%w: %w", errUsage, err)
		}
	}
	if c.args[0] == "trace" {
		return awaitTrace(c, pattern)
	}
	p, err := c.platform()
	if err != nil {
		return err
	}
	switch c.args[0] {
	case "run":
		return awaitRun(c, p)
	case "rollout":
		return awaitRollout(c, p)
	case "replicas":
		return awaitReplicas(c, p)
	}
	return awaitKustomization(c, p, pattern)
}

// awaitRun waits for the pipeline run of a commit to end as expected, and sets
// RUN and, from its results, DIGEST and IMAGE.
func awaitRun(c *call, p *platform.Platform) error {
	repo, commit, want := c.args[1], c.args[2], c.args[3]
	selector := names.LabelRepository + "=" + repo + "," + names.LabelCommit + "=" + commit
	begun := time.Now()
	var run *unstructured.Unstructured
	err := c.wait(runTimeout, func() (bool, string, error) {
		list, err := p.Dynamic.Resource(pipelineRuns).Namespace(names.NamespaceFoundry).
			List(c.ctx, metav1.ListOptions{LabelSelector: selector})
		if err != nil {
			return false, "", fmt.Errorf("list pipeline runs: %w", err)
		}
		if len(list.Items) == 0 {
			if time.Since(begun) > eventTimeout {
				return false, "", fmt.Errorf("no pipeline run began for commit %s within %s: the webhook's event is lost", commit, eventTimeout)
			}
			return false, "for the webhook to start a pipeline run", nil
		}
		run = &list.Items[0]
		status, why := succeeded(run)
		if status == "True" || status == "False" {
			return true, "", nil
		}
		return false, "pipeline run " + run.GetName() + ": " + why, nil
	})
	if err != nil {
		return err
	}
	c.ts.Setenv("RUN", run.GetName())
	tasks, err := runTaskList(c, p, run.GetName())
	if err != nil {
		return err
	}
	for _, t := range tasks {
		c.clock.part(t.name, t.took)
	}
	status, why := succeeded(run)
	if (status == "True") != (want == "succeeded") {
		return fmt.Errorf("pipeline run %s should have %s, but: %s", run.GetName(), want, why)
	}
	results, _, err := unstructured.NestedSlice(run.Object, "status", "results")
	if err != nil {
		return fmt.Errorf("results of pipeline run %s: %w", run.GetName(), err)
	}
	found := map[string]string{}
	for _, r := range results {
		if m, ok := r.(map[string]any); ok {
			found[fmt.Sprint(m["name"])] = strings.TrimSpace(fmt.Sprint(m["value"]))
		}
	}
	if want == "failed" {
		fmt.Fprintln(c.ts.Stdout(), why)
		return nil
	}
	if found["commit"] != commit {
		return fmt.Errorf("pipeline run %s says it built commit %q", run.GetName(), found["commit"])
	}
	if !strings.HasPrefix(found["digest"], "sha256:") {
		return fmt.Errorf("pipeline run %s has no digest among its results", run.GetName())
	}
	c.ts.Setenv("DIGEST", found["digest"])
	c.ts.Setenv("IMAGE", platform.Repository(repo)+"@"+found["digest"])
	return nil
}

// succeeded is the status and the message of a run's own condition.
func succeeded(o *unstructured.Unstructured) (status, message string) {
	return condition(o, "Succeeded")
}

func condition(o *unstructured.Unstructured, typ string) (status, message string) {
	conditions, _, err := unstructured.NestedSlice(o.Object, "status", "conditions")
	if err != nil {
		return "", ""
	}
	for _, c := range conditions {
		if m, ok := c.(map[string]any); ok && m["type"] == typ {
			status, _ = m["status"].(string)
			message, _ = m["message"].(string)
		}
	}
	return status, message
}

type taskState struct {
	name, outcome string
	begun         time.Time
	took          time.Duration
}

// runTaskList gives the tasks that a run started, in their order.
func runTaskList(c *call, p *platform.Platform, run string) ([]taskState, error) {
	list, err := p.Dynamic.Resource(taskRuns).Namespace(names.NamespaceFoundry).
		List(c.ctx, metav1.ListOptions{LabelSelector: "tekton.dev/pipelineRun=" + run})
	if err != nil {
		return nil, fmt.Errorf("list task runs: %w", err)
	}
	var out []taskState
	for i := range list.Items {
		tr := &list.Items[i]
		t := taskState{name: tr.GetLabels()["tekton.dev/pipelineTask"], outcome: "Running"}
		switch status, _ := succeeded(tr); status {
		case "True":
			t.outcome = "Succeeded"
		case "False":
			t.outcome = "Failed"
		}
		t.begun = timeAt(tr, "status", "startTime")
		if end := timeAt(tr, "status", "completionTime"); !end.IsZero() {
			t.took = end.Sub(t.begun)
		}
		out = append(out, t)
	}
	slices.SortStableFunc(out, func(a, b taskState) int { return a.begun.Compare(b.begun) })
	return out, nil
}

func timeAt(o *unstructured.Unstructured, fields ...string) time.Time {
	s, _, err := unstructured.NestedString(o.Object, fields...)
	if err != nil {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return time.Time{}
	}
	return t
}

// runTasks prints the tasks that a run started, a line each: name and outcome.
func runTasks(c *call) error {
	p, err := c.platform()
	if err != nil {
		return err
	}
	tasks, err := runTaskList(c, p, c.args[0])
	if err != nil {
		return err
	}
	if len(tasks) == 0 {
		return fmt.Errorf("run %s has no tasks: is it there?", c.args[0])
	}
	for _, t := range tasks {
		fmt.Fprintln(c.ts.Stdout(), t.name, t.outcome)
	}
	return nil
}

// awaitRollout waits until all pods of a deployment run a digest, and checks it
// against what the container runtime says it runs.
func awaitRollout(c *call, p *platform.Platform) error {
	namespace, name, digest := c.args[1], c.args[2], c.args[3]
	return c.wait(fluxTimeout, func() (bool, string, error) {
		s, err := rollout(c, p, namespace, name)
		switch {
		case apierrors.IsNotFound(err):
			return false, "for Flux to apply " + name, nil
		case err != nil:
			return false, "", err
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

// awaitKustomization waits until Flux has dealt with a revision: it is ready at
// it, or it reports a failure that the pattern fits.
func awaitKustomization(c *call, p *platform.Platform, pattern *regexp.Regexp) error {
	name, revision := c.args[1], c.args[2]
	seen := ""
	err := c.wait(fluxTimeout, func() (bool, string, error) {
		k, err := p.Dynamic.Resource(kustomizations).Namespace(names.NamespaceFlux).Get(c.ctx, name, metav1.GetOptions{})
		if err != nil {
			return false, "", fmt.Errorf("kustomization %s: %w", name, err)
		}
		field := "lastAppliedRevision"
		if pattern != nil {
			field = "lastAttemptedRevision"
		}
		at, _, err := unstructured.NestedString(k.Object, "status", field)
		if err != nil {
			return false, "", err
		}
		status, message := condition(k, "Ready")
		seen = message
		if !strings.HasSuffix(at, revision) {
			return false, fmt.Sprintf("for Flux to come to revision %s of %s; it is at %s: %s", revision, name, at, message), nil
		}
		if pattern == nil {
			return status == "True", "for " + name + " to be ready: " + message, nil
		}
		if status == "False" && pattern.MatchString(strings.Join(strings.Fields(message), " ")) {
			return true, "", nil
		}
		return false, fmt.Sprintf("for %s to report a failure: %s: %s", name, status, message), nil
	})
	if err != nil {
		return err
	}
	fmt.Fprintln(c.ts.Stdout(), seen)
	if seen == "" {
		return errors.New("Flux says nothing about it")
	}
	return nil
}
