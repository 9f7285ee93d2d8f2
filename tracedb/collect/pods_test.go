package collect

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/druppie/druppie-up/tracedb"
)

const (
	registry = "registry.foundry.svc.cluster.local:5000/druppie/x"
	imageY   = "sha256:yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"
	imageZ   = "sha256:0000000000000000000000000000000000000000000000000000000000000001"
)

func namespace(name string) *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"druppie.io/tenant": "true"}}}
}

// pod is one that runs an image, as the kubelet says it.
func pod(name, asked, imageID string, phase corev1.PodPhase) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "drones", Name: name, UID: types.UID("uid-" + name), CreationTimestamp: metav1.NewTime(noon),
			Labels: map[string]string{"druppie.io/algorithm-id": "alg-abcd1234"},
		},
		Spec: corev1.PodSpec{NodeName: "druppie-control-plane", Containers: []corev1.Container{{Name: "app", Image: asked}}},
		Status: corev1.PodStatus{Phase: phase, StartTime: at(1), ContainerStatuses: []corev1.ContainerStatus{{
			Name: "app", Image: asked, ImageID: imageID, State: stateIn(phase),
		}}},
	}
	return p
}

// stateIn is the state of the only container of a pod in that phase.
func stateIn(phase corev1.PodPhase) corev1.ContainerState {
	switch phase {
	case corev1.PodPending:
		return corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ContainerCreating"}}
	case corev1.PodRunning:
		return corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: *at(1)}}
	}
	return corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{StartedAt: *at(1), FinishedAt: *at(3)}}
}

func newPods(tr *trace, client cluster) *Pods {
	p := NewPods(client, "", tr.options())
	p.relist = often
	withTestClock(p.recorder)
	return p
}

// listedTwice waits until the pods were listed twice more: what was to be recorded by then is.
func listedTwice(t *testing.T, client cluster) {
	t.Helper()
	lists := func() (n int) {
		for _, a := range client.Actions() {
			if a.Matches("list", "pods") {
				n++
			}
		}
		return n
	}
	before := lists()
	eventually(t, "the pods are listed again", func() bool { return lists() >= before+2 })
}

func podLine(t *testing.T) func(tracedb.Record) string {
	return func(r tracedb.Record) string {
		switch r.Kind {
		case tracedb.KindIncident:
			i := payload[tracedb.Incident](t, r.Payload)
			return i.Object + " " + i.Summary + ": " + i.Detail
		case tracedb.KindDrift:
			d := payload[tracedb.Drift](t, r.Payload)
			return d.Object + " by " + d.By + ": " + d.Want + " / " + d.Got
		}
		d := payload[tracedb.Deployment](t, r.Payload)
		return d.Object + " on " + d.Node + " " + refTexts(r.Refs)
	}
}

func TestPods(t *testing.T) {
	tr := newTrace(t)
	outside := pod("other", registry+"@"+imageX, registry+"@"+imageX, corev1.PodRunning)
	outside.Namespace = "kube-system"
	client := newCluster(namespace("drones"), outside, pod("first", registry+"@"+imageX, registry+"@"+imageX, corev1.PodRunning), pod("waits", registry+"@"+imageX, "", corev1.PodPending))
	stop := runs(t, newPods(tr, client).Run)
	eventually(t, "the first is recorded", func() bool { return len(tr.records()) == 1 })

	// Nobody looks while one goes and one comes.
	stop()
	client.delete(t, pod("first", "", "", ""))
	client.create(t, pod("second", registry+":latest", registry+"@"+imageZ, corev1.PodRunning))
	p := newPods(tr, client)
	stop = runs(t, p.Run)
	eventually(t, "both are recorded", func() bool { return len(tr.records()) == 3 })

	// A debug container joins, then the pod goes.
	debugged := pod("second", registry+":latest", registry+"@"+imageZ, corev1.PodRunning)
	debugged.Spec.EphemeralContainers = []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: "debug", Image: registry + "@" + imageX}}}
	debugged.Status.EphemeralContainerStatuses = []corev1.ContainerStatus{{Name: "debug", ImageID: registry + "@" + imageX, State: stateIn(corev1.PodRunning)}}
	client.update(t, debugged)
	eventually(t, "the debug container is recorded", func() bool { return len(tr.records()) == 4 })
	client.delete(t, debugged)
	eventually(t, "the end is recorded", func() bool { return len(tr.records()) == 5 })
	stop()
	stop = runs(t, newPods(tr, client).Run) // and again
	listedTwice(t, client)
	stop()

	want := []string{
		"deployment running Pod/first on druppie-control-plane algorithm:alg-abcd1234 image:2d711642 namespace:drones pod:drones/first",
		"deployment gone Pod/first on  algorithm:alg-abcd1234 image:2d711642 namespace:drones pod:drones/first",
		"deployment running Pod/second on druppie-control-plane algorithm:alg-abcd1234 image:00000000 namespace:drones pod:drones/second",
		"deployment running Pod/second on druppie-control-plane algorithm:alg-abcd1234 image:00000000 image:2d711642 namespace:drones pod:drones/second",
		"deployment gone Pod/second on  algorithm:alg-abcd1234 image:00000000 image:2d711642 namespace:drones pod:drones/second",
	}
	if diff := cmp.Diff(want, tr.lines(podLine(t))); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
}

