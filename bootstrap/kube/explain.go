package kube

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Cause is why something isn't ready.
type Cause struct {
	Object  string // Kind/namespace/name
	Reason  string // one word, as Kubernetes has it
	Message string // a sentence
	Hint    string // what to do, if there is something
	Broken  bool   // looks broken, though it may recover
	Final   bool   // can't recover
}

func (c Cause) String() string {
	if c.Message == "" {
		return c.Object + ": " + c.Reason
	}
	return c.Object + ": " + c.Message
}

// crashes is how many restarts of a container count as broken: parts that need
// each other often fall over once or twice while all start together.
const crashes = 3

// Explain says why pods of a namespace aren't ready, a line each; the empty
// string when all are.
func (c *Client) Explain(ctx context.Context, namespace string) string {
	var pods corev1.PodList
	if err := c.List(ctx, &pods, client.InNamespace(namespace)); err != nil {
		return fmt.Sprintf("pods of %s can't be listed: %v", namespace, err)
	}
	var lines []string
	for _, pod := range pods.Items {
		if cause, ok := c.causeInPod(ctx, &pod); ok {
			lines = append(lines, cause.String())
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// causeOf looks for why an object isn't ready: in its pods, or, if there are
// none, in what kept them from being made. It returns known if it finds nothing.
func (c *Client) causeOf(ctx context.Context, o *unstructured.Unstructured, known Cause) Cause {
	if cause, ok := c.causeInPods(ctx, o); ok {
		cause.Object = known.Object
		return cause
	}
	for _, cond := range conditions(o) {
		if cond.Type == "ReplicaFailure" && cond.Status == corev1.ConditionTrue {
			return Cause{Object: known.Object, Reason: "FailedCreate", Message: "its pods can't be made: " + cond.Message, Broken: true}
		}
	}
	switch o.GetKind() {
	case "StatefulSet", "DaemonSet", "Job", "PersistentVolumeClaim":
		if ev := c.lastWarning(ctx, o.GetKind(), o.GetNamespace(), o.GetName()); ev != "" {
			return Cause{Object: known.Object, Reason: "Warning", Message: ev, Broken: true}
		}
	}
	return known
}

// causeInPods looks for the worst cause among the pods that an object selects.
func (c *Client) causeInPods(ctx context.Context, o *unstructured.Unstructured) (Cause, bool) {
	var worst Cause
	var found bool
	for _, pod := range c.podsOf(ctx, o) {
		cause, ok := c.causeInPod(ctx, &pod)
		if ok && (!found || cause.Final && !worst.Final || cause.Broken && !worst.Broken) {
			worst, found = cause, true
		}
	}
	return worst, found
}

func (c *Client) podsOf(ctx context.Context, o *unstructured.Unstructured) []corev1.Pod {
	switch o.GetKind() {
	case "Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job":
	case "Pod":
		var pod corev1.Pod
		if err := c.Get(ctx, client.ObjectKeyFromObject(o), &pod); err != nil {
			return nil
		}
		return []corev1.Pod{pod}
	default:
		return nil
	}
	raw, ok, _ := unstructured.NestedMap(o.Object, "spec", "selector")
	var labels metav1.LabelSelector
	if !ok || runtime.DefaultUnstructuredConverter.FromUnstructured(raw, &labels) != nil {
		return nil
	}
	selector, err := metav1.LabelSelectorAsSelector(&labels)
	if err != nil || selector.Empty() {
		return nil
	}
	var list corev1.PodList
	if err := c.List(ctx, &list, client.InNamespace(o.GetNamespace()), client.MatchingLabelsSelector{Selector: selector}); err != nil {
		return nil
	}
	return list.Items
}

func (c *Client) causeInPod(ctx context.Context, pod *corev1.Pod) (Cause, bool) {
	cause := Cause{Object: "Pod/" + pod.Namespace + "/" + pod.Name}
	if pod.DeletionTimestamp != nil || pod.Status.Phase == corev1.PodSucceeded || podReady(pod) {
		return cause, false
	}
	if pod.Spec.NodeName == "" {
		return unscheduled(cause, pod), true
	}
	statuses := slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses)
	for _, st := range statuses {
		if st.Ready || (st.State.Terminated != nil && st.State.Terminated.ExitCode == 0) {
			continue
		}
		if got, ok := c.causeInContainer(ctx, cause, pod, st); ok {
			return got, true
		}
	}
	if ev := c.lastWarning(ctx, "Pod", pod.Namespace, pod.Name); ev != "" {
		cause.Reason, cause.Message = "Warning", ev
		return cause, true
	}
	cause.Reason, cause.Message = "Starting", "is starting"
	for _, st := range statuses {
		if st.State.Running != nil && !st.Ready {
			cause.Message = fmt.Sprintf("container %s runs but isn't ready", st.Name)
		}
	}
	return cause, true
}

func unscheduled(cause Cause, pod *corev1.Pod) Cause {
	cause.Reason, cause.Message = "Pending", "waits for a node"
	for _, cond := range pod.Status.Conditions {
		if cond.Type != corev1.PodScheduled || cond.Status != corev1.ConditionFalse {
			continue
		}
		cause.Reason = cond.Reason
		// What follows is about preemption and claims, which nobody asked for.
		why, _, _ := strings.Cut(cond.Message, ". ")
		cause.Message = "no node takes the pod: " + why
		// A node that isn't ready yet, or still being joined, may take it later.
		cause.Broken = cond.Reason == corev1.PodReasonUnschedulable && !strings.Contains(cond.Message, "not-ready")
		cause.Hint = "free memory or CPU on this machine, or lower what the pod asks for; `kubectl describe node` shows what is in use"
		if strings.Contains(cond.Message, "taint") {
			cause.Hint = "the pod lacks the toleration that the node asks for"
		}
	}
	return cause
}

func (c *Client) causeInContainer(ctx context.Context, cause Cause, pod *corev1.Pod, st corev1.ContainerStatus) (Cause, bool) {
	if w := st.State.Waiting; w != nil {
		cause.Reason = w.Reason
		switch w.Reason {
		case "ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError":
			// The two alternate while the kubelet tries again: one reason, or
			// the time in it would start afresh each time.
			if w.Reason == "ErrImagePull" {
				cause.Reason = "ImagePullBackOff"
			}
			event := c.newestEvent(ctx, "Pod", pod.Namespace, pod.Name, func(e corev1.Event) bool {
				return e.Reason == "Failed" && strings.Contains(e.Message, st.Image)
			})
			cause.Message = fmt.Sprintf("image %s of container %s can't be pulled: %s", st.Image, st.Name, innermostReason(cmp.Or(event, w.Message)))
			cause.Hint = "`druppie-up supply verify` checks the store that the cluster pulls from; `druppie-up supply fill` completes it"
			cause.Broken = true
			cause.Final = w.Reason == "InvalidImageName"
			return cause, true
		case "CrashLoopBackOff":
			return c.crash(ctx, cause, pod, st, true), true
		case "CreateContainerConfigError", "CreateContainerError", "RunContainerError":
			cause.Message = fmt.Sprintf("container %s can't start: %s", st.Name, w.Message)
			cause.Broken = true
			return cause, true
		}
		return cause, false
	}
	if t := st.State.Terminated; t != nil && t.ExitCode != 0 {
		return c.crash(ctx, cause, pod, st, false), true
	}
	return cause, false
}

func (c *Client) crash(ctx context.Context, cause Cause, pod *corev1.Pod, st corev1.ContainerStatus, previous bool) Cause {
	cause.Reason = "CrashLoopBackOff"
	cause.Message = fmt.Sprintf("container %s failed, restarted %d times", st.Name, st.RestartCount)
	t := st.LastTerminationState.Terminated
	if !previous {
		t = st.State.Terminated
	}
	if t != nil {
		cause.Message += fmt.Sprintf(", exit code %d", t.ExitCode)
		if t.Reason == "OOMKilled" {
			cause.Message += " (out of memory)"
			cause.Hint = fmt.Sprintf("container %s needs more memory than its limit, or the machine has none left", st.Name)
		}
	}
	if line := c.lastLogLine(ctx, pod, st.Name, previous); line != "" {
		cause.Message += "; last line: " + line
	}
	if cause.Hint == "" {
		cause.Hint = fmt.Sprintf("see `kubectl -n %s logs %s -c %s --previous`", pod.Namespace, pod.Name, st.Name)
	}
	cause.Broken = st.RestartCount >= crashes
	return cause
}

// lastLogOf returns the last line any pod of a workload wrote.
func (c *Client) lastLogOf(ctx context.Context, o *unstructured.Unstructured) string {
	for _, pod := range c.podsOf(ctx, o) {
		for _, container := range pod.Spec.Containers {
			if line := c.lastLogLine(ctx, &pod, container.Name, false); line != "" {
				return line
			}
		}
	}
	return ""
}

func (c *Client) lastWarning(ctx context.Context, kind, namespace, name string) string {
	return c.newestEvent(ctx, kind, namespace, name, func(e corev1.Event) bool {
		// What was wrong a while ago may long be right.
		old := !e.LastTimestamp.IsZero() && time.Since(e.LastTimestamp.Time) > 2*time.Minute
		return e.Type == corev1.EventTypeWarning && !old
	})
}

// newestEvent is the message of the newest event about an object for which want
// holds; empty if there is none.
func (c *Client) newestEvent(ctx context.Context, kind, namespace, name string, want func(corev1.Event) bool) string {
	if namespace == "" {
		return ""
	}
	var list corev1.EventList
	if err := c.List(ctx, &list, client.InNamespace(namespace)); err != nil {
		return ""
	}
	var newest corev1.Event
	for _, e := range list.Items {
		if e.InvolvedObject.Kind == kind && e.InvolvedObject.Name == name && want(e) &&
			(newest.Name == "" || newest.LastTimestamp.Before(&e.LastTimestamp)) {
			newest = e
		}
	}
	return strings.TrimSpace(newest.Message)
}

// innermostReason takes the innermost reason out of a chain of errors that names the image
// four times.
func innermostReason(msg string) string {
	if i := strings.LastIndex(msg, `": `); i >= 0 {
		return msg[i+len(`": `):]
	}
	return msg
}

func podReady(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}
