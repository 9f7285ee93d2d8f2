// Package evidence reads from Tekton what a run of the pipeline did. It owns
// the question whether the gates before a promotion really passed, for this
// commit and in this run; it only gets objects by name and never lists.
package evidence

import (
	"context"
	"errors"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/druppie/druppie-up/internal/tekton"
)

// Pipeline and the gates in it that must have passed, by the name that the
// pipeline's task has and its Task has too.
const (
	Pipeline     = "release"
	gateTest     = "test"
	gateCheck    = "check"
	gateBuild    = "build"
	gatePush     = "push"
	gateSign     = "sign"
	gateRecord   = "record"
	digestResult = "digest"

	// ParamRevision and ParamRepository are the pipeline's parameters that a
	// run is about.
	ParamRevision   = "revision"
	ParamRepository = "repository"
)

// InCluster connects with the ServiceAccount of the pod.
func InCluster() (dynamic.Interface, error) {
	cfg, err := rest.InClusterConfig()
	if err != nil {
		return nil, fmt.Errorf("ServiceAccount of this pod: %w", err)
	}
	cfg.UserAgent = "druppie-foundry"
	return dynamic.NewForConfig(cfg)
}

// Question is what is asked about a run.
type Question struct {
	Namespace, Run       string
	Repository, Revision string
}

// Answer is what a run has shown.
type Answer struct {
	Digest string // what the push step wrote to the registry
	Gates  []string
}

// Ask checks a run. All that is wrong is reported together.
func Ask(ctx context.Context, client dynamic.Interface, q Question) (Answer, error) {
	var (
		answer Answer
		err    error
	)
	// The controller writes a finished task into the run's status moments after
	// the next one may have started.
	for try := 0; try < 5; try++ {
		if answer, err = ask(ctx, client, q); err == nil || !errors.Is(err, errNotYet) {
			return answer, err
		}
		select {
		case <-ctx.Done():
			return Answer{}, ctx.Err()
		case <-time.After(time.Second):
		}
	}
	return answer, err
}

var errNotYet = errors.New("not in the run's status")

func ask(ctx context.Context, client dynamic.Interface, q Question) (Answer, error) {
	run, err := tekton.Get(ctx, client, tekton.PipelineRuns, q.Namespace, q.Run)
	if err != nil {
		return Answer{}, fmt.Errorf("read the pipeline run: %w", err)
	}
	var wrong []error
	if ref := run.Spec.PipelineRef; ref.Name != Pipeline || ref.Resolver != "" {
		wrong = append(wrong, fmt.Errorf("run %s isn't one of the pipeline %s", q.Run, Pipeline))
	}
	wrong = append(wrong,
		wantParam("run "+q.Run, run.Spec.Params, ParamRevision, q.Revision),
		wantParam("run "+q.Run, run.Spec.Params, ParamRepository, q.Repository))
	answer := Answer{}
	for _, gate := range []string{gateTest, gateCheck, gateBuild, gatePush, gateSign, gateRecord} {
		task, err := taskRun(ctx, client, run, gate)
		if err != nil {
			wrong = append(wrong, err)
			continue
		}
		wrong = append(wrong, checkGate(run, task, gate, q))
		if gate == gatePush {
			answer.Digest = task.Result(digestResult)
		}
		answer.Gates = append(answer.Gates, gate)
	}
	if answer.Digest == "" {
		wrong = append(wrong, fmt.Errorf("%s of run %s gave no digest", gatePush, q.Run))
	}
	if err := errors.Join(wrong...); err != nil {
		return Answer{}, err
	}
	return answer, nil
}

func taskRun(ctx context.Context, client dynamic.Interface, run *tekton.Run, gate string) (*tekton.Run, error) {
	for _, child := range run.Status.ChildReferences {
		if child.PipelineTaskName != gate {
			continue
		}
		task, err := tekton.Get(ctx, client, tekton.TaskRuns, run.Namespace, child.Name)
		if err != nil {
			return nil, fmt.Errorf("read the result of %s: %w", gate, err)
		}
		return task, nil
	}
	return nil, fmt.Errorf("%s never ran in %s: %w", gate, run.Name, errNotYet)
}

func checkGate(run, task *tekton.Run, gate string, q Question) error {
	var wrong []error
	if !metav1.IsControlledBy(task, run) {
		wrong = append(wrong, fmt.Errorf("%s (%s) doesn't belong to run %s", gate, task.Name, run.Name))
	}
	if ref := task.Spec.TaskRef; ref.Name != gate || ref.Resolver != "" {
		wrong = append(wrong, fmt.Errorf("%s (%s) ran another task", gate, task.Name))
	}
	switch {
	case task.Is(metav1.ConditionTrue):
	case task.Is(metav1.ConditionFalse):
		wrong = append(wrong, fmt.Errorf("%s failed: %s", gate, task.Succeeded().Message))
	default:
		wrong = append(wrong, fmt.Errorf("%s hasn't finished: %w", gate, errNotYet))
	}
	if gate != gatePush {
		wrong = append(wrong,
			wantParam(gate, task.Spec.Params, ParamRevision, q.Revision),
			wantParam(gate, task.Spec.Params, ParamRepository, q.Repository))
	}
	return errors.Join(wrong...)
}

func wantParam(who string, params tekton.Values, name, want string) error {
	got, there := params.Text(name)
	switch {
	case !there:
		return fmt.Errorf("%s had no parameter %s", who, name)
	case got != want:
		return fmt.Errorf("%s was about %s %q, not %q", who, name, got, want)
	}
	return nil
}
