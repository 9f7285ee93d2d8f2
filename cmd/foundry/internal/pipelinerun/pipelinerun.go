// Package pipelinerun reads from Tekton what a run of the pipeline did. It owns
// the answer to whether the tasks before a promotion really passed, for this
// commit and in this run; it only gets objects by name and never lists.
package pipelinerun

import (
	"context"
	"errors"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/druppie/druppie-up/internal/tekton"
)

const (
	// Pipeline is the one that a run must be of.
	Pipeline = "release"
	taskPush = "push"

	// ParamRevision and ParamRepository are the pipeline's parameters that a
	// run is about.
	ParamRevision   = "revision"
	ParamRepository = "repository"
)

// required are the tasks that must have passed, by the name that the pipeline's task has and its Task has too.
var required = []string{"test", "check", "build", taskPush, "sign", "record"}

// InCluster connects with the ServiceAccount of the pod.
func InCluster() (dynamic.Interface, error) {
	cfg, err := rest.InClusterConfig()
	if err != nil {
		return nil, fmt.Errorf("ServiceAccount of this pod: %w", err)
	}
	cfg.UserAgent = "druppie-foundry"
	return dynamic.NewForConfig(cfg)
}

// Expected is a run, and what it must be about.
type Expected struct {
	Namespace, Run       string
	Repository, Revision string
}

// Result is what a run has shown.
type Result struct {
	Digest string // what the push step wrote to the registry
	Tasks  []string
}

// Verify checks that a run passed. All that is wrong is reported together.
func Verify(ctx context.Context, client dynamic.Interface, want Expected) (result Result, err error) {
	// The controller writes a finished task into the run's status moments after
	// the next one may have started.
	backoff := wait.Backoff{Duration: time.Second, Steps: 5}
	waitErr := wait.ExponentialBackoffWithContext(ctx, backoff, func(ctx context.Context) (bool, error) {
		result, err = verify(ctx, client, want)
		return !errors.Is(err, errNotYet), nil
	})
	if waitErr != nil && ctx.Err() != nil {
		return Result{}, ctx.Err()
	}
	return result, err
}

var errNotYet = errors.New("not in the run's status")

func verify(ctx context.Context, client dynamic.Interface, want Expected) (Result, error) {
	run, err := tekton.Get(ctx, client, tekton.PipelineRuns, want.Namespace, want.Run)
	if err != nil {
		return Result{}, fmt.Errorf("read the pipeline run: %w", err)
	}
	errs := []error{checkParams("run "+want.Run, run, want)}
	if ref := run.Spec.PipelineRef; ref.Name != Pipeline || ref.Resolver != "" {
		errs = append(errs, fmt.Errorf("run %s isn't one of the pipeline %s", want.Run, Pipeline))
	}
	result := Result{Tasks: required}
	for _, name := range required {
		task, err := taskRun(ctx, client, run, name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		errs = append(errs, checkTask(run, task, name))
		if name == taskPush {
			result.Digest = task.Result("digest")
		} else {
			errs = append(errs, checkParams(name, task, want))
		}
	}
	if result.Digest == "" {
		errs = append(errs, fmt.Errorf("%s of run %s gave no digest", taskPush, want.Run))
	}
	if err := errors.Join(errs...); err != nil {
		return Result{}, err
	}
	return result, nil
}

func taskRun(ctx context.Context, client dynamic.Interface, run *tekton.Run, name string) (*tekton.Run, error) {
	for _, child := range run.Status.ChildReferences {
		if child.PipelineTaskName != name {
			continue
		}
		task, err := tekton.Get(ctx, client, tekton.TaskRuns, run.Namespace, child.Name)
		if err != nil {
			return nil, fmt.Errorf("read the result of %s: %w", name, err)
		}
		return task, nil
	}
	return nil, fmt.Errorf("%s never ran in %s: %w", name, run.Name, errNotYet)
}

func checkTask(run, task *tekton.Run, name string) error {
	var errs []error
	if !metav1.IsControlledBy(task, run) {
		errs = append(errs, fmt.Errorf("%s (%s) doesn't belong to run %s", name, task.Name, run.Name))
	}
	if ref := task.Spec.TaskRef; ref.Name != name || ref.Resolver != "" {
		errs = append(errs, fmt.Errorf("%s (%s) ran another task", name, task.Name))
	}
	switch {
	case task.Is(metav1.ConditionTrue):
	case task.Is(metav1.ConditionFalse):
		errs = append(errs, fmt.Errorf("%s failed: %s", name, task.Succeeded().Message))
	default:
		errs = append(errs, fmt.Errorf("%s hasn't finished: %w", name, errNotYet))
	}
	return errors.Join(errs...)
}

// checkParams checks that a run, of the pipeline or of a task, is about the repository and the commit.
func checkParams(name string, run *tekton.Run, want Expected) error {
	check := func(param, want string) error {
		got, ok := run.Spec.Params.Text(param)
		switch {
		case !ok:
			return fmt.Errorf("%s had no parameter %s", name, param)
		case got != want:
			return fmt.Errorf("%s was about %s %q, not %q", name, param, got, want)
		}
		return nil
	}
	return errors.Join(check(ParamRevision, want.Revision), check(ParamRepository, want.Repository))
}
