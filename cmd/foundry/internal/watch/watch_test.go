package watch

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"knative.dev/pkg/apis"

	"github.com/druppie/druppie-up/internal/giteaclient"
	"github.com/druppie/druppie-up/internal/names"
	"github.com/druppie/druppie-up/internal/tekton"
	"github.com/druppie/druppie-up/internal/tekton/tektontest"
)

const (
	secret = "of the webhook"
	older  = "1111111111111111111111111111111111111111"
	newer  = "2222222222222222222222222222222222222222"
)

// fakes are a Gitea with one branch and a listener that checks signatures.
type fakes struct {
	head       string
	dockerfile bool
	answer     int      // of the listener
	events     []string // commits of well signed events
	refused    int
}

func (f *fakes) gitea(w http.ResponseWriter, r *http.Request) {
	switch {
	case strings.HasSuffix(r.URL.Path, "/branches/main"):
		fmt.Fprintf(w, `{"name":"main","commit":{"id":%q}}`, f.head)
	case strings.Contains(r.URL.Path, "/contents/Dockerfile") && f.dockerfile:
		fmt.Fprint(w, `{"name":"Dockerfile","type":"file"}`)
	default:
		http.NotFound(w, r)
	}
}

func (f *fakes) listener(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	if r.Header.Get("X-Gitea-Signature") != hex.EncodeToString(mac.Sum(nil)) || r.Header.Get("X-Gitea-Event") != "push" {
		f.refused++
		http.Error(w, "wrong signature", http.StatusForbidden)
		return
	}
	var e struct{ Ref, After string }
	if json.Unmarshal(body, &e) == nil && e.Ref == "refs/heads/main" {
		f.events = append(f.events, e.After)
	}
	w.WriteHeader(f.answer)
}

func (f *fakes) watch(t *testing.T, runs ...runtime.Object) *Watch {
	t.Helper()
	api := httptest.NewServer(http.HandlerFunc(f.gitea))
	t.Cleanup(api.Close)
	listener := httptest.NewServer(http.HandlerFunc(f.listener))
	t.Cleanup(listener.Close)
	client, err := giteaclient.New(t.Context(), giteaclient.Options{URL: api.URL, HTTP: api.Client()})
	if err != nil {
		t.Fatal(err)
	}
	return &Watch{
		Gitea: client, Tekton: tektontest.Client(t, runs...), Namespace: "foundry", Repository: "druppie/drone-service",
		Listener: listener.URL, Secret: func() (string, error) { return secret, nil }, HTTP: listener.Client(), Grace: 30 * time.Second, Attempts: 2, Keep: 1,
	}
}

func run(name, commit string, ended time.Time) *v1.PipelineRun {
	r := &v1.PipelineRun{ObjectMeta: metav1.ObjectMeta{
		Namespace: "foundry", Name: name, Labels: map[string]string{names.LabelRepository: "drone-service", names.LabelCommit: commit},
	}}
	if !ended.IsZero() {
		r.Status.SetCondition(&apis.Condition{Type: apis.ConditionSucceeded, Status: "True"})
		r.Status.CompletionTime = &metav1.Time{Time: ended}
	}
	return r
}

var began = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// task is one of a failed run, of which the last step ended so.
func task(name string, after time.Duration, exit int32, reason string) *v1.TaskRun {
	t := &v1.TaskRun{ObjectMeta: metav1.ObjectMeta{Namespace: "foundry", Name: name}}
	t.Status.SetCondition(&apis.Condition{Type: apis.ConditionSucceeded, Status: "False", Reason: "Failed"})
	t.Status.StartTime, t.Status.CompletionTime = &metav1.Time{Time: began}, &metav1.Time{Time: began.Add(after)}
	for _, end := range []corev1.ContainerStateTerminated{{Reason: "Completed"}, {ExitCode: exit, Reason: reason}} {
		t.Status.Steps = append(t.Status.Steps, v1.StepState{ContainerState: corev1.ContainerState{Terminated: &end}})
	}
	return t
}

// failed is a run of the newer commit that failed, with its tasks.
func failed(name string, tasks ...*v1.TaskRun) []runtime.Object {
	r := run(name, newer, time.Time{})
	r.Status.SetCondition(&apis.Condition{Type: apis.ConditionSucceeded, Status: "False"})
	objects := []runtime.Object{r}
	for _, t := range tasks {
		t.Name, t.Labels = name+"-"+t.Name, map[string]string{tekton.LabelPipelineRun: name}
		objects = append(objects, t)
	}
	return objects
}