// Tenants come and go.
func TestTenants(t *testing.T) {
	tr := newTrace(t)
	client := newCluster()
	p := newPods(tr, client)
	runs(t, p.Run)
	eventually(t, "it listed", func() bool { return !p.Status().LastSuccess.IsZero() })
	first := pod("first", registry+"@"+imageX, registry+"@"+imageX, corev1.PodRunning)
	client.create(t, namespace("drones"))
	client.create(t, first)
	eventually(t, "the pod is recorded", func() bool { return len(tr.records()) == 1 })
	client.delete(t, first)
	eventually(t, "its end is recorded", func() bool { return len(tr.records()) == 2 })
	client.delete(t, namespace("drones"))
	eventually(t, "nobody looks there any more", func() bool {
		p.health.mu.Lock()
		defer p.health.mu.Unlock()
		return len(p.health.parts) == 1
	})
}

func TestPodImages(t *testing.T) {
	tests := []struct {
		name string
		pod  *corev1.Pod
		want []string
		ran  bool
	}{
		{"by digest", pod("a", registry+"@"+imageX, registry+"@"+imageX, "Running"), []string{imageX}, true},
		{"by tag", pod("a", registry+":v1", registry+"@"+imageX, "Running"), []string{imageX}, true},
		{"through an index", pod("a", registry+"@"+imageX, registry+"@"+imageZ, "Running"), []string{imageZ, imageX}, true},
		{"the id of a configuration", pod("a", registry+":v1", imageX, "Running"), nil, true},
		{"asked by digest, told by configuration", pod("a", registry+"@"+imageX, imageZ, "Running"), []string{imageX}, true},
		{"docker's form", pod("a", registry+":v1", "docker-pullable://"+registry+"@"+imageX, "Running"), []string{imageX}, true},
		{"not pulled yet", pod("a", registry+"@"+imageX, "", "Pending"), nil, false},
		{"pulled and not started", pod("a", registry+"@"+imageX, registry+"@"+imageX, "Pending"), nil, false},
		{"ended before it was pulled", pod("a", registry+"@"+imageX, "", "Failed"), nil, false},
		{"no digest at all", pod("a", registry+"@"+imageY, registry+"@"+imageY, "Running"), nil, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, ran := podImages(tt.pod)
			if diff := cmp.Diff(tt.want, got); diff != "" || ran != tt.ran {
				t.Errorf("ran %v, images (-want +got):\n%s", ran, diff)
			}
		})
	}
}

func TestIncidents(t *testing.T) {
	crashing := func(restarts int32, finished int) *corev1.Pod {
		p := pod("bad", registry+"@"+imageX, registry+"@"+imageX, corev1.PodRunning)
		p.Status.ContainerStatuses[0].RestartCount = restarts
		p.Status.ContainerStatuses[0].State.Waiting = &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff", Message: fmt.Sprintf("back-off %ds", restarts*10)}
		p.Status.ContainerStatuses[0].LastTerminationState.Terminated = &corev1.ContainerStateTerminated{ExitCode: 137, Reason: "OOMKilled", FinishedAt: *at(finished)}
		return p
	}
	tr := newTrace(t)
	client := newCluster(namespace("drones"), crashing(3, 4))
	p := newPods(tr, client)
	stop := runs(t, p.Run)
	eventually(t, "they are recorded", func() bool { return len(tr.records()) == 3 })
	for n := range 20 {
		client.update(t, crashing(int32(4+n), 5+n))
	}
	listedTwice(t, client)
	stop()
	stop = runs(t, newPods(tr, client).Run)
	listedTwice(t, client)
	stop()
	want := []string{
		"deployment running Pod/bad on druppie-control-plane algorithm:alg-abcd1234 image:2d711642 namespace:drones pod:drones/bad",
		"incident  Pod/bad container app: CrashLoopBackOff: it ended with exit code 137 (OOMKilled)",
		"incident  Pod/bad container app: OOMKilled: it ended with exit code 137 (OOMKilled)",
	}
	if diff := cmp.Diff(want, tr.lines(podLine(t))); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
}

// owns is an entry of managedFields.
func owns(manager string, op metav1.ManagedFieldsOperationType, subresource string, minute int, fields string) metav1.ManagedFieldsEntry {
	return metav1.ManagedFieldsEntry{
		Manager: manager, Operation: op, APIVersion: "apps/v1", Time: at(minute), Subresource: subresource,
		FieldsType: "FieldsV1", FieldsV1: &metav1.FieldsV1{Raw: []byte(fields)},
	}
}

