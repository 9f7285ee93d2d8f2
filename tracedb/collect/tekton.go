package collect

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"

	"github.com/druppie/druppie-up/tracedb"
)

var (
	pipelineRunResource = schema.GroupVersionResource{Group: "tekton.dev", Version: "v1", Resource: "pipelineruns"}
	taskRunResource     = schema.GroupVersionResource{Group: "tekton.dev", Version: "v1", Resource: "taskruns"}
)

// Tekton watches the runs of pipelines and records each when it is done. When it starts it records
// every done run that is still in the cluster: what ended while the service was down isn't lost, as
// long as the pipelines' watch, which keeps the newest finished runs of each repository (20 unless
// told otherwise), hasn't cleared it away. Its exported fields are set before its first use.
type Tekton struct {
	Client    dynamic.Interface
	Namespace string   // foundry
	Pipelines []string // nil: release
	Sink      Sink
	Log       tracedb.Reader // may be nil
	Logger    *slog.Logger

	health health
	start  sync.Once
	rec    *recorder
	relist time.Duration
}

func (t *Tekton) ready() {
	t.start.Do(func() {
		t.rec = newRecorder("tekton", t.Sink, t.Log, t.Logger, &t.health, tracedb.KindRun)
		if t.Pipelines == nil {
			t.Pipelines = []string{"release"}
		}
	})
}

// Status is how it goes.
func (t *Tekton) Status() Status { return t.health.read("tekton") }

// Run watches until ctx ends.
func (t *Tekton) Run(ctx context.Context) error {
	t.ready()
	f := &reflector{
		name: "pipelineruns", of: t.Client.Resource(pipelineRunResource).Namespace(t.Namespace),
		health: &t.health, rec: t.rec, relist: t.relist,
		all: func(ctx context.Context, objects []runtime.Object) error {
			// In the order in which they ended.
			slices.SortStableFunc(objects, func(a, b runtime.Object) int { return ended(a).Compare(ended(b)) })
			for _, o := range objects {
				if err := t.one(ctx, watch.Added, o); err != nil {
					return err
				}
			}
			return nil
		},
		one: t.one,
	}
	return f.run(ctx)
}

// ended is when a run ended; zero if it hasn't. Sorting asks often, so no more than that is read.
func ended(o runtime.Object) time.Time {
	u, ok := o.(*unstructured.Unstructured)
	if !ok {
		return time.Time{}
	}
	at, _, _ := unstructured.NestedString(u.Object, "status", "completionTime")
	t, _ := time.Parse(time.RFC3339, at) // zero if it can't be read
	return t
}

// one records a run that is done, also one that was deleted before anybody looked.
func (t *Tekton) one(ctx context.Context, _ watch.EventType, o runtime.Object) error {
	var r tektonRun
	if err := read(o, &r); err != nil {
		return fmt.Errorf("read a run: %w", err)
	}
	if !r.done() || !slices.Contains(t.Pipelines, r.pipeline()) || t.rec.seen(runID(&r)) {
		return nil
	}
	list, err := t.Client.Resource(taskRunResource).Namespace(r.Namespace).List(ctx, metav1.ListOptions{LabelSelector: "tekton.dev/pipelineRun=" + r.Name})
	if err != nil {
		return fmt.Errorf("tasks of run %s: %w", r.Name, err)
	}
	tasks := make([]tektonRun, len(list.Items))
	for i := range list.Items {
		if err := read(&list.Items[i], &tasks[i]); err != nil {
			return fmt.Errorf("tasks of run %s: %w", r.Name, err)
		}
	}
	return t.rec.put(ctx, []tracedb.Draft{runDraft(&r, tasks)})
}

