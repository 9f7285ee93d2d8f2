package collect

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	"github.com/tektoncd/pipeline/pkg/client/clientset/versioned/scheme"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clienttesting "k8s.io/client-go/testing"
	"knative.dev/pkg/apis"
	duckv1 "knative.dev/pkg/apis/duck/v1"

	"github.com/druppie/druppie-up/tracedb"
)

// condition is how Tekton says how something ended.
func condition(status corev1.ConditionStatus, reason, message string) duckv1.Status {
	return duckv1.Status{Conditions: duckv1.Conditions{{Type: apis.ConditionSucceeded, Status: status, Reason: reason, Message: message}}}
}

func at(minutes int) *metav1.Time {
	t := metav1.NewTime(noon.Add(time.Duration(minutes) * time.Minute))
	return &t
}

// pipelineRun is a run as the trigger template of the pipelines makes it; status "" is one that runs.
func pipelineRun(n int, status corev1.ConditionStatus, reason string) *v1.PipelineRun {
	r := &v1.PipelineRun{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "foundry", Name: fmt.Sprintf("drone-service-%d", n), UID: types.UID(fmt.Sprintf("uid-%d", n)), CreationTimestamp: *at(n),
			Labels: map[string]string{"tekton.dev/pipeline": "release", "druppie.io/repository": "drone-service", "druppie.io/commit": mergedCommit},
		},
		Spec: v1.PipelineRunSpec{
			PipelineRef: &v1.PipelineRef{Name: "release"},
			Params: v1.Params{
				{Name: "repository", Value: *v1.NewStructuredValues("druppie/drone-service")},
				{Name: "revision", Value: *v1.NewStructuredValues(mergedCommit)},
				{Name: "tenant", Value: *v1.NewStructuredValues("drones")},
			},
		},
	}
	r.Status.StartTime = at(n)
	if status == "" {
		r.Status.Status = condition(corev1.ConditionUnknown, "Running", "Tasks Completed: 1")
		return r
	}
	r.Status.Status = condition(status, reason, "Tasks Completed: 3 (Failed: 0, Cancelled 0), Skipped: 0")
	r.Status.CompletionTime = at(n + 5)
	for _, task := range []string{"test", "build", "push"} {
		r.Status.ChildReferences = append(r.Status.ChildReferences, v1.ChildStatusReference{Name: r.Name + "-" + task, PipelineTaskName: task})
	}
	if status == corev1.ConditionTrue {
		r.Status.Results = []v1.PipelineRunResult{{Name: "digest", Value: *v1.NewStructuredValues(imageX)}, {Name: "commit", Value: *v1.NewStructuredValues(hashB)}}
	} else {
		r.Status.SkippedTasks = []v1.SkippedTask{{Name: "sign", Reason: v1.StoppingSkip}}
	}
	return r
}

func taskRuns(r *v1.PipelineRun, n int) []runtime.Object {
	var out []runtime.Object
	for i, task := range []string{"test", "build", "push"} {
		t := &v1.TaskRun{ObjectMeta: metav1.ObjectMeta{Namespace: "foundry", Name: r.Name + "-" + task, Labels: map[string]string{"tekton.dev/pipelineRun": r.Name}}}
		t.Status.StartTime, t.Status.CompletionTime = at(n+i), at(n+i+1)
		t.Status.Status = condition(corev1.ConditionTrue, "Succeeded", "All Steps have completed executing")
		if task == "test" && !r.Status.GetCondition(apis.ConditionSucceeded).IsTrue() {
			t.Status.Status = condition(corev1.ConditionFalse, "Failed", `"step-test" exited with code 1`)
		}
		if task == "push" {
			t.Status.Results = []v1.TaskRunResult{{Name: "digest", Value: *v1.NewStructuredValues(imageX)}}
		}
		out = append(out, t)
	}
	return out
}

func tektonCluster(objects ...runtime.Object) cluster { return clusterOf(scheme.Scheme, objects...) }

func newTekton(tr *trace, client cluster) *Tekton {
	c := NewTekton(client, "foundry", nil, tr.options())
	c.relist = often
	withTestClock(c.recorder)
	return c
}

