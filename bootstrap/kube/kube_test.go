package kube

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	kubefake "k8s.io/client-go/kubernetes/fake"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/yaml"

	"github.com/druppie/druppie-up/internal/ui"
)

func testClient(t *testing.T, objs ...client.Object) *Client {
	t.Helper()
	scheme, err := newScheme()
	if err != nil {
		t.Fatal(err)
	}
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objs...).
		WithInterceptorFuncs(interceptor.Funcs{Patch: patch}).Build()
	return newClient(c, kubefake.NewClientset(), nil)
}

// patch does what the API server does for server-side apply, as far as the
// tests need it: the fake client's own leaves the resourceVersion empty, and
// doesn't answer a dry run with the live object.
func patch(ctx context.Context, c client.WithWatch, obj client.Object, _ client.Patch, opts ...client.PatchOption) error {
	var o client.PatchOptions
	for _, opt := range opts {
		opt.ApplyToPatch(&o)
	}
	asked := obj.(*unstructured.Unstructured)
	live := &unstructured.Unstructured{}
	live.SetGroupVersionKind(asked.GroupVersionKind())
	err := c.Get(ctx, client.ObjectKeyFromObject(asked), live)
	switch {
	case apierrors.IsNotFound(err) && len(o.DryRun) > 0:
		return nil
	case apierrors.IsNotFound(err):
		return c.Create(ctx, asked)
	case err != nil:
		return err
	}
	for k, v := range asked.Object {
		if k != "metadata" {
			live.Object[k] = v
		}
	}
	asked.Object = live.Object
	if len(o.DryRun) > 0 {
		return nil
	}
	return c.Update(ctx, asked)
}

func decode(t *testing.T, yaml string) []*unstructured.Unstructured {
	t.Helper()
	objs, err := Decode([]byte(yaml))
	if err != nil {
		t.Fatal(err)
	}
	return objs
}

func TestDecode(t *testing.T) {
	tests := []struct {
		name, yaml string
		want       []string
		wantErr    string
	}{
		{name: "nothing", yaml: "---\n# only a comment\n---\n"},
		{name: "two", yaml: "apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: b, namespace: a}\n",
			want: []string{"Namespace/a", "ConfigMap/a/b"}},
		{name: "list", yaml: "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: x, namespace: a}}\n",
			want: []string{"ConfigMap/a/x"}},
		{name: "no kind", yaml: "apiVersion: v1\nmetadata: {name: a}\n", wantErr: "document 1: no apiVersion or kind"},
		{name: "no name", yaml: "apiVersion: v1\nkind: Secret\n", wantErr: "document 1: Secret without a name"},
		{name: "not yaml", yaml: "a: [", wantErr: "document 1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			objs, err := Decode([]byte(tt.yaml))
			if tt.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tt.wantErr) {
					t.Fatalf("error %v, want %q", err, tt.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, o := range objs {
				got = append(got, subject(o))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestApplyTwiceChangesNothing(t *testing.T) {
	c, ctx := testClient(t), context.Background()
	manifest := `
apiVersion: v1
kind: Namespace
metadata: {name: a}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: b, namespace: a}
data: {k: v}
`
	version := func() string {
		var cm corev1.ConfigMap
		if err := c.Get(ctx, client.ObjectKey{Namespace: "a", Name: "b"}, &cm); err != nil {
			t.Fatal(err)
		}
		return cm.ResourceVersion
	}
	changed, err := c.Apply(ctx, decode(t, manifest))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"Namespace/a", "ConfigMap/a/b"}, changed); diff != "" {
		t.Error(diff)
	}
	before := version()
	changed, err = c.Apply(ctx, decode(t, manifest))
	if err != nil || len(changed) != 0 {
		t.Errorf("second apply changed %v, error %v", changed, err)
	}
	if after := version(); after != before {
		t.Errorf("resourceVersion moved from %s to %s", before, after)
	}
	// The negative control: a difference is written.
	changed, err = c.Apply(ctx, decode(t, strings.ReplaceAll(manifest, "k: v", "k: w")))
	if err != nil || len(changed) != 1 {
		t.Errorf("changed %v, error %v", changed, err)
	}
}

func pod(mod func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "p", Labels: map[string]string{"app": "x"}},
		Spec:       corev1.PodSpec{NodeName: "node", Containers: []corev1.Container{{Name: "c", Image: "example.com/i:1"}}},
		Status:     corev1.PodStatus{Phase: corev1.PodPending},
	}
	mod(p)
	return p
}

func waiting(reason, msg string, restarts int32) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Status.ContainerStatuses = []corev1.ContainerStatus{{
			Name: "c", Image: "example.com/i:1", RestartCount: restarts,
			State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: msg}},
		}}
	}
}

