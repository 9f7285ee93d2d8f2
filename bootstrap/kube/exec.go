package kube

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/remotecommand"

	"github.com/druppie/druppie-up/internal/command"
)

// Exec runs a command in a container and returns what it wrote to stdout. What
// it wrote to stderr becomes part of the error when it fails.
func (c *Client) Exec(ctx context.Context, namespace, pod, container string, cmd []string, stdin io.Reader) (string, error) {
	req := c.Clientset.CoreV1().RESTClient().Post().
		Resource("pods").Namespace(namespace).Name(pod).SubResource("exec").
		VersionedParams(&corev1.PodExecOptions{
			Container: container,
			Command:   cmd,
			Stdin:     stdin != nil,
			Stdout:    true,
			Stderr:    true,
		}, scheme.ParameterCodec)
	// A stream lives longer than one request may.
	cfg := *c.RESTConfig
	cfg.Timeout = 0
	exec, err := remotecommand.NewWebSocketExecutor(&cfg, "GET", req.URL().String())
	if err != nil {
		return "", fmt.Errorf("exec in %s/%s: %w", namespace, pod, err)
	}
	var stdout, stderr bytes.Buffer
	err = exec.StreamWithContext(ctx, remotecommand.StreamOptions{Stdin: stdin, Stdout: &stdout, Stderr: &stderr})
	if err != nil {
		if msg := strings.TrimSpace(stderr.String()); msg != "" {
			return stdout.String(), fmt.Errorf("exec in %s/%s: %s: %w", namespace, pod, lastLine(msg), err)
		}
		return stdout.String(), fmt.Errorf("exec in %s/%s: %w", namespace, pod, err)
	}
	return stdout.String(), nil
}

// lastLogLine is the last line that a container wrote, in the run before the
// present one if previous is set; empty if it can't be read.
func (c *Client) lastLogLine(ctx context.Context, pod *corev1.Pod, container string, previous bool) string {
	if c.Clientset == nil {
		return ""
	}
	tail := int64(5)
	opt := &corev1.PodLogOptions{Container: container, Previous: previous, TailLines: &tail}
	log, err := c.Clientset.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, opt).DoRaw(ctx)
	if err != nil {
		return ""
	}
	return lastLine(string(log))
}

func lastLine(s string) string {
	const most = 300
	s = command.LastLines(s, 1)
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
