package collect

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/druppie/druppie-up/tracedb"
)

// two is a pod of two containers, of which the second waits for its image.
func two(state corev1.ContainerState, change func(*corev1.Pod)) *corev1.Pod {
	p := pod("two", registry+"@"+imageX, registry+"@"+imageX, corev1.PodPending)
	p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: "b", Image: registry + "@" + imageZ})
	p.Status.ContainerStatuses[0].State = state
	p.Status.ContainerStatuses = append(p.Status.ContainerStatuses, corev1.ContainerStatus{
		Name: "b", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff"}},
	})
	return with(p, change)
}

func with(p *corev1.Pod, change func(*corev1.Pod)) *corev1.Pod {
	change(p)
	return p
}

// What is said of a pod as it comes and goes: it ran once anything in it ran, and is gone once nothing
// in it will run again.
func TestRunning(t *testing.T) {
	const (
		one  = "running Pod/one at 12:01 (Running) image:2d711642"
		both = "running Pod/two at 12:01 (Running) image:00000000 image:2d711642"
	)
	only := func(phase corev1.PodPhase) *corev1.Pod {
		return pod("one", registry+"@"+imageX, registry+"@"+imageX, phase)
	}
	runs, waits := stateIn(corev1.PodRunning), stateIn(corev1.PodPending)
	same := func(*corev1.Pod) {}
	deleted := func(p *corev1.Pod) { p.DeletionTimestamp = at(9) }
	tests := []struct {
		name  string
		steps []*corev1.Pod // the last is deleted
		want  []string
	}{
		{"one container runs, the other's image can't be had", []*corev1.Pod{two(runs, same), two(runs, same)}, []string{
			"running Pod/two at 12:01 (Running) image:2d711642", "gone Pod/two at now (Gone: Pending) image:2d711642",
		}},
		{"the other follows", []*corev1.Pod{two(runs, same), two(runs, func(p *corev1.Pod) {
			p.Status.Phase = corev1.PodRunning
			p.Status.ContainerStatuses[1].ImageID, p.Status.ContainerStatuses[1].State = registry+"@"+imageZ, runs
		})}, []string{"running Pod/two at 12:01 (Running) image:2d711642", both, "gone Pod/two at now (Gone: Running) image:00000000 image:2d711642"}},
		{"it ran before, and waits", []*corev1.Pod{two(waits, func(p *corev1.Pod) {
			p.Status.ContainerStatuses[0].LastTerminationState = stateIn(corev1.PodFailed)
		})}, []string{"running Pod/two at 12:01 (Running) image:2d711642", "gone Pod/two at now (Gone: Pending) image:2d711642"}},
		{"its init container runs", []*corev1.Pod{two(waits, func(p *corev1.Pod) {
			p.Spec.InitContainers = []corev1.Container{{Name: "init", Image: registry + "@" + imageZ}}
			p.Status.InitContainerStatuses = []corev1.ContainerStatus{{Name: "init", ImageID: registry + "@" + imageZ, State: runs}}
		})}, []string{"running Pod/two at 12:01 (Running) image:00000000", "gone Pod/two at now (Gone: Pending) image:00000000"}},
		{"a debug container runs", []*corev1.Pod{two(waits, func(p *corev1.Pod) {
			p.Status.EphemeralContainerStatuses = []corev1.ContainerStatus{{Name: "debug", ImageID: registry + "@" + imageZ, State: runs}}
		})}, []string{"running Pod/two at 12:01 (Running) image:00000000", "gone Pod/two at now (Gone: Pending) image:00000000"}},
		{"nothing ever ran", []*corev1.Pod{two(waits, same), two(waits, func(p *corev1.Pod) {
			p.Status.Phase = corev1.PodFailed
			p.Status.ContainerStatuses[1].State = stateIn(corev1.PodFailed)
		})}, nil},
		{"its images have no digest", []*corev1.Pod{pod("one", registry+":v1", imageX, corev1.PodRunning)},
			[]string{"running Pod/one at 12:01 (Running)", "gone Pod/one at now (Gone: Running)"}},
		{"a job is done", []*corev1.Pod{only(corev1.PodRunning), only(corev1.PodSucceeded), only(corev1.PodSucceeded)},
			[]string{one, "gone Pod/one at 12:03 (Succeeded) image:2d711642"}},
		{"a job was done before anybody looked", []*corev1.Pod{only(corev1.PodSucceeded)},
			[]string{one, "gone Pod/one at 12:03 (Succeeded) image:2d711642"}},
		{"evicted", []*corev1.Pod{only(corev1.PodRunning), with(only(corev1.PodFailed), func(p *corev1.Pod) {
			p.Status.Reason, p.Status.Message = "Evicted", "The node was low on resource: memory."
		})}, []string{one, "gone Pod/one at 12:03 (Evicted: The node was low on resource: memory.) image:2d711642"}},
		{"finished, and its images are told otherwise later", []*corev1.Pod{only(corev1.PodSucceeded), pod("one", registry+"@"+imageX, registry+"@"+imageZ, corev1.PodSucceeded)},
			[]string{one, "gone Pod/one at 12:03 (Succeeded) image:2d711642"}},
		{"told to go", []*corev1.Pod{only(corev1.PodRunning), with(only(corev1.PodFailed), deleted)},
			[]string{one, "gone Pod/one at 12:03 (Gone: Failed) image:2d711642"}},
		{"taken away", []*corev1.Pod{with(only(corev1.PodRunning), deleted)},
			[]string{one, "gone Pod/one at 12:09 (Gone: Running) image:2d711642"}},
	}
	for _, tt := range tests {
		for _, restart := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, restart %v", tt.name, restart), func(t *testing.T) {
				tr := newTrace(t)
				begin := func() *reflector[corev1.Pod] {
					return (&tenantPods{Pods: newPods(tr, newCluster()), namespace: "drones"}).reflector()
				}
				r := begin()
				for i, step := range tt.steps {
					if restart {
						r = begin()
					}
					if err := r.replace(t.Context(), []*corev1.Pod{step}); err != nil {
						t.Fatal(err)
					}
					what := watch.Modified
					if i == len(tt.steps)-1 {
						what = watch.Deleted
					}
					if err := r.handle(t.Context(), what, step); err != nil {
						t.Fatal(err)
					}
				}
				if err := r.replace(t.Context(), nil); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(tt.want, tr.pods()); diff != "" {
					t.Errorf("records (-want +got):\n%s", diff)
				}
			})
		}
	}
}