func TestCauses(t *testing.T) {
	event := &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{Namespace: "ns", Name: "e"},
		InvolvedObject: corev1.ObjectReference{Kind: "Pod", Name: "p"},
		Reason:         "Failed", Type: corev1.EventTypeWarning,
		Message: `Failed to pull image "example.com/i:1": not found in the mirror`,
	}
	tests := []struct {
		name   string
		mod    func(*corev1.Pod)
		event  bool
		reason string
		broken bool
		words  string
		ready  bool
	}{
		{name: "pull with event", mod: waiting("ImagePullBackOff", "back-off", 0), event: true, reason: "ImagePullBackOff", broken: true, words: "example.com/i:1 of container c can't be pulled: not found in the mirror"},
		{name: "pull without event", mod: waiting("ErrImagePull", "no such host", 0), reason: "ImagePullBackOff", broken: true, words: "no such host"},
		{name: "first crash", mod: waiting("CrashLoopBackOff", "", 1), reason: "CrashLoopBackOff", words: "restarted 1 times"},
		{name: "many crashes", mod: waiting("CrashLoopBackOff", "", 4), reason: "CrashLoopBackOff", broken: true, words: "last line: fake logs"},
		{name: "secret missing", mod: waiting("CreateContainerConfigError", `secret "s" not found`, 0), reason: "CreateContainerConfigError", broken: true, words: `secret "s" not found`},
		{name: "creating", mod: waiting("ContainerCreating", "", 0), reason: "Starting", words: "is starting"},
		{name: "unschedulable", reason: "Unschedulable", broken: true, words: "Insufficient memory", mod: func(p *corev1.Pod) {
			p.Spec.NodeName = ""
			p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable", Message: "0/1 nodes are available: 1 Insufficient memory. preemption: no."}}
		}},
		{name: "ready", ready: true, mod: func(p *corev1.Pod) {
			p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
		}},
		{name: "ended well", ready: true, mod: func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := pod(tt.mod)
			objs := []client.Object{p}
			if tt.event {
				objs = append(objs, event.DeepCopy())
			}
			c := testClient(t, objs...)
			cause, found := c.causeInPod(context.Background(), p)
			if found == tt.ready {
				t.Fatalf("found %v: %+v", found, cause)
			}
			if tt.ready {
				if s := c.Explain(context.Background(), "ns"); s != "" {
					t.Errorf("explained a ready pod: %s", s)
				}
				return
			}
			if cause.Reason != tt.reason || cause.Broken != tt.broken || !strings.Contains(cause.Message, tt.words) {
				t.Errorf("got %+v", cause)
			}
			if s := c.Explain(context.Background(), "ns"); !strings.Contains(s, tt.words) {
				t.Errorf("explain: %q", s)
			}
		})
	}
}

const deployment = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: d, namespace: ns}
spec:
  selector: {matchLabels: {app: x}}
  template:
    metadata: {labels: {app: x}}
    spec: {containers: [{name: c, image: "example.com/i:1"}]}
