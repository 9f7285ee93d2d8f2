package scenarios

import (
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"

	"github.com/druppie/druppie-up/internal/command"
	"github.com/druppie/druppie-up/internal/names"
	"github.com/druppie/druppie-up/internal/tekton"
	"github.com/druppie/druppie-up/scenarios/platform"
)

const (
	// restartTimeout is how long a node that starts again may take until all that runs there is ready.
	restartTimeout = 6 * time.Minute
	// cutOffTimeout is how long a run that was cut off may take to fail: a pod that is gone may be seen to be only
	// when its task's time is up.
	cutOffTimeout = 15 * time.Minute
	// againTimeout is how long it may take then until another one begins.
	againTimeout = 2 * time.Minute
)

// runRestart restarts a node, which for kind is a container on this machine, and waits until what is to run there
// does again.
func runRestart(c *call, p *platform.Platform) error {
	node, err := p.Kube.CoreV1().Nodes().Get(c.ctx, c.args[0], metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("node %s: %w", c.args[0], err)
	}
	if !strings.HasPrefix(node.Spec.ProviderID, "kind://docker/") {
		return fmt.Errorf("node %s is no container of kind's in docker: its provider is %q", node.Name, node.Spec.ProviderID)
	}
	began := time.Now().Truncate(time.Second) // as the kubelet tells times
	if _, err := command.Output(c.ctx, "docker", "restart", node.Name); err != nil {
		return fmt.Errorf("restart node %s: %w", node.Name, err)
	}
	here := metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector("spec.nodeName", node.Name).String()}
	return c.wait(restartTimeout, func() (bool, string, error) {
		pods, err := p.Kube.CoreV1().Pods(metav1.NamespaceAll).List(c.ctx, here)
		if err != nil {
			return false, "for the API server to answer: " + err.Error(), nil
		}
		for _, pod := range pods.Items {
			if !restarted(pod, began) {
				return false, fmt.Sprintf("for pod %s in %s to be ready again", pod.Name, pod.Namespace), nil
			}
		}
		return len(pods.Items) > 0, "for the pods of node " + node.Name, nil
	})
}

// restarted says whether a pod that is to run always is ready, in containers that began after that time. One that is
// over has another in its place.
func restarted(pod corev1.Pod, after time.Time) bool {
	over := pod.Status.Phase == corev1.PodFailed || pod.Status.Phase == corev1.PodSucceeded || pod.DeletionTimestamp != nil
	if over || pod.Spec.RestartPolicy != corev1.RestartPolicyAlways {
		return true
	}
	for _, s := range pod.Status.ContainerStatuses {
		if !s.Ready || s.State.Running == nil || s.State.Running.StartedAt.Time.Before(after) {
			return false
		}
	}
	return len(pod.Status.ContainerStatuses) > 0
}

// awaitTask waits until the pod of a task runs, and sets NODE to where.
func awaitTask(c *call, p *platform.Platform) error {
	repo, commit, task := c.args[1], c.args[2], c.args[3]
	return c.wait(runTimeout, func() (bool, string, error) {
		tasks, err := tekton.List(c.ctx, p.Dynamic, tekton.TaskRuns, names.NamespaceFoundry, map[string]string{
			names.LabelRepository: repo, names.LabelCommit: commit, tekton.LabelPipelineTask: task,
		})
		waiting := fmt.Sprintf("for task %s of commit %s to run", task, commit)
		if err != nil || len(tasks) == 0 || tasks[0].Status.PodName == "" {
			return false, waiting, err
		}
		if tasks[0].Done() {
			return false, "", fmt.Errorf("task %s of commit %s has ended already: %s", task, commit, message(tasks[0]))
		}
		pod, err := p.Kube.CoreV1().Pods(names.NamespaceFoundry).Get(c.ctx, tasks[0].Status.PodName, metav1.GetOptions{})
		if err != nil {
			return false, "", fmt.Errorf("pod of task %s: %w", task, err)
		}
		c.ts.Setenv("NODE", pod.Spec.NodeName)
		return pod.Status.Phase == corev1.PodRunning, waiting, nil
	})
}

// awaitAgain waits until a run of a commit has begun after another one was cut off.
func awaitAgain(c *call, p *platform.Platform) error {
	var failed time.Time
	return c.wait(cutOffTimeout, func() (bool, string, error) {
		runs, err := runsOf(c, p, c.args[1], c.args[2])
		switch {
		case err != nil:
			return false, "for the API server to answer: " + err.Error(), nil
		case len(runs) == 0:
			return false, "", fmt.Errorf("there is no run of commit %s", c.args[2])
		case len(runs) > 1:
			return true, "", nil
		case !runs[0].Is(metav1.ConditionFalse):
			return false, "for run " + runs[0].Name + " to fail: " + message(runs[0]), nil
		case failed.IsZero():
			failed = time.Now()
		case time.Since(failed) > againTimeout:
			return false, "", fmt.Errorf("no other run began within %s after %s had failed: %s", againTimeout, runs[0].Name, message(runs[0]))
		}
		return false, "for another run after " + runs[0].Name + ", which failed: " + message(runs[0]), nil
	})
}
