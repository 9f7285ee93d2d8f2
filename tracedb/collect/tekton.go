package collect

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	"github.com/tektoncd/pipeline/pkg/client/clientset/versioned"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"knative.dev/pkg/apis"

	"github.com/druppie/druppie-up/tracedb"
)

// Tekton watches the runs of pipelines and records each when it is done. When it starts it records
// every done run that is still in the cluster: what ended while the service was down isn't lost, as
// long as the pipelines' watch, which keeps the newest finished runs of each repository (20 unless
// told otherwise), hasn't cleared it away. Its exported fields are set before its first use.
type Tekton struct {
	Client    versioned.Interface
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
	of := t.Client.TektonV1().PipelineRuns(t.Namespace)
	f := &feed{
		name: "pipelineruns", health: &t.health, rec: t.rec, relist: t.relist,
		list:  func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return of.List(ctx, o) },
		watch: of.Watch,
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

func ended(o runtime.Object) time.Time {
	if r, ok := o.(*v1.PipelineRun); ok && r.Status.CompletionTime != nil {
		return r.Status.CompletionTime.Time
	}
	return time.Time{}
}

// one records a run that is done, also one that was deleted before anybody looked.
func (t *Tekton) one(ctx context.Context, _ watch.EventType, o runtime.Object) error {
	r, ok := o.(*v1.PipelineRun)
	if !ok || !r.IsDone() || !slices.Contains(t.Pipelines, pipelineOf(r)) || t.rec.seen(runID(r)) {
		return nil
	}
	tasks, err := t.Client.TektonV1().TaskRuns(r.Namespace).List(ctx, metav1.ListOptions{LabelSelector: "tekton.dev/pipelineRun=" + r.Name})
	if err != nil {
		return fmt.Errorf("tasks of run %s: %w", r.Name, err)
	}
	return t.rec.put(ctx, []tracedb.Draft{runDraft(r, tasks.Items)})
}

func pipelineOf(r *v1.PipelineRun) string {
	if r.Spec.PipelineRef != nil && r.Spec.PipelineRef.Name != "" {
		return r.Spec.PipelineRef.Name
	}
	return r.Labels["tekton.dev/pipeline"]
}

func runID(r *v1.PipelineRun) string { return "run/" + string(r.UID) }

// runDraft is the record of a run that is done.
func runDraft(r *v1.PipelineRun, tasks []v1.TaskRun) tracedb.Draft {
	p := tracedb.Run{
		Run: r.Namespace + "/" + r.Name, UID: string(r.UID), Pipeline: pipelineOf(r),
		Repository: valid(tracedb.RefRepository, param(r.Spec.Params, "repository")), Commit: valid(tracedb.RefCommit, param(r.Spec.Params, "revision")),
		Started: moment(r.Status.StartTime), Finished: moment(r.Status.CompletionTime), Tasks: []tracedb.Task{},
	}
	outcome := tracedb.Failed
	p.Reason = nobody
	if c := r.Status.GetCondition(apis.ConditionSucceeded); c != nil {
		p.Reason, p.Message = first(c.Reason), tracedb.Clip(c.Message, maxText)
		if c.Status == corev1.ConditionTrue {
			outcome = tracedb.Passed
		}
	}
	for _, result := range r.Status.Results {
		if result.Name == "digest" && isDigest(result.Value.StringVal) {
			p.Image = result.Value.StringVal
		}
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
func tasksOf(r *v1.PipelineRun, runs []v1.TaskRun) (tasks []tracedb.Task, pushed string) {
	tasks = []tracedb.Task{}
	for _, child := range r.Status.ChildReferences {
		task := tracedb.Task{Name: child.PipelineTaskName}
		i := slices.IndexFunc(runs, func(t v1.TaskRun) bool { return t.Name == child.Name })
		if i < 0 {
			task.Message = "its own record is gone"
			tasks = append(tasks, task)
			continue
		}
		run := runs[i]
		task.Started, task.Finished = moment(run.Status.StartTime), moment(run.Status.CompletionTime)
		if c := run.Status.GetCondition(apis.ConditionSucceeded); c != nil {
			task.Message = tracedb.Clip(c.Message, 1024)
			task.Outcome = tracedb.Failed
			if c.Status == corev1.ConditionTrue {
				task.Outcome = tracedb.Passed
			}
		}
		for _, result := range run.Status.Results {
			if child.PipelineTaskName == "push" && result.Name == "digest" && isDigest(result.Value.StringVal) {
				pushed = result.Value.StringVal
			}
		}
		tasks = append(tasks, task)
	}
	for _, s := range r.Status.SkippedTasks {
		tasks = append(tasks, tracedb.Task{Name: s.Name, Message: "skipped: " + string(s.Reason)})
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

func param(params v1.Params, name string) string {
	for _, p := range params {
		if p.Name == name {
			return p.Value.StringVal
		}
	}
	return ""
}

func moment(t *metav1.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC()
}