// tektonRun is what is read of a PipelineRun or a TaskRun (tekton.dev/v1). Tekton's own types would bring all
// that checks and runs pipelines into a service that only reads about them.
type tektonRun struct {
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		PipelineRef struct {
			Name string `json:"name"`
		} `json:"pipelineRef"`
		Params []tektonValue `json:"params"`
	} `json:"spec"`
	Status struct {
		StartTime       *metav1.Time       `json:"startTime"`
		CompletionTime  *metav1.Time       `json:"completionTime"`
		Conditions      []metav1.Condition `json:"conditions"`
		Results         []tektonValue      `json:"results"`
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

// tektonValue is a parameter or a result: a text, or else a list or an object.
type tektonValue struct {
	Name  string `json:"name"`
	Value any    `json:"value"`
}

// text is the value of that name; empty if there is none, or no text.
func text(values []tektonValue, name string) string {
	for _, v := range values {
		if v.Name == name {
			s, _ := v.Value.(string)
			return s
		}
	}
	return ""
}

// succeeded is the condition that says how it goes, or went; nil before Tekton has looked at it.
func (r *tektonRun) succeeded() *metav1.Condition {
	i := slices.IndexFunc(r.Status.Conditions, func(c metav1.Condition) bool { return c.Type == "Succeeded" })
	if i < 0 {
		return nil
	}
	return &r.Status.Conditions[i]
}

func (r *tektonRun) done() bool {
	c := r.succeeded()
	return c != nil && c.Status != metav1.ConditionUnknown
}

func (r *tektonRun) pipeline() string {
	return cmp.Or(r.Spec.PipelineRef.Name, r.Labels["tekton.dev/pipeline"])
}

func runID(r *tektonRun) string { return "run/" + string(r.UID) }

// runDraft is the record of a run that is done.
func runDraft(r *tektonRun, tasks []tektonRun) tracedb.Draft {
	p := tracedb.Run{
		Run: r.Namespace + "/" + r.Name, UID: string(r.UID), Pipeline: r.pipeline(),
		Repository: valid(tracedb.RefRepository, text(r.Spec.Params, "repository")), Commit: valid(tracedb.RefCommit, text(r.Spec.Params, "revision")),
		Started: moment(r.Status.StartTime), Finished: moment(r.Status.CompletionTime), Tasks: []tracedb.Task{},
	}
	outcome := tracedb.Failed
	p.Reason = nobody
	if c := r.succeeded(); c != nil {
		p.Reason, p.Message = first(c.Reason), tracedb.Clip(c.Message, maxText)
		if c.Status == metav1.ConditionTrue {
			outcome = tracedb.Passed
		}
	}
	if digest := text(r.Status.Results, "digest"); isDigest(digest) {
		p.Image = digest
	}
	pushed := ""
	p.Tasks, pushed = tasksOf(r, tasks)
	if p.Image == "" {
		p.Image = pushed // a run that failed after its push has no results, but the image is there
	}
	about := []tracedb.Ref{
		ref(tracedb.RefRun, p.Run), ref(tracedb.RefRepository, p.Repository), ref(tracedb.RefCommit, p.Commit),
		ref(tracedb.RefImage, p.Image),
	}
	return draft(runID(r), tracedb.KindRun, "tekton", p.Finished, outcome, p, about...)
}

// tasksOf are the tasks of the run as they went, and the digest that the task push says it pushed.
func tasksOf(r *tektonRun, runs []tektonRun) (tasks []tracedb.Task, pushed string) {
	tasks = []tracedb.Task{}
	for _, child := range r.Status.ChildReferences {
		task := tracedb.Task{Name: child.PipelineTaskName}
		i := slices.IndexFunc(runs, func(t tektonRun) bool { return t.Name == child.Name })
		if i < 0 {
			task.Message = "its own record is gone"
			tasks = append(tasks, task)
			continue
		}
		run := runs[i]
		task.Started, task.Finished = moment(run.Status.StartTime), moment(run.Status.CompletionTime)
		if c := run.succeeded(); c != nil {
			task.Message = tracedb.Clip(c.Message, 1024)
			task.Outcome = tracedb.Failed
			if c.Status == metav1.ConditionTrue {
				task.Outcome = tracedb.Passed
			}
		}
		if digest := text(run.Status.Results, "digest"); child.PipelineTaskName == "push" && isDigest(digest) {
			pushed = digest
		}
		tasks = append(tasks, task)
	}
	for _, s := range r.Status.SkippedTasks {
		tasks = append(tasks, tracedb.Task{Name: s.Name, Message: "skipped: " + s.Reason})
	}
	slices.SortStableFunc(tasks, func(a, b tracedb.Task) int {
		// What never started comes last.
		if a.Started.IsZero() != b.Started.IsZero() {
			if a.Started.IsZero() {
				return 1
			}
			return -1
		}
		return cmp.Or(a.Started.Compare(b.Started), cmp.Compare(a.Name, b.Name))
	})
	return tasks, pushed
}

// valid is the value if it is shaped as a name of that type: anybody who may start a run writes its
// parameters.
func valid(t tracedb.RefType, value string) string {
	if ref(t, value).Check() != nil {
		return ""
	}
	return value
}

func moment(t *metav1.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC()
}