func TestTektonRecords(t *testing.T) {
	tr := newTrace(t)
	good, bad := pipelineRun(1, corev1.ConditionTrue, "Succeeded"), pipelineRun(2, corev1.ConditionFalse, "Failed")
	other := pipelineRun(3, corev1.ConditionTrue, "Succeeded")
	other.Spec.PipelineRef.Name, other.Labels["tekton.dev/pipeline"] = "verify", "verify"
	objects := append([]runtime.Object{bad, good, other, pipelineRun(4, "", "")}, append(taskRuns(good, 1), taskRuns(bad, 2)...)...)
	c := newTekton(tr, tektonCluster(objects...))
	stop := runs(t, c.Run)
	eventually(t, "two runs are recorded", func() bool { return len(tr.records()) == 2 })
	stop()
	tr.golden("tekton.golden")
}

// The service stops and starts while runs end: each is recorded once.
func TestTektonRestarts(t *testing.T) {
	tr := newTrace(t)
	client := tektonCluster()
	end := func(n int) {
		t.Helper()
		client.update(t, pipelineRun(n, corev1.ConditionTrue, "Succeeded"))
	}
	for n := range 12 {
		client.create(t, pipelineRun(n, "", ""))
	}
	stop := runs(t, newTekton(tr, client).Run)
	end(0)
	end(1)
	eventually(t, "two are recorded", func() bool { return len(tr.records()) == 2 })
	stop()
	end(2) // nobody looks
	end(3)
	stop = runs(t, newTekton(tr, client).Run)
	eventually(t, "what ended meanwhile is recorded", func() bool { return len(tr.records()) == 4 })
	tr.down(tracedb.ErrUnavailable)
	end(4)
	called := tr.called()
	eventually(t, "it tries", func() bool { return tr.called() > called+2 })
	stop() // in the middle of trying
	tr.up()
	end(5)
	// The reader fails too, at first: then the sink alone keeps doubles out.
	c := newTekton(tr, client)
	c.Log = unsearchable{tr.log}
	stop = runs(t, c.Run)
	eventually(t, "nothing was lost", func() bool { return len(tr.records()) == 6 })
	eventually(t, "doubles are counted", func() bool { return c.Status().Duplicates == 4 && c.Status().Recorded == 2 })
	stop()
	var want []string
	for n := range 6 {
		want = append(want, fmt.Sprintf("run/uid-%d", n))
	}
	if diff := cmp.Diff(want, tr.inOrder()); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
}

// A run that is deleted just after it ended is recorded, if anybody watches.
func TestTektonDeleted(t *testing.T) {
	tr := newTrace(t)
	client := tektonCluster(pipelineRun(1, "", ""))
	c := newTekton(tr, client)
	c.relist = time.Hour
	runs(t, c.Run)
	eventually(t, "it watches", func() bool {
		for _, a := range client.Actions() {
			if a.GetVerb() == "watch" {
				return true
			}
		}
		return false
	})
	tr.down(tracedb.ErrFull)
	client.update(t, pipelineRun(1, corev1.ConditionTrue, "Succeeded"))
	eventually(t, "it tries", func() bool { return tr.called() > 1 })
	client.delete(t, pipelineRun(1, "", ""))
	tr.up()
	eventually(t, "it is recorded", func() bool { return len(tr.records()) == 1 })
	// Its tasks went with it; the record says so.
	if r := payload[tracedb.Run](t, tr.records()[0].Payload); len(r.Tasks) != 3 || r.Tasks[0].Message == "" || r.Image != imageX {
		t.Errorf("run = %+v", r)
	}
}

func TestTektonWithoutTasks(t *testing.T) {
	tr := newTrace(t)
	client := tektonCluster(pipelineRun(1, corev1.ConditionTrue, "Succeeded"))
	left := 2
	client.PrependReactor("list", "taskruns", func(clienttesting.Action) (bool, runtime.Object, error) {
		if left--; left >= 0 {
			return true, nil, errors.New("etcd is away")
		}
		return false, nil, nil
	})
	c := newTekton(tr, client)
	runs(t, func(ctx context.Context) error { return c.Run(ctx) })
	eventually(t, "it is recorded when the tasks can be read", func() bool { return len(tr.records()) == 1 })
	eventually(t, "all is well again", func() bool { return c.Status().LastError == "" && !c.Status().LastErrorAt.IsZero() })
}
