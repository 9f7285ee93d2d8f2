// Package platform connects a scenario to a running platform: the Kubernetes API
// by a kubeconfig, Gitea with each identity's own token, the foundry's registry.
// What it needs to know it reads from the cluster. It trusts the platform's own
// CA and nothing else, takes no proxy, and installs and repairs nothing.
package platform

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"

	"github.com/druppie/druppie-up/internal/httpclient"
	"github.com/druppie/druppie-up/internal/kubeclient"
	"github.com/druppie/druppie-up/internal/names"
)

// Options say which platform.
type Options struct {
	Kubeconfig string // path of the cluster's own kubeconfig
	Context    string // of the user's kubeconfig, instead
	Port       int    // front door on 127.0.0.1; 0: Gitea is reached through the Kubernetes API
}

// Platform is a connection; Close ends it.
type Platform struct {
	Kube    kubernetes.Interface
	Dynamic dynamic.Interface
	Mapper  *restmapper.DeferredDiscoveryRESTMapper

	config   *rest.Config
	port     int
	client   *http.Client
	proxy    *http.Server // for git
	proxyURL string
}

// Connect opens the connection. It fails where the kubeconfig leads nowhere or
// to a cluster that isn't a platform.
func Connect(ctx context.Context, opt Options) (*Platform, error) {
	config, err := kubeclient.Config(opt.Kubeconfig, opt.Context)
	if err != nil {
		return nil, err
	}
	// Refusals come as warnings too; the scenario reads the errors.
	config.WarningHandler = rest.NoWarnings{}
	config.QPS, config.Burst = 50, 100
	p := &Platform{config: config, port: opt.Port}
	if p.Kube, err = kubernetes.NewForConfig(config); err != nil {
		return nil, fmt.Errorf("kubernetes client: %w", err)
	}
	if p.Dynamic, err = dynamic.NewForConfig(config); err != nil {
		return nil, fmt.Errorf("kubernetes client: %w", err)
	}
	p.Mapper = restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(p.Kube.Discovery()))
	ca, err := p.ca(ctx)
	if err != nil {
		return nil, err
	}
	if p.client, err = httpclient.New(httpclient.Options{CA: ca, Dial: p.dial, Timeout: 2 * time.Minute}); err != nil {
		return nil, fmt.Errorf("%s in namespace %s: %w", names.CA, names.NamespaceFoundry, err)
	}
	return p, p.startProxy()
}

// Close ends connections and the proxy for git.
func (p *Platform) Close() error {
	if p.proxy == nil {
		return nil
	}
	p.client.CloseIdleConnections()
	return p.proxy.Close()
}

func (p *Platform) ca(ctx context.Context) ([]byte, error) {
	ca, err := p.Kube.CoreV1().ConfigMaps(names.NamespaceFoundry).Get(ctx, names.CA, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil, errors.New("this cluster is no platform, or not yet: it has no platform-ca in namespace foundry")
	case err != nil:
		return nil, fmt.Errorf("read the platform's CA: %w", err)
	}
	return []byte(ca.Data[names.CAKey]), nil
}

// secret reads keys that must all be there.
func (p *Platform) secret(ctx context.Context, namespace, name string, keys ...string) (map[string]string, error) {
	s, err := p.Kube.CoreV1().Secrets(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("read secret %s/%s: %w", namespace, name, err)
	}
	values := map[string]string{}
	for _, k := range keys {
		if values[k] = string(s.Data[k]); values[k] == "" {
			return nil, fmt.Errorf("secret %s/%s has no %s", namespace, name, k)
		}
	}
	return values, nil
}