const (
	imageField    = `{"f:spec":{"f:template":{"f:spec":{"f:containers":{"k:{\"name\":\"app\"}":{"f:image":{}}}}}}}`
	replicasField = `{"f:spec":{"f:replicas":{}}}`
	statusField   = `{"f:status":{"f:replicas":{}}}`
)

func deployment(entries ...metav1.ManagedFieldsEntry) *appsv1.Deployment {
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "drones", Name: "web", UID: "uid-web", CreationTimestamp: *at(0), ManagedFields: entries}}
	d.Spec.Template.Labels = map[string]string{"druppie.io/algorithm-id": "alg-abcd1234"}
	d.Spec.Template.Spec.Containers = []corev1.Container{{
		Name: "app", Image: registry + "@" + imageX, Env: []corev1.EnvVar{{Name: "TOKEN", Value: "very-secret"}},
	}}
	return d
}

func workloadOf(d *appsv1.Deployment) *workload {
	w := &workload{TypeMeta: metav1.TypeMeta{Kind: "Deployment"}, ObjectMeta: d.ObjectMeta}
	w.Spec.Template = d.Spec.Template
	return w
}

var (
	byFlux       = owns("kustomize-controller", metav1.ManagedFieldsOperationApply, "", 0, imageField)
	byKubernetes = owns("kube-controller-manager", metav1.ManagedFieldsOperationUpdate, "status", 1, statusField)
	byAnnotator  = owns("kube-controller-manager", metav1.ManagedFieldsOperationUpdate, "", 1, `{"f:metadata":{"f:annotations":{"f:deployment.kubernetes.io/revision":{}}}}`)
	byHand       = owns("kubectl-edit", metav1.ManagedFieldsOperationUpdate, "", 7, imageField)
	byScale      = owns("kubectl", metav1.ManagedFieldsOperationUpdate, "scale", 8, replicasField)
)

func TestDrift(t *testing.T) {
	alone := deployment(owns("kubectl-create", metav1.ManagedFieldsOperationUpdate, "", 2, replicasField))
	const edited = "drift failed Deployment/web by kubectl-edit: as in Git / changed: spec.template.spec.containers[name=\"app\"].image"
	tests := []struct {
		name  string
		steps []*appsv1.Deployment
		want  []string
	}{
		{"as in Git", []*appsv1.Deployment{deployment(byFlux, byKubernetes, byAnnotator)}, nil},
		{"others tell how it goes", []*appsv1.Deployment{deployment(byFlux, owns("progress-teller", metav1.ManagedFieldsOperationUpdate, "status", 3, statusField))}, nil},
		{"edited, and taken back", []*appsv1.Deployment{
			deployment(byFlux, byKubernetes),
			deployment(byFlux, byKubernetes, byHand),
			deployment(owns("kustomize-controller", metav1.ManagedFieldsOperationApply, "", 9, imageField), byKubernetes),
		}, []string{edited, strings.Replace(edited, "failed", "undone", 1)}},
		{"edited twice", []*appsv1.Deployment{
			deployment(byFlux, byHand),
			deployment(byFlux, owns("kubectl-edit", metav1.ManagedFieldsOperationUpdate, "", 12, imageField)),
		}, []string{edited, edited, strings.Replace(edited, "failed", "undone", 1)}},
		{"scaled by hand", []*appsv1.Deployment{deployment(byFlux, byScale)}, []string{"drift failed Deployment/web by kubectl: as in Git / changed: spec.replicas"}},
		{"not in Git", []*appsv1.Deployment{alone}, []string{"drift failed Deployment/web by kubectl-create: not there: no file in Git has it / there"}},
	}
	for _, tt := range tests {
		for _, restart := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, restart %v", tt.name, restart), func(t *testing.T) {
				tr := newTrace(t)
				client := newCluster(namespace("drones"))
				p := newPods(tr, client)
				d := p.workloads("deployments", "drones")
				for _, step := range tt.steps {
					if restart {
						d = newPods(tr, client).workloads("deployments", "drones")
					}
					w := workloadOf(step)
					if err := d.replace(t.Context(), []*workload{w}); err != nil {
						t.Fatal(err)
					}
					if err := d.handle(t.Context(), "MODIFIED", w); err != nil {
						t.Fatal(err)
					}
				}
				got := tr.lines(podLine(t))
				if diff := cmp.Diff(slices.Sorted(slices.Values(tt.want)), slices.Sorted(slices.Values(got))); diff != "" {
					t.Errorf("records (-want +got):\n%s", diff)
				}
				for _, r := range tr.records() {
					if bytes.Contains(r.Payload, []byte("very-secret")) {
						t.Error("a value came along")
					}
					if r.Outcome == tracedb.Undone && r.Actor != "kustomize-controller" {
						t.Errorf("undone by %s", r.Actor)
					}
				}
			})
		}
	}
}
