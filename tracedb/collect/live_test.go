package collect

import (
	"encoding/json"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/lru"

	"github.com/druppie/druppie-up/internal/tekton"
	"github.com/druppie/druppie-up/tracedb"
)

// The files in testdata/live were read from a platform that ran: Kubernetes 1.34, Tekton 1.6.0, Flux's
// kustomize-controller 1.7.3. Only parts that nobody reads here were taken out.
func live[T any](t *testing.T, name string) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(readGolden(t, "live/"+name), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestLive(t *testing.T) {
	tr := newTrace(t)
	r := newRecorder("live", tr.options(), tracedb.KindRun, tracedb.KindDeployment, tracedb.KindAdmission, tracedb.KindDrift, tracedb.KindIncident)
	withTestClock(r)
	var drafts []tracedb.Draft

	run, err := tekton.Read(&unstructured.Unstructured{Object: live[map[string]any](t, "pipelinerun.json")})
	if err != nil {
		t.Fatal(err)
	}
	if !run.Done() || run.Pipeline() != "release" {
		t.Errorf("the run of %q is done: %v", run.Pipeline(), run.Done())
	}
	var tasks []*tekton.Run
	for _, item := range live[struct{ Items []map[string]any }](t, "taskruns.json").Items {
		task, err := tekton.Read(&unstructured.Unstructured{Object: item})
		if err != nil {
			t.Fatal(err)
		}
		tasks = append(tasks, task)
	}
	drafts = append(drafts, runDraft(run, tasks))

	pod := live[corev1.Pod](t, "pod.json")
	d, _, ok := podDraft(&pod, 0)
	if !ok {
		t.Error("the pod doesn't run")
	}
	drafts = append(append(drafts, d), incidents(&pod)...)

	deployment := live[appsv1.Deployment](t, "deployment.json")
	w := workloadOf(&deployment)
	if got := w.deviations(); len(got) != 0 {
		t.Errorf("a Deployment that Flux made deviates: %s", got[0].Payload)
	}

	reader := &Kustomizations{recorder: r, last: lru.New(1)}
	for _, item := range live[struct {
		Items []map[string]any `json:"items"`
	}](t, "kustomizations.json").Items {
		o, err := typed[kustomization](&unstructured.Unstructured{Object: item})
		if err != nil {
			t.Fatal(err)
		}
		for _, reported := range o.reconciliations() {
			more, err := reader.drafts(t.Context(), reported)
			if err != nil {
				t.Fatal(err)
			}
			drafts = append(drafts, more...)
		}
	}

	event := live[corev1.Event](t, "flux-denial.json")
	more, err := reader.drafts(t.Context(), reconciliation{
		kind: event.InvolvedObject.Kind, namespace: event.InvolvedObject.Namespace, name: event.InvolvedObject.Name, uid: string(event.InvolvedObject.UID),
		revision: event.Annotations["kustomize.toolkit.fluxcd.io/revision"], reason: event.Reason, message: event.Message, failed: event.Type == "Warning", at: event.FirstTimestamp.Time,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.put(t.Context(), append(drafts, more...)...); err != nil {
		t.Fatal(err)
	}
	if s := r.Status(); s.Refused != 0 {
		t.Errorf("the log refused %d", s.Refused)
	}
	tr.golden("live.golden")
}
