package platform

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/remotecommand"
)

// As is the platform as a service account, NAMESPACE/NAME, may see and change it through the Kubernetes API.
func (p *Platform) As(account string) (*Platform, error) {
	namespace, name, ok := strings.Cut(account, "/")
	if !ok {
		return nil, fmt.Errorf("%q isn't NAMESPACE/SERVICEACCOUNT", account)
	}
	config := rest.CopyConfig(p.config)
	config.Impersonate = rest.ImpersonationConfig{
		UserName: "system:serviceaccount:" + namespace + ":" + name,
		Groups:   []string{"system:serviceaccounts", "system:serviceaccounts:" + namespace, "system:authenticated"},
	}
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("kubernetes client: %w", err)
	}
	as := *p
	as.Dynamic = client
	return &as, nil
}

// Exec runs a command in a container that runs, with a text as its input, and returns what it wrote to standard
// output. An error tells what it wrote to standard error.
func (p *Platform) Exec(ctx context.Context, namespace, pod, container string, command []string, input string) (string, error) {
	req := p.Kube.CoreV1().RESTClient().Post().Resource("pods").Namespace(namespace).Name(pod).SubResource("exec").
		VersionedParams(&corev1.PodExecOptions{Container: container, Command: command, Stdin: true, Stdout: true, Stderr: true}, scheme.ParameterCodec)
	exec, err := remotecommand.NewSPDYExecutor(p.config, "POST", req.URL())
	if err != nil {
		return "", fmt.Errorf("exec in pod %s/%s: %w", namespace, pod, err)
	}
	var stdout, stderr bytes.Buffer
	err = exec.StreamWithContext(ctx, remotecommand.StreamOptions{Stdin: strings.NewReader(input), Stdout: &stdout, Stderr: &stderr})
	if err != nil {
		err = fmt.Errorf("exec in pod %s/%s: %w: %s", namespace, pod, err, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), err
}