`

func TestWaitReadyFailsEarly(t *testing.T) {
	ctx := context.Background()
	objs := decode(t, deployment)
	c := testClient(t, objs[0].DeepCopy(), pod(waiting("ImagePullBackOff", "nothing there", 0)))
	var waited []string
	start := time.Now()
	err := c.WaitReady(ctx, objs, WaitOptions{
		Timeout: time.Minute, Interval: 10 * time.Millisecond, BrokenFor: 50 * time.Millisecond,
		OnWait: func(w []string) { waited = w },
	})
	var notReady *NotReadyError
	if !errors.As(err, &notReady) || !notReady.Early {
		t.Fatalf("error %v", err)
	}
	if time.Since(start) > 10*time.Second {
		t.Error("waited out its deadline")
	}
	if !strings.Contains(err.Error(), "Deployment/ns/d") || !strings.Contains(err.Error(), "example.com/i:1") {
		t.Errorf("error lacks the object or the image: %v", err)
	}
	if ui.Hint(err) == "" {
		t.Error("no hint")
	}
	if len(waited) != 1 || !strings.Contains(waited[0], "example.com/i:1") {
		t.Errorf("waited for %q", waited)
	}
}

func TestWaitReady(t *testing.T) {
	jobWith := func(cond string) string {
		return "apiVersion: batch/v1\nkind: Job\nmetadata: {name: j, namespace: ns}\nspec: {selector: {matchLabels: {app: none}}}\nstatus: {conditions: [" + cond + "]}\n"
	}
	tests := []struct {
		name, live, asked string
		wantErr           string
	}{
		{name: "config map", live: "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: ns}\n"},
		{name: "job complete", live: jobWith("{type: Complete, status: 'True'}")},
		{name: "job failed", live: jobWith("{type: Failed, status: 'True', message: BackoffLimitExceeded}"), wantErr: "the job failed: BackoffLimitExceeded"},
		{name: "job that still runs", live: jobWith(""), wantErr: "not ready after"},
		{name: "missing", asked: "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: gone, namespace: ns}\n", wantErr: "isn't there yet"},
		{name: "deployment without pods", live: deployment, wantErr: "Deployment/ns/d"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var live []client.Object
			asked := decode(t, tt.asked+tt.live)
			if tt.live != "" {
				o := &unstructured.Unstructured{}
				if err := yaml.Unmarshal([]byte(tt.live), o); err != nil {
					t.Fatal(err) // Decode would drop the status
				}
				live = append(live, o)
			}
			err := testClient(t, live...).WaitReady(context.Background(), asked, WaitOptions{Timeout: 100 * time.Millisecond, Interval: 10 * time.Millisecond})
			if tt.wantErr == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.wantErr) {
				t.Errorf("error %v, want %q", err, tt.wantErr)
			}
			if notReady := (*NotReadyError)(nil); !errors.As(err, &notReady) {
				t.Errorf("%T isn't a wait's end", err)
			}
		})
	}
}

func TestCauseWithoutPods(t *testing.T) {
	failed := strings.Replace(deployment, "spec:\n", `status: {conditions: [{type: ReplicaFailure, status: "True", message: 'pods "d" is forbidden: denied by policy'}]}
spec:
`, 1)
	claim := "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: v, namespace: ns}\n"
	event := &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{Namespace: "ns", Name: "e"},
		InvolvedObject: corev1.ObjectReference{Kind: "PersistentVolumeClaim", Name: "v"},
		Type:           corev1.EventTypeWarning, Message: "failed to provision volume",
	}
	tests := []struct{ name, live, want string }{
		{"refused pods", failed, "its pods can't be made: pods \"d\" is forbidden: denied by policy"},
		{"volume", claim, "failed to provision volume"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			live := &unstructured.Unstructured{}
			if err := yaml.Unmarshal([]byte(tt.live), live); err != nil {
				t.Fatal(err)
			}
			c := testClient(t, live.DeepCopy(), event)
			err := c.WaitReady(context.Background(), []*unstructured.Unstructured{live},
				WaitOptions{Timeout: time.Minute, Interval: 5 * time.Millisecond, BrokenFor: 20 * time.Millisecond})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

func TestWaitReadyStopsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancelCause(context.Background())
	stop := errors.New("stopped by the user")
	go func() { time.Sleep(50 * time.Millisecond); cancel(stop) }()
	objs := decode(t, deployment)
	err := testClient(t, objs[0].DeepCopy()).WaitReady(ctx, objs, WaitOptions{Interval: 10 * time.Millisecond})
	if !errors.Is(err, stop) || !strings.Contains(err.Error(), "Deployment/ns/d") {
		t.Errorf("error %v", err)
	}
}