func TestRunThatWasCutOffBeginsAgain(t *testing.T) {
	lost := func() *v1.TaskRun { return task("build", 20*time.Second, 255, "Unknown") }
	unbegun := task("build", time.Second, 0, "")
	unbegun.Status.Steps = nil
	timedOut := func(after time.Duration) *v1.TaskRun {
		t := task("test", after, 1, "Error")
		t.Spec.Timeout = &metav1.Duration{Duration: 5 * time.Minute}
		t.Status.SetCondition(&apis.Condition{Type: apis.ConditionSucceeded, Status: "False", Reason: "TaskRunTimeout"})
		return t
	}
	ended := task("check", 10*time.Second, 0, "Completed")
	ended.Status.SetCondition(&apis.Condition{Type: apis.ConditionSucceeded, Status: "True"})
	again := []string{newer}
	for _, tt := range []struct {
		name string
		runs []runtime.Object
		want []string
	}{
		{"its node restarted", failed("a", lost()), again},
		{"the kubelet found nothing of it", failed("a", task("build", time.Second, 137, "ContainerStatusUnknown")), again},
		{"before a step had begun", failed("a", unbegun), again},
		{"and a task had ended well before", failed("a", ended, lost()), again},
		{"and a task fails for want of it after that", failed("a", lost(), task("withdraw", time.Minute, 1, "Error")), again},
		{"nobody was there when its time was up", failed("a", timedOut(time.Hour)), again},
		{"it hung", failed("a", timedOut(5*time.Minute+10*time.Second)), nil},
		{"a test failed", failed("a", task("test", time.Second, 1, "Error")), nil},
		{"a test failed before", failed("a", task("test", time.Second, 1, "Error"), lost()), nil},
		{"a test crashed, as Tekton's entrypoint tells it", failed("a", task("test", time.Second, 255, "Error")), nil},
		{"somebody killed it, perhaps itself", failed("a", task("test", time.Second, 137, "Error")), nil},
		{"it took too much memory", failed("a", task("test", time.Second, 137, "OOMKilled")), nil},
		{"another one runs", append(failed("a", lost()), run("b", newer, time.Time{})), nil},
		{"another one failed by itself", append(failed("a", lost()), failed("b", task("test", time.Second, 1, "Error"))...), nil},
		{"cut off too often", append(failed("a", lost()), failed("b", lost())...), nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := fakes{head: newer, dockerfile: true, answer: 202}
			w := f.watch(t, tt.runs...)
			for _, after := range []time.Duration{0, time.Minute} {
				if _, err := w.Reconcile(t.Context(), began.Add(after)); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(tt.want, f.events); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestLostEventIsSentAgain(t *testing.T) {
	tests := []struct {
		name   string
		fakes  fakes
		runs   []runtime.Object
		times  []time.Duration // after began
		want   []string
		failed bool
	}{
		{name: "a run is there", fakes: fakes{dockerfile: true, answer: 202}, runs: []runtime.Object{run("r", newer, time.Time{})}, times: []time.Duration{0, time.Hour}},
		{name: "not yet lost", fakes: fakes{dockerfile: true, answer: 202}, times: []time.Duration{0, 29 * time.Second}},
		{name: "lost", fakes: fakes{dockerfile: true, answer: 202}, times: []time.Duration{0, 31 * time.Second}, want: []string{newer}},
		{name: "another commit's run doesn't count", fakes: fakes{dockerfile: true, answer: 202}, runs: []runtime.Object{run("r", older, began)}, times: []time.Duration{0, time.Minute}, want: []string{newer}},
		{name: "sent once, then given its time", fakes: fakes{dockerfile: true, answer: 202}, times: []time.Duration{0, 31 * time.Second, 45 * time.Second}, want: []string{newer}},
		{name: "sent again if that was lost too", fakes: fakes{dockerfile: true, answer: 202}, times: []time.Duration{0, 31 * time.Second, 62 * time.Second}, want: []string{newer, newer}},
		{name: "nothing to build", fakes: fakes{answer: 202}, times: []time.Duration{0, time.Hour}},
		{name: "a listener that refuses is an error", fakes: fakes{dockerfile: true, answer: 503}, times: []time.Duration{0, time.Minute}, want: []string{newer}, failed: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := tt.fakes
			f.head = newer
			w := f.watch(t, tt.runs...)
			var last error
			for _, after := range tt.times {
				_, last = w.Reconcile(t.Context(), began.Add(after))
			}
			if (last != nil) != tt.failed {
				t.Errorf("error %v, want one: %v", last, tt.failed)
			}
			if diff := cmp.Diff(tt.want, f.events); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// The listener of these tests does refuse a wrong signature: without this the
// table above would prove nothing about signing.
func TestWrongSecretIsRefused(t *testing.T) {
	f := fakes{head: newer, dockerfile: true, answer: 202}
	w := f.watch(t)
	w.Secret = func() (string, error) { return "another", nil }
	now := time.Now()
	_, _ = w.Reconcile(t.Context(), now)
	if _, err := w.Reconcile(t.Context(), now.Add(time.Hour)); err == nil || f.refused != 1 || len(f.events) != 0 {
		t.Errorf("error %v, %d refused, events %v", err, f.refused, f.events)
	}
}

func TestOldRunsAreDeleted(t *testing.T) {
	f := fakes{head: newer, dockerfile: true, answer: 202}
	w := f.watch(t,
		run("oldest", older, began), run("old", older, began.Add(time.Minute)),
		run("running", older, time.Time{}), run("head", newer, began.Add(-time.Hour)))
	if _, err := w.Reconcile(t.Context(), began); err != nil {
		t.Fatal(err)
	}
	runs, err := tekton.List(t.Context(), w.Tekton, tekton.PipelineRuns, "foundry", nil)
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, r := range runs {
		left = append(left, r.Name)
	}
	// One finished run is kept, and never is one that runs or main's own deleted.
	if diff := cmp.Diff([]string{"head", "old", "running"}, left); diff != "" {
		t.Error(diff)
	}
}
