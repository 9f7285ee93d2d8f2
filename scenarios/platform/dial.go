package platform

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
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"

	"github.com/druppie/druppie-up/internal/names"
)

// frontDoorHost is where Gitea is on this machine.
const frontDoorHost = "gitea." + names.Domain

// dial connects to Gitea and the registry by their names, and to nothing else. Names of the cluster mean
// nothing on this machine, and resolvers needn't know *.localhost.
func (p *Platform) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	switch {
	case p.port != 0 && addr == net.JoinHostPort(frontDoorHost, strconv.Itoa(p.port)):
		var d net.Dialer
		return d.DialContext(ctx, network, net.JoinHostPort("127.0.0.1", strconv.Itoa(p.port)))
	case addr == names.GiteaHost:
		return p.dialService(ctx, names.NamespaceGitea, "gitea")
	case addr == names.RegistryHost:
		return p.dialService(ctx, names.NamespaceFoundry, "registry")
	}
	return nil, fmt.Errorf("%s is not a part of the platform that scenarios reach", addr)
}

// dialService connects to a ready pod of a Service with one port, by a port-forward that ends with the connection.
func (p *Platform) dialService(ctx context.Context, namespace, service string) (net.Conn, error) {
	pod, port, err := p.endpoint(ctx, namespace, service)
	if err != nil {
		return nil, fmt.Errorf("reach service %s/%s: %w", namespace, service, err)
	}
	transport, upgrader, err := spdy.RoundTripperFor(p.config)
	if err != nil {
		return nil, err
	}
	url := p.Kube.CoreV1().RESTClient().Post().
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

// endpoint finds a ready pod behind a Service, and the port that the Service's one port leads to.
func (p *Platform) endpoint(ctx context.Context, namespace, service string) (pod string, port int32, err error) {
	slices, err := p.Kube.DiscoveryV1().EndpointSlices(namespace).List(ctx, metav1.ListOptions{
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
