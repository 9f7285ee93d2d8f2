package collect

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"

	"github.com/druppie/druppie-up/internal/tekton"
	"github.com/druppie/druppie-up/tracedb"
)

// Tekton watches the runs of pipelines and records each when it is done. When it starts it records
// every done run that is still in the cluster: what ended while the service was down isn't lost, as
// long as the pipelines' watch, which keeps the newest finished runs of each repository (20 unless
// configured otherwise), hasn't deleted it.
type Tekton struct {
	*recorder
	client    dynamic.Interface
	namespace string
	pipelines []string
}

// NewTekton returns a collector of the runs of those pipelines in a namespace; without names, of release.
func NewTekton(client dynamic.Interface, namespace string, pipelines []string, o Options) *Tekton {
	if pipelines == nil {
		pipelines = []string{"release"}
	}
	return &Tekton{recorder: newRecorder("tekton", o, tracedb.KindRun), client: client, namespace: namespace, pipelines: pipelines}
}

// Run watches until ctx ends.
func (t *Tekton) Run(ctx context.Context) error {
	f := &reflector[tekton.Run]{
		recorder: t.recorder, name: "pipelineruns",
		of: t.client.Resource(tekton.PipelineRuns).Namespace(t.namespace),
		listed: func(_ context.Context, runs []*tekton.Run) error {
			// In the order in which they ended.
			slices.SortStableFunc(runs, func(a, b *tekton.Run) int {
				return utcTime(a.Status.CompletionTime).Compare(utcTime(b.Status.CompletionTime))
			})
			return nil
		},
		handle: t.handle,
	}
	return f.run(ctx)
}

// handle records a run that is done, also one that was deleted before anybody looked.
func (t *Tekton) handle(ctx context.Context, _ watch.EventType, r *tekton.Run) error {
	if !r.Done() || !slices.Contains(t.pipelines, r.Pipeline()) || t.seen(runID(r)) {
		return nil
	}
	tasks, err := tekton.Tasks(ctx, t.client, r.Namespace, r.Name)
	if err != nil {
		return fmt.Errorf("tasks of run %s: %w", r.Name, err)
	}
	return t.put(ctx, runDraft(r, tasks))
}

func runID(r *tekton.Run) string { return "run/" + string(r.UID) }

// runDraft is the record of a run that is done.
func runDraft(r *tekton.Run, tasks []*tekton.Run) tracedb.Draft {
	p := tracedb.Run{
		Run: r.Namespace + "/" + r.Name, UID: string(r.UID), Pipeline: r.Pipeline(),
		Repository: valid(tracedb.RefRepository, r.Param("repository")), Commit: valid(tracedb.RefCommit, r.Param("revision")),
		Started: utcTime(r.Status.StartTime), Finished: utcTime(r.Status.CompletionTime), Reason: unknown,
	}
	if c := r.Succeeded(); c != nil {
		p.Reason, p.Message = first(c.Reason), tracedb.Clip(c.Message, maxText)
	}
	p.Tasks, p.Image = tasksOf(r, tasks) // a run that failed after its push has no results, but the image is there
	if digest := r.Result("digest"); isDigest(digest) {
		p.Image = digest
	}
	about := []tracedb.Ref{
		ref(tracedb.RefRun, p.Run), ref(tracedb.RefRepository, p.Repository), ref(tracedb.RefCommit, p.Commit),
		ref(tracedb.RefImage, p.Image),
	}
	return draft(runID(r), tracedb.KindRun, "tekton", p.Finished, outcomeOf(r), p, about...)
}

// outcomeOf is how a run of a pipeline or task ended.
func outcomeOf(r *tekton.Run) tracedb.Outcome {
	if r.Is(metav1.ConditionTrue) {
		return tracedb.Passed
	}
	return tracedb.Failed
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
		task.Started, task.Finished = utcTime(run.Status.StartTime), utcTime(run.Status.CompletionTime)
		if c := run.Succeeded(); c != nil {
			task.Message, task.Outcome = tracedb.Clip(c.Message, 1024), outcomeOf(run)
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

func utcTime(t *metav1.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC()
}
