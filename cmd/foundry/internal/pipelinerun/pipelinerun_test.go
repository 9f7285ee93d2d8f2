package pipelinerun_test

import (
	"context"
	"strings"
	"testing"
	"time"

	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"knative.dev/pkg/apis"

	"github.com/druppie/druppie-up/cmd/foundry/internal/pipelinerun"
	"github.com/druppie/druppie-up/internal/tekton/tektontest"
)

const digest = "sha256:1111111111111111111111111111111111111111111111111111111111111111"

var expected = pipelinerun.Expected{
	Namespace: "foundry", Run: "drone-service-x", Repository: "druppie/drone-service", Revision: strings.Repeat("a", 40),
}

// fakeRun is a run in which all went well, for tests to mutate.
type fakeRun struct {
	run   *v1.PipelineRun
	tasks map[string]*v1.TaskRun
}

func newFakeRun() *fakeRun {
	params := v1.Params{
		{Name: pipelinerun.ParamRepository, Value: *v1.NewStructuredValues(expected.Repository)},
		{Name: pipelinerun.ParamRevision, Value: *v1.NewStructuredValues(expected.Revision)},
	}
	w := &fakeRun{
		run: &v1.PipelineRun{
			ObjectMeta: metav1.ObjectMeta{Name: expected.Run, Namespace: expected.Namespace, UID: "run-uid"},
			Spec:       v1.PipelineRunSpec{PipelineRef: &v1.PipelineRef{Name: pipelinerun.Pipeline}, Params: params},
		},
		tasks: map[string]*v1.TaskRun{},
	}
	for _, taskName := range []string{"test", "check", "build", "push", "sign", "record"} {
		name := expected.Run + "-" + taskName
		task := &v1.TaskRun{
			ObjectMeta: metav1.ObjectMeta{
				Name: name, Namespace: expected.Namespace,
				OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(w.run, v1.SchemeGroupVersion.WithKind("PipelineRun"))},
			},
			Spec: v1.TaskRunSpec{TaskRef: &v1.TaskRef{Name: taskName}, Params: params},
		}
		task.Status.SetCondition(&apis.Condition{Type: apis.ConditionSucceeded, Status: corev1.ConditionTrue})
		if taskName == "push" {
			task.Status.Results = []v1.TaskRunResult{{Name: "digest", Value: *v1.NewStructuredValues(digest)}}
		}
		w.tasks[taskName] = task
		w.run.Status.ChildReferences = append(w.run.Status.ChildReferences, v1.ChildStatusReference{Name: name, PipelineTaskName: taskName})
	}
	return w
}

func (w *fakeRun) client(t *testing.T) dynamic.Interface {
	t.Helper()
	objs := []runtime.Object{w.run}
	for _, task := range w.tasks {
		objs = append(objs, task)
	}
	return tektontest.Client(t, objs...)
}

func condition(status corev1.ConditionStatus) *apis.Condition {
	return &apis.Condition{Type: apis.ConditionSucceeded, Status: status, Message: "because"}
}

func TestVerify(t *testing.T) {
	tests := []struct {
		name   string
		mutate func(w *fakeRun)
		want   string // empty: proven
	}{
		{"all well", func(*fakeRun) {}, ""},
		{"tests failed", func(w *fakeRun) { w.tasks["test"].Status.SetCondition(condition(corev1.ConditionFalse)) }, "test failed: because"},
		{"tests still running", func(w *fakeRun) { w.tasks["test"].Status.SetCondition(condition(corev1.ConditionUnknown)) }, "test hasn't finished"},
		{"sign never ran", func(w *fakeRun) { w.run.Status.ChildReferences = w.run.Status.ChildReferences[:4] }, "sign never ran"},
		{"nothing was recorded", func(w *fakeRun) { w.tasks["record"].Status.SetCondition(condition(corev1.ConditionFalse)) }, "record failed: because"},
		{"algorithm.yaml never checked", func(w *fakeRun) { w.tasks["check"].Spec.TaskRef.Name = "echo" }, "check (drone-service-x-check) ran another task"},
		{"push without a digest", func(w *fakeRun) { w.tasks["push"].Status.Results = nil }, "gave no digest"},
		{"another pipeline", func(w *fakeRun) { w.run.Spec.PipelineRef.Name = "mine" }, "isn't one of the pipeline"},
		{"an embedded pipeline", func(w *fakeRun) { w.run.Spec.PipelineRef = nil }, "isn't one of the pipeline"},
		{"a resolved pipeline", func(w *fakeRun) { w.run.Spec.PipelineRef.Resolver = "git" }, "isn't one of the pipeline"},
		{"another task", func(w *fakeRun) { w.tasks["test"].Spec.TaskRef.Name = "echo" }, "ran another task"},
		{"an embedded task", func(w *fakeRun) { w.tasks["test"].Spec.TaskRef = nil }, "ran another task"},
		{"a task of another run", func(w *fakeRun) { w.tasks["test"].OwnerReferences[0].UID = types.UID("other") }, "doesn't belong to run"},
		{"tests of another commit", func(w *fakeRun) {
			w.tasks["test"].Spec.Params = v1.Params{
				{Name: pipelinerun.ParamRepository, Value: *v1.NewStructuredValues(expected.Repository)},
				{Name: pipelinerun.ParamRevision, Value: *v1.NewStructuredValues(strings.Repeat("b", 40))},
			}
		}, "test was about revision"},
		{"a run of another commit", func(w *fakeRun) {
			w.run.Spec.Params = v1.Params{
				{Name: pipelinerun.ParamRepository, Value: *v1.NewStructuredValues(expected.Repository)},
				{Name: pipelinerun.ParamRevision, Value: *v1.NewStructuredValues(strings.Repeat("b", 40))},
			}
		}, "was about revision"},
		{"a run without parameters", func(w *fakeRun) { w.run.Spec.Params = nil }, "had no parameter repository"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel() // what isn't there yet is waited for
			w := newFakeRun()
			tt.mutate(w)
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			got, err := pipelinerun.Verify(ctx, w.client(t), expected)
			if tt.want != "" {
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("got %v, want %q", err, tt.want)
				}
				return
			}
			if err != nil || got.Digest != digest || strings.Join(got.Tasks, " ") != "test check build push sign record" {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
	t.Run("no such run", func(t *testing.T) {
		q := expected
		q.Run = "none"
		if _, err := pipelinerun.Verify(context.Background(), newFakeRun().client(t), q); err == nil {
			t.Error("proven")
		}
	})
	t.Run("everything wrong is reported at once", func(t *testing.T) {
		w := newFakeRun()
		w.tasks["test"].Status.SetCondition(condition(corev1.ConditionFalse))
		w.tasks["push"].Status.Results = nil
		_, err := pipelinerun.Verify(context.Background(), w.client(t), expected)
		if err == nil || !strings.Contains(err.Error(), "test failed") || !strings.Contains(err.Error(), "no digest") {
			t.Errorf("got %v", err)
		}
	})
}
