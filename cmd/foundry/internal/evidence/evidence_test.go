package evidence_test

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

	"github.com/druppie/druppie-up/cmd/foundry/internal/evidence"
	"github.com/druppie/druppie-up/internal/tekton/tektontest"
)

const digest = "sha256:1111111111111111111111111111111111111111111111111111111111111111"

var question = evidence.Question{
	Namespace: "foundry", Run: "drone-service-x", Repository: "druppie/drone-service", Revision: strings.Repeat("a", 40),
}

// world is a run in which all went well, for tests to spoil.
type world struct {
	run   *v1.PipelineRun
	tasks map[string]*v1.TaskRun
}

func newWorld() *world {
	params := v1.Params{
		{Name: evidence.ParamRepository, Value: *v1.NewStructuredValues(question.Repository)},
		{Name: evidence.ParamRevision, Value: *v1.NewStructuredValues(question.Revision)},
	}
	w := &world{
		run: &v1.PipelineRun{
			ObjectMeta: metav1.ObjectMeta{Name: question.Run, Namespace: question.Namespace, UID: "run-uid"},
			Spec:       v1.PipelineRunSpec{PipelineRef: &v1.PipelineRef{Name: evidence.Pipeline}, Params: params},
		},
		tasks: map[string]*v1.TaskRun{},
	}
	for _, gate := range []string{"test", "check", "build", "push", "sign", "record"} {
		name := question.Run + "-" + gate
		task := &v1.TaskRun{
			ObjectMeta: metav1.ObjectMeta{
				Name: name, Namespace: question.Namespace,
				OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(w.run, v1.SchemeGroupVersion.WithKind("PipelineRun"))},
			},
			Spec: v1.TaskRunSpec{TaskRef: &v1.TaskRef{Name: gate}, Params: params},
		}
		task.Status.SetCondition(&apis.Condition{Type: apis.ConditionSucceeded, Status: corev1.ConditionTrue})
		if gate == "push" {
			task.Status.Results = []v1.TaskRunResult{{Name: "digest", Value: *v1.NewStructuredValues(digest)}}
		}
		w.tasks[gate] = task
		w.run.Status.ChildReferences = append(w.run.Status.ChildReferences, v1.ChildStatusReference{Name: name, PipelineTaskName: gate})
	}
	return w
}

func (w *world) client(t *testing.T) dynamic.Interface {
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

func TestAsk(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(w *world)
		want  string // empty: proven
	}{
		{"all well", func(*world) {}, ""},
		{"tests failed", func(w *world) { w.tasks["test"].Status.SetCondition(condition(corev1.ConditionFalse)) }, "test failed: because"},
		{"tests still running", func(w *world) { w.tasks["test"].Status.SetCondition(condition(corev1.ConditionUnknown)) }, "test hasn't finished"},
		{"sign never ran", func(w *world) { w.run.Status.ChildReferences = w.run.Status.ChildReferences[:4] }, "sign never ran"},
		{"nothing was recorded", func(w *world) { w.tasks["record"].Status.SetCondition(condition(corev1.ConditionFalse)) }, "record failed: because"},
		{"algorithm.yaml never checked", func(w *world) { w.tasks["check"].Spec.TaskRef.Name = "echo" }, "check (drone-service-x-check) ran another task"},
		{"push without a digest", func(w *world) { w.tasks["push"].Status.Results = nil }, "gave no digest"},
		{"another pipeline", func(w *world) { w.run.Spec.PipelineRef.Name = "mine" }, "isn't one of the pipeline"},
		{"an embedded pipeline", func(w *world) { w.run.Spec.PipelineRef = nil }, "isn't one of the pipeline"},
		{"a resolved pipeline", func(w *world) { w.run.Spec.PipelineRef.Resolver = "git" }, "isn't one of the pipeline"},
		{"another task", func(w *world) { w.tasks["test"].Spec.TaskRef.Name = "echo" }, "ran another task"},
		{"an embedded task", func(w *world) { w.tasks["test"].Spec.TaskRef = nil }, "ran another task"},
		{"a task of another run", func(w *world) { w.tasks["test"].OwnerReferences[0].UID = types.UID("other") }, "doesn't belong to run"},
		{"tests of another commit", func(w *world) {
			w.tasks["test"].Spec.Params = v1.Params{
				{Name: evidence.ParamRepository, Value: *v1.NewStructuredValues(question.Repository)},
				{Name: evidence.ParamRevision, Value: *v1.NewStructuredValues(strings.Repeat("b", 40))},
			}
		}, "test was about revision"},
		{"a run of another commit", func(w *world) {
			w.run.Spec.Params = v1.Params{
				{Name: evidence.ParamRepository, Value: *v1.NewStructuredValues(question.Repository)},
				{Name: evidence.ParamRevision, Value: *v1.NewStructuredValues(strings.Repeat("b", 40))},
			}
		}, "was about revision"},
		{"a run without parameters", func(w *world) { w.run.Spec.Params = nil }, "had no parameter repository"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel() // what isn't there yet is waited for
			w := newWorld()
			tt.spoil(w)
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			got, err := evidence.Ask(ctx, w.client(t), question)
			if tt.want != "" {
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("got %v, want %q", err, tt.want)
				}
				return
			}
			if err != nil || got.Digest != digest || strings.Join(got.Gates, " ") != "test check build push sign record" {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
	t.Run("no such run", func(t *testing.T) {
		q := question
		q.Run = "none"
		if _, err := evidence.Ask(context.Background(), newWorld().client(t), q); err == nil {
			t.Error("proven")
		}
	})
	t.Run("everything wrong is said at once", func(t *testing.T) {
		w := newWorld()
		w.tasks["test"].Status.SetCondition(condition(corev1.ConditionFalse))
		w.tasks["push"].Status.Results = nil
		_, err := evidence.Ask(context.Background(), w.client(t), question)
		if err == nil || !strings.Contains(err.Error(), "test failed") || !strings.Contains(err.Error(), "no digest") {
			t.Errorf("got %v", err)
		}
	})
}
