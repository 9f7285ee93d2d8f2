// Package kubeclient is how programs on this machine reach a cluster: by a kubeconfig, and from there a Service's
// pods. It refuses to look at the user's kubeconfig unless a context of it is named.
package kubeclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"

	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
)

// Config reads how to reach a cluster: from a kubeconfig file, or where a context is named, from the user's
// own kubeconfig, as kubectl finds it.
func Config(file, context string) (*rest.Config, error) {
	if context == "" {
		config, err := clientcmd.BuildConfigFromFlags("", file)
		if err != nil {
			return nil, fmt.Errorf("read kubeconfig %s: %w", file, err)
		}
		return config, nil
	}
	rules, overrides := clientcmd.NewDefaultClientConfigLoadingRules(), &clientcmd.ConfigOverrides{CurrentContext: context}
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, overrides).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("context %s of your kubeconfig: %w", context, err)
	}
	return config, nil
}

// DialService connects to a ready pod of a Service with one port.
func DialService(ctx context.Context, config *rest.Config, client kubernetes.Interface, namespace, service string) (net.Conn, error) {
	pod, port, err := readyPod(ctx, client, namespace, service)
	if err != nil {
		return nil, fmt.Errorf("reach service %s/%s: %w", namespace, service, err)
	}
	return DialPod(ctx, config, client, namespace, pod, port)
}

// DialPod connects to a port of a pod, by a port-forward that ends with the connection.
func DialPod(ctx context.Context, config *rest.Config, client kubernetes.Interface, namespace, pod string, port int32) (net.Conn, error) {
	transport, upgrader, err := spdy.RoundTripperFor(config)
	if err != nil {
		return nil, err
	}
	url := client.CoreV1().RESTClient().Post().
		Resource("pods").Namespace(namespace).Name(pod).SubResource("portforward").URL()
	dialer := spdy.NewDialer(upgrader, &http.Client{Transport: transport}, http.MethodPost, url)
	stopped, ready, failed := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	stop := sync.OnceFunc(func() { close(stopped) })
	forwarder, err := portforward.NewOnAddresses(dialer, []string{"127.0.0.1"},
		[]string{fmt.Sprintf("0:%d", port)}, stopped, ready, io.Discard, io.Discard)
	if err != nil {
		return nil, err
	}
	go func() { failed <- forwarder.ForwardPorts() }()
	select {
	case <-ready:
	case err := <-failed:
		return nil, fmt.Errorf("forward a port of pod %s: %w", pod, err)
	case <-ctx.Done():
		stop()
		return nil, ctx.Err()
	}
	ports, err := forwarder.GetPorts()
	if err != nil {
		stop()
		return nil, err
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(ports[0].Local))))
	if err != nil {
		stop()
		return nil, err
	}
	return forwardedConn{conn, stop}, nil
}

type forwardedConn struct {
	net.Conn
	stop func()
}

func (c forwardedConn) Close() error {
	defer c.stop()
	return c.Conn.Close()
}

// readyPod finds a ready pod behind a Service, and the port that the Service's one port leads to.
func readyPod(ctx context.Context, client kubernetes.Interface, namespace, service string) (pod string, port int32, err error) {
	slices, err := client.DiscoveryV1().EndpointSlices(namespace).List(ctx, metav1.ListOptions{
		LabelSelector: discoveryv1.LabelServiceName + "=" + service,
	})
	if err != nil {
		return "", 0, err
	}
	for _, slice := range slices.Items {
		for _, e := range slice.Endpoints {
			ready := e.Conditions.Ready == nil || *e.Conditions.Ready
			if ready && e.TargetRef != nil && len(slice.Ports) == 1 && slice.Ports[0].Port != nil {
				return e.TargetRef.Name, *slice.Ports[0].Port, nil
			}
		}
	}
	return "", 0, errors.New("no pod of it is ready")
}
