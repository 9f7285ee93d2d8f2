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
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"

	"github.com/druppie/druppie-up/internal/tekton"
	"github.com/druppie/druppie-up/tracedb"
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
		name: "pipelineruns", of: t.Client.Resource(tekton.PipelineRuns).Namespace(t.Namespace),
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
	r, err := tekton.Read(o)
	if err != nil {
		return err
	}
	if !r.Done() || !slices.Contains(t.Pipelines, r.Pipeline()) || t.rec.seen(runID(r)) {
		return nil
	}
	tasks, err := tekton.Tasks(ctx, t.Client, r.Namespace, r.Name)
	if err != nil {
		return fmt.Errorf("tasks of run %s: %w", r.Name, err)
	}
	return t.rec.put(ctx, []tracedb.Draft{runDraft(r, tasks)})
}

func runID(r *tekton.Run) string { return "run/" + string(r.UID) }

// runDraft is the record of a run that is done.
func runDraft(r *tekton.Run, tasks []*tekton.Run) tracedb.Draft {
	p := tracedb.Run{
		Run: r.Namespace + "/" + r.Name, UID: string(r.UID), Pipeline: r.Pipeline(),
		Repository: valid(tracedb.RefRepository, r.Param("repository")), Commit: valid(tracedb.RefCommit, r.Param("revision")),
		Started: moment(r.Status.StartTime), Finished: moment(r.Status.CompletionTime), Tasks: []tracedb.Task{},
	}
	outcome := tracedb.Failed
	p.Reason = nobody
	if c := r.Succeeded(); c != nil {
		p.Reason, p.Message = first(c.Reason), tracedb.Clip(c.Message, maxText)
		if c.Status == metav1.ConditionTrue {
			outcome = tracedb.Passed
		}
	}
	if digest := r.Result("digest"); isDigest(digest) {
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
func tasksOf(r *tekton.Run, runs []*tekton.Run) (tasks []tracedb.Task, pushed string) {
	tasks = []tracedb.Task{}
	for _, child := range r.Status.ChildReferences {
		task := tracedb.Task{Name: child.PipelineTaskName}
		i := slices.IndexFunc(runs, func(t *tekton.Run) bool { return t.Name == child.Name })
		if i < 0 {
			task.Message = "its own record is gone"
			tasks = append(tasks, task)
			continue
		}
		run := runs[i]
		task.Started, task.Finished = moment(run.Status.StartTime), moment(run.Status.CompletionTime)
		if c := run.Succeeded(); c != nil {
			task.Message = tracedb.Clip(c.Message, 1024)
			task.Outcome = tracedb.Failed
			if c.Status == metav1.ConditionTrue {
				task.Outcome = tracedb.Passed
			}
		}
		if digest := run.Result("digest"); child.PipelineTaskName == "push" && isDigest(digest) {
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
