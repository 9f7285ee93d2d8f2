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

// LogOptions choose which lines of a container's log to read.
type LogOptions struct {
	Previous bool  // of the run before the present one
	Tail     int64 // only so many last lines; 0 is all
}

// Logs returns the log of a container; an empty name is the pod's only one.
func (c *Client) Logs(ctx context.Context, namespace, pod, container string, opt LogOptions) (string, error) {
	o := &corev1.PodLogOptions{Container: container, Previous: opt.Previous}
	if opt.Tail > 0 {
		o.TailLines = &opt.Tail
	}
	data, err := c.Clientset.CoreV1().Pods(namespace).GetLogs(pod, o).DoRaw(ctx)
	if err != nil {
		return "", fmt.Errorf("log of %s/%s: %w", namespace, pod, err)
	}
	return string(data), nil
}

func lastLine(s string) string {
	s = strings.TrimSpace(s)
	if i := strings.LastIndexByte(s, '\n'); i >= 0 {
		s = s[i+1:]
	}
	const most = 300
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return strings.TrimSpace(s)
}
