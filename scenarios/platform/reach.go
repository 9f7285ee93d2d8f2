package platform

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"

	"github.com/druppie/druppie-up/internal/httpclient"
	"github.com/druppie/druppie-up/internal/names"
)

// frontDoorHost is where Gitea is on this machine.
const frontDoorHost = "gitea." + names.Domain

// connect makes the client that reaches Gitea and the registry by their names,
// and nothing else. Names of the cluster mean nothing on this machine, and
// resolvers needn't know *.localhost, so it dials by itself.
func (p *Platform) connect(ca []byte) (err error) {
	p.client, err = httpclient.New(httpclient.Options{CA: ca, Dial: p.dial, Timeout: 2 * time.Minute})
	return err
}

func (p *Platform) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	var d net.Dialer
	switch {
	case p.port != 0 && addr == net.JoinHostPort(frontDoorHost, strconv.Itoa(p.port)):
		return d.DialContext(ctx, network, net.JoinHostPort("127.0.0.1", strconv.Itoa(p.port)))
	case addr == names.GiteaHost:
		return p.dialService(ctx, names.NamespaceGitea, "gitea", 3000)
	case addr == names.RegistryHost:
		return p.dialService(ctx, names.NamespaceFoundry, "registry", 5000)
	}
	return nil, fmt.Errorf("%s is not a part of the platform that scenarios reach", addr)
}

// dialService connects to a pod of a Service through the Kubernetes API. A
// forward whose pod is gone is replaced once.
func (p *Platform) dialService(ctx context.Context, namespace, service string, port int32) (net.Conn, error) {
	var d net.Dialer
	key := namespace + "/" + service
	for again := false; ; again = true {
		f, err := p.forward(ctx, key, namespace, service, port, again)
		if err != nil {
			return nil, fmt.Errorf("reach service %s: %w", key, err)
		}
		conn, err := d.DialContext(ctx, "tcp", f.addr)
		if err == nil || again {
			return conn, err
		}
	}
}

type forward struct {
	addr  string
	close chan struct{}
	ended chan struct{}
}

func (f *forward) stop() {
	select {
	case <-f.close:
	default:
		close(f.close)
	}
}

func (f *forward) alive() bool {
	select {
	case <-f.ended:
		return false
	default:
		return true
	}
}

func (p *Platform) forward(ctx context.Context, key, namespace, service string, port int32, renew bool) (*forward, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if f := p.forwards[key]; f != nil {
		if !renew && f.alive() {
			return f, nil
		}
		f.stop()
		delete(p.forwards, key)
	}
	pod, target, err := p.backend(ctx, namespace, service, port)
	if err != nil {
		return nil, err
	}
	f, err := p.open(ctx, namespace, pod, target)
	if err != nil {
		return nil, err
	}
	p.forwards[key] = f
	return f, nil
}

func (p *Platform) open(ctx context.Context, namespace, pod string, port int32) (*forward, error) {
	rt, upgrader, err := spdy.RoundTripperFor(p.config)
	if err != nil {
		return nil, err
	}
	url := p.Kube.CoreV1().RESTClient().Post().
		Resource("pods").Namespace(namespace).Name(pod).SubResource("portforward").URL()
	dialer := spdy.NewDialer(upgrader, &http.Client{Transport: rt}, http.MethodPost, url)
	f := &forward{close: make(chan struct{}), ended: make(chan struct{})}
	ready := make(chan struct{})
	fw, err := portforward.NewOnAddresses(dialer, []string{"127.0.0.1"},
		[]string{fmt.Sprintf("0:%d", port)}, f.close, ready, io.Discard, io.Discard)
	if err != nil {
		return nil, err
	}
	failed := make(chan error, 1)
	go func() {
		defer close(f.ended)
		failed <- fw.ForwardPorts()
	}()
	select {
	case <-ready:
	case err := <-failed:
		return nil, fmt.Errorf("forward a port of pod %s: %w", pod, err)
	case <-ctx.Done():
		f.stop()
		return nil, ctx.Err()
	}
	ports, err := fw.GetPorts()
	if err != nil {
		f.stop()
		return nil, err
	}
	f.addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(int(ports[0].Local)))
	return f, nil
}

// backend finds a ready pod behind the Service, and the port that the Service's
// port leads to in it.
func (p *Platform) backend(ctx context.Context, namespace, service string, port int32) (string, int32, error) {
	svc, err := p.Kube.CoreV1().Services(namespace).Get(ctx, service, metav1.GetOptions{})
	if err != nil {
		return "", 0, err
	}
	pods, err := p.Kube.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{
		LabelSelector: labels.SelectorFromSet(svc.Spec.Selector).String(),
	})
	if err != nil {
		return "", 0, err
	}
	for _, pod := range pods.Items {
		if pod.DeletionTimestamp != nil || !ready(&pod) {
			continue
		}
		if target, ok := targetPort(svc, &pod, port); ok {
			return pod.Name, target, nil
		}
	}
	return "", 0, errors.New("no pod of it is ready")
}

func ready(pod *corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

func targetPort(svc *corev1.Service, pod *corev1.Pod, port int32) (int32, bool) {
	for _, sp := range svc.Spec.Ports {
		if sp.Port != port {
			continue
		}
		if sp.TargetPort.Type == intstr.Int {
			if sp.TargetPort.IntVal == 0 {
				return sp.Port, true
			}
			return sp.TargetPort.IntVal, true
		}
		for _, c := range pod.Spec.Containers {
			for _, cp := range c.Ports {
				if cp.Name == sp.TargetPort.StrVal {
					return cp.ContainerPort, true
				}
			}
		}
	}
	return 0, false
}
