// Package evidence reads from Tekton what a run of the pipeline did. It owns
// the question whether the gates before a promotion really passed, for this
// commit and in this run; it only gets objects by name and never lists.
package evidence

import (
	"context"
	"errors"
	"fmt"
	"time"

	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	"github.com/tektoncd/pipeline/pkg/client/clientset/versioned"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"knative.dev/pkg/apis"
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
func InCluster() (versioned.Interface, error) {
	cfg, err := rest.InClusterConfig()
	if err != nil {
		return nil, fmt.Errorf("ServiceAccount of this pod: %w", err)
	}
	cfg.UserAgent = "druppie-foundry"
	return versioned.NewForConfig(cfg)
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
func Ask(ctx context.Context, client versioned.Interface, q Question) (Answer, error) {
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

func ask(ctx context.Context, client versioned.Interface, q Question) (Answer, error) {
	run, err := client.TektonV1().PipelineRuns(q.Namespace).Get(ctx, q.Run, metav1.GetOptions{})
	if err != nil {
		return Answer{}, fmt.Errorf("read the pipeline run: %w", err)
	}
	var wrong []error
	if ref := run.Spec.PipelineRef; ref == nil || ref.Name != Pipeline || ref.Resolver != "" {
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
			answer.Digest = resultOf(task, digestResult)
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

func taskRun(ctx context.Context, client versioned.Interface, run *v1.PipelineRun, gate string) (*v1.TaskRun, error) {
	for _, child := range run.Status.ChildReferences {
		if child.PipelineTaskName != gate {
			continue
		}
		task, err := client.TektonV1().TaskRuns(run.Namespace).Get(ctx, child.Name, metav1.GetOptions{})
		if err != nil {
			return nil, fmt.Errorf("read the result of %s: %w", gate, err)
		}
		return task, nil
	}
	return nil, fmt.Errorf("%s never ran in %s: %w", gate, run.Name, errNotYet)
}

func checkGate(run *v1.PipelineRun, task *v1.TaskRun, gate string, q Question) error {
	var wrong []error
	if !metav1.IsControlledBy(task, run) {
		wrong = append(wrong, fmt.Errorf("%s (%s) doesn't belong to run %s", gate, task.Name, run.Name))
	}
	if ref := task.Spec.TaskRef; ref == nil || ref.Name != gate || ref.Resolver != "" {
		wrong = append(wrong, fmt.Errorf("%s (%s) ran another task", gate, task.Name))
	}
	switch c := task.Status.GetCondition(apis.ConditionSucceeded); {
	case c == nil || c.IsUnknown():
		wrong = append(wrong, fmt.Errorf("%s hasn't finished: %w", gate, errNotYet))
	case c.IsFalse():
		wrong = append(wrong, fmt.Errorf("%s failed: %s", gate, c.Message))
	}
	if gate != gatePush {
		wrong = append(wrong,
			wantParam(gate, task.Spec.Params, ParamRevision, q.Revision),
			wantParam(gate, task.Spec.Params, ParamRepository, q.Repository))
	}
	return errors.Join(wrong...)
}

func wantParam(who string, params v1.Params, name, want string) error {
	for _, p := range params {
		if p.Name == name {
			if got := p.Value.StringVal; got != want {
				return fmt.Errorf("%s was about %s %q, not %q", who, name, got, want)
			}
			return nil
		}
	}
	return fmt.Errorf("%s had no parameter %s", who, name)
}

func resultOf(task *v1.TaskRun, name string) string {
	for _, r := range task.Status.Results {
		if r.Name == name {
			return r.Value.StringVal
		}
	}
	return ""
}
