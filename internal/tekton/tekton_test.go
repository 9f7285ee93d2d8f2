package tekton_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"knative.dev/pkg/apis"

	"github.com/druppie/druppie-up/internal/tekton"
	"github.com/druppie/druppie-up/internal/tekton/tektontest"
)

var noon = metav1.NewTime(time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC))

func pipelineRun() *v1.PipelineRun {
	end := metav1.NewTime(noon.Add(90 * time.Second))
	r := &v1.PipelineRun{
		ObjectMeta: metav1.ObjectMeta{Namespace: "foundry", Name: "run-1", Labels: map[string]string{"druppie.io/repository": "drone-service"}},
		Spec: v1.PipelineRunSpec{
			PipelineRef: &v1.PipelineRef{Name: "release", ResolverRef: v1.ResolverRef{Resolver: "git"}},
			Params: v1.Params{
				{Name: "revision", Value: *v1.NewStructuredValues("abc")},
				{Name: "many", Value: *v1.NewStructuredValues("a", "b")},
			},
		},
	}
	r.Status.StartTime, r.Status.CompletionTime = &noon, &end
	r.Status.Results = []v1.PipelineRunResult{{Name: "digest", Value: *v1.NewStructuredValues("sha256:1")}}
	r.Status.ChildReferences = []v1.ChildStatusReference{{Name: "run-1-test", PipelineTaskName: "test"}}
	r.Status.SkippedTasks = []v1.SkippedTask{{Name: "promote", Reason: "When Expressions evaluated to false"}}
	r.Status.SetCondition(&apis.Condition{Type: apis.ConditionSucceeded, Status: corev1.ConditionFalse, Reason: "Failed", Message: "test failed"})
	return r
}

func taskRun(name string, start *metav1.Time) *v1.TaskRun {
	r := &v1.TaskRun{
		ObjectMeta: metav1.ObjectMeta{Namespace: "foundry", Name: name, Labels: map[string]string{tekton.LabelPipelineRun: "run-1", tekton.LabelPipelineTask: name}},
		Spec:       v1.TaskRunSpec{TaskRef: &v1.TaskRef{Name: name}},
	}
	r.Status.StartTime = start
	return r
}

func TestGetReadsWhatTektonWrites(t *testing.T) {
	r, err := tekton.Get(t.Context(), tektontest.Client(t, pipelineRun()), tekton.PipelineRuns, "foundry", "run-1")
	if err != nil {
		t.Fatal(err)
	}
	condition := r.Succeeded()
	got := []any{
		r.Name, r.Labels["druppie.io/repository"], r.Spec.PipelineRef, r.Pipeline(), r.Param("revision"), r.Param("many"), r.Param("none"),
		r.Result("digest"), r.Took(), r.Done(), r.Is(metav1.ConditionFalse), condition.Reason, condition.Message,
		r.Status.ChildReferences[0].PipelineTaskName, r.Status.SkippedTasks[0].Name,
	}
	want := []any{
		"run-1", "drone-service", tekton.Reference{Name: "release", Resolver: "git"}, "release", "abc", "", "",
		"sha256:1", 90 * time.Second, true, true, "Failed", "test failed", "test", "promote",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if _, there := r.Spec.Params.Text("many"); !there {
		t.Error("a parameter that is a list isn't there")
	}
	if _, there := r.Spec.Params.Text("none"); there {
		t.Error("a parameter is there that isn't")
	}
}

func TestRunThatHasNotStarted(t *testing.T) {
	r, err := tekton.Get(t.Context(), tektontest.Client(t, taskRun("test", nil)), tekton.TaskRuns, "foundry", "test")
	if err != nil {
		t.Fatal(err)
	}
	if r.Done() || !r.Is(metav1.ConditionUnknown) || r.Succeeded() != nil || r.Took() != 0 || r.Spec.TaskRef.Name != "test" {
		t.Errorf("%+v", r)
	}
}

func TestTasksInTheirOrder(t *testing.T) {
	later := metav1.NewTime(noon.Add(time.Second))
	other := taskRun("other", &noon)
	other.Labels[tekton.LabelPipelineRun] = "run-2"
	tasks, err := tekton.Tasks(t.Context(), tektontest.Client(t, taskRun("a", nil), taskRun("b", &later), taskRun("c", &noon), other), "foundry", "run-1")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, task := range tasks {
		names = append(names, task.Name)
	}
	if diff := cmp.Diff([]string{"c", "b", "a"}, names); diff != "" {
		t.Error(diff)
	}
}
