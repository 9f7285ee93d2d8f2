// Package tekton reads runs of pipelines and of their tasks (tekton.dev/v1). It owns which of their fields are
// read, as plain data: Tekton's own types would bring all that checks and runs pipelines into programs that
// only read about them. It starts and judges no run.
package tekton

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
)

// What Tekton's API holds runs as.
var (
	PipelineRuns = schema.GroupVersionResource{Group: "tekton.dev", Version: "v1", Resource: "pipelineruns"}
	TaskRuns     = schema.GroupVersionResource{Group: "tekton.dev", Version: "v1", Resource: "taskruns"}
)

// Labels that Tekton puts on runs.
const (
	LabelPipeline     = "tekton.dev/pipeline"
	LabelPipelineRun  = "tekton.dev/pipelineRun"
	LabelPipelineTask = "tekton.dev/pipelineTask"
)

// Run is what is read of a PipelineRun or a TaskRun.
type Run struct {
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		PipelineRef Reference        `json:"pipelineRef"`
		TaskRef     Reference        `json:"taskRef"`
		Params      Values           `json:"params"`
		Timeout     *metav1.Duration `json:"timeout"` // of a TaskRun; nil: none is said
	} `json:"spec"`
	Status struct {
		StartTime      *metav1.Time       `json:"startTime"`
		CompletionTime *metav1.Time       `json:"completionTime"`
		Conditions     []metav1.Condition `json:"conditions"`
		Results        Values             `json:"results"`
		// Of a TaskRun: its pod, and its steps.
		PodName string `json:"podName"`
		Steps   []struct {
			// How its container ended, in the kubelet's words; nil: it hasn't.
			Terminated *struct {
				Reason string `json:"reason"`
			} `json:"terminated"`
		} `json:"steps"`
		// Of a PipelineRun: its TaskRuns, and the tasks that none was made for.
		ChildReferences []struct {
			Name             string `json:"name"`
			PipelineTaskName string `json:"pipelineTaskName"`
		} `json:"childReferences"`
		SkippedTasks []struct {
			Name   string `json:"name"`
			Reason string `json:"reason"`
		} `json:"skippedTasks"`
	} `json:"status"`
}

// Reference names the pipeline or task of a run; with a resolver it isn't one of the cluster's own.
type Reference struct {
	Name     string `json:"name"`
	Resolver string `json:"resolver"`
}

// Values are parameters or results.
type Values []struct {
	Name  string `json:"name"`
	Value any    `json:"value"` // a text, or else a list or an object
}

// Text is the value of that name, and whether there is one; of one that is no text it is empty.
func (v Values) Text(name string) (string, bool) {
	for _, value := range v {
		if value.Name == name {
			s, _ := value.Value.(string)
			return s, true
		}
	}
	return "", false
}

// Param is the text of a parameter, empty if there is none.
func (r *Run) Param(name string) string {
	s, _ := r.Spec.Params.Text(name)
	return s
}

// Result is the text of a result, empty if there is none.
func (r *Run) Result(name string) string {
	s, _ := r.Status.Results.Text(name)
	return s
}

// Pipeline is the name of the run's pipeline.
func (r *Run) Pipeline() string { return cmp.Or(r.Spec.PipelineRef.Name, r.Labels[LabelPipeline]) }

// Succeeded is the condition that says how it goes, or went; nil before Tekton has looked at it.
func (r *Run) Succeeded() *metav1.Condition {
	i := slices.IndexFunc(r.Status.Conditions, func(c metav1.Condition) bool { return c.Type == "Succeeded" })
	if i < 0 {
		return nil
	}
	return &r.Status.Conditions[i]
}

// Is says whether the run has come to that: metav1.ConditionTrue, it succeeded; ConditionFalse, it failed;
// ConditionUnknown, it isn't over yet.
func (r *Run) Is(status metav1.ConditionStatus) bool {
	c := r.Succeeded()
	if c == nil {
		return status == metav1.ConditionUnknown
	}
	return c.Status == status
}

// Done says whether the run is over.
func (r *Run) Done() bool { return !r.Is(metav1.ConditionUnknown) }

// Ended is when the run was over; the zero time while it isn't.
func (r *Run) Ended() time.Time {
	if r.Status.CompletionTime == nil {
		return time.Time{}
	}
	return r.Status.CompletionTime.Time
}

// Took is how long the run lasted; 0 while it isn't over.
func (r *Run) Took() time.Duration {
	if r.Status.StartTime.IsZero() || r.Status.CompletionTime.IsZero() {
		return 0
	}
	return r.Status.CompletionTime.Sub(r.Status.StartTime.Time)
}

// Read reads a run as a dynamic client has it.
func Read(o runtime.Object) (*Run, error) {
	u, ok := o.(*unstructured.Unstructured)
	if !ok {
		return nil, fmt.Errorf("read a run: it is a %T", o)
	}
	var r Run
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &r); err != nil {
		return nil, fmt.Errorf("read run %s: %w", u.GetName(), err)
	}
	return &r, nil
}

// Get reads one run; kind is PipelineRuns or TaskRuns.
func Get(ctx context.Context, client dynamic.Interface, kind schema.GroupVersionResource, namespace, name string) (*Run, error) {
	u, err := client.Resource(kind).Namespace(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	return Read(u)
}

// List reads the runs of a namespace that have these labels, in the order in which they started; those that
// haven't come last.
func List(ctx context.Context, client dynamic.Interface, kind schema.GroupVersionResource, namespace string, with map[string]string) ([]*Run, error) {
	list, err := client.Resource(kind).Namespace(namespace).List(ctx, metav1.ListOptions{LabelSelector: labels.SelectorFromSet(with).String()})
	if err != nil {
		return nil, err
	}
	runs := make([]*Run, len(list.Items))
	for i := range list.Items {
		if runs[i], err = Read(&list.Items[i]); err != nil {
			return nil, err
		}
	}
	begun := func(r *Run) int64 {
		if r.Status.StartTime.IsZero() {
			return math.MaxInt64
		}
		return r.Status.StartTime.UnixNano()
	}
	slices.SortStableFunc(runs, func(a, b *Run) int { return cmp.Compare(begun(a), begun(b)) })
	return runs, nil
}

// Tasks reads the TaskRuns of a PipelineRun, in the order in which they started.
func Tasks(ctx context.Context, client dynamic.Interface, namespace, pipelineRun string) ([]*Run, error) {
	return List(ctx, client, TaskRuns, namespace, map[string]string{LabelPipelineRun: pipelineRun})
}