// pods are the records of pods, with when and why.
func (tr *trace) pods() []string {
	tr.t.Helper()
	var out []string
	for _, r := range tr.records() {
		d := payload[tracedb.Deployment](tr.t, r.Payload)
		when := r.At.Format("15:04")
		if r.At.Equal(later) {
			when = "now"
		}
		why := d.Reason
		if d.Message != "" {
			why += ": " + d.Message
		}
		line := fmt.Sprintf("%s %s at %s (%s)", r.Outcome, d.Object, when, why)
		for _, image := range r.Refs {
			if image.Type == tracedb.RefImage {
				line += " " + refTexts([]tracedb.Ref{image})
			}
		}
		out = append(out, line)
	}
	return out
}

// A namespace is no tenant's any more, while the service looks or while it doesn't; then it is again.
func TestLostSightOf(t *testing.T) {
	unlabelled := namespace("drones")
	unlabelled.Labels = nil
	for _, down := range []bool{false, true} {
		t.Run(fmt.Sprintf("down %v", down), func(t *testing.T) {
			tr := newTrace(t)
			client := newCluster(namespace("drones"), namespace("other"), pod("first", registry+"@"+imageX, registry+"@"+imageX, corev1.PodRunning))
			stop := func() {}
			start := func() { stop = runs(t, newPods(tr, client).Run) }
			label := func(n *corev1.Namespace) {
				t.Helper()
				if down {
					stop()
				}
				client.update(t, n)
				if down {
					start()
				}
			}
			start()
			eventually(t, "the pod is recorded", func() bool { return len(tr.records()) == 1 })
			label(unlabelled)
			eventually(t, "it is lost sight of", func() bool { return len(tr.records()) == 2 })
			label(namespace("drones"))
			eventually(t, "it is seen again", func() bool { return len(tr.records()) == 3 })
			listedTwice(t, client)
			client.delete(t, pod("first", "", "", ""))
			eventually(t, "its end is recorded", func() bool { return len(tr.records()) == 4 })
			stop()
			start() // and again
			listedTwice(t, client)
			stop()
			got := tr.lines(func(r tracedb.Record) string { return payload[tracedb.Deployment](t, r.Payload).Reason })
			want := []string{"deployment running Running", "deployment gone Unwatched", "deployment running Running", "deployment gone Gone"}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("records (-want +got):\n%s", diff)
			}
		})
	}
}
