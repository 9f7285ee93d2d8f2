package bootstrap

import (
	"context"
	"fmt"
	"net"
	"net/http"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/druppie/druppie-up/bootstrap/frontdoor"
	"github.com/druppie/druppie-up/internal/kubeclient"
	"github.com/druppie/druppie-up/internal/names"
	"github.com/druppie/druppie-up/internal/ui"
)

// The accounts, in names.NamespaceSystem, that the command line asks the trace as.
const (
	TraceAuditor     = "auditor"     // reads everything
	TraceCISO        = "ciso"        // grants exceptions
	TraceConformance = "conformance" // records reports of the conformance suite
)

const (
	traceAudience = "tracedb"
	// traceTokenLife is the shortest that the API server gives, in seconds.
	traceTokenLife = int64(600)
)

// TraceAccess is how a program on this machine asks the platform's trace.
type TraceAccess struct {
	URL string // of the front door, without a slash at the end
	// Client dials the loopback address, whatever resolvers say of the name, and
	// trusts the platform's CA and nothing else. It sets no end to a request:
	// what is exported or watched may take long, and a context ends it.
	Client *http.Client
	// Verifier is the public key of the log's checkpoints, as a signed note's
	// (golang.org/x/mod/sumdb/note), from the cluster and not from the trace.
	Verifier string

	clientset kubernetes.Interface
}

// Trace opens the trace of the platform that o names. It looks and changes
// nothing. An error says whether the platform isn't running or has no trace.
func Trace(ctx context.Context, o Options) (TraceAccess, error) {
	c, port, err := openRunning(ctx, o)
	if err != nil {
		return TraceAccess{}, err
	}
	endpoint := frontdoor.Endpoint{Port: port}
	if port == 0 {
		endpoint = frontdoor.Endpoint{Port: 443, Dial: func(ctx context.Context) (net.Conn, error) {
			return kubeclient.DialService(ctx, c.RESTConfig, c.Clientset, names.NamespaceFoundry, "frontdoor")
		}}
	}
	return openTrace(ctx, c, c.Clientset, endpoint)
}

func openTrace(ctx context.Context, c client.Reader, clientset kubernetes.Interface, endpoint frontdoor.Endpoint) (TraceAccess, error) {
	read := func(name, key string) (string, error) {
		cm := &corev1.ConfigMap{}
		err := c.Get(ctx, client.ObjectKey{Namespace: names.NamespaceSystem, Name: name}, cm)
		switch {
		case apierrors.IsNotFound(err), err == nil && cm.Data[key] == "":
			return "", noTrace(fmt.Errorf("no %s in config map %s/%s", key, names.NamespaceSystem, name))
		case err != nil:
			return "", fmt.Errorf("read config map %s/%s: %w", names.NamespaceSystem, name, err)
		}
		return cm.Data[key], nil
	}
	ca, err := read(names.CA, names.CAKey)
	if err != nil {
		return TraceAccess{}, err
	}
	verifier, err := read(names.CheckpointKey, names.CheckpointKeyFile)
	if err != nil {
		return TraceAccess{}, err
	}
	endpoint.CA = []byte(ca)
	transport, err := endpoint.Transport()
	if err != nil {
		return TraceAccess{}, err
	}
	return TraceAccess{
		URL: endpoint.URL("trace"), Client: &http.Client{Transport: transport}, Verifier: verifier, clientset: clientset,
	}, nil
}

// Token is a token of an account, with which the trace lets its bearer do what that
// account may, and which is worth nothing elsewhere or a few minutes later. Ask for
// one when it is needed, and keep none.
func (t TraceAccess) Token(ctx context.Context, account string) (string, error) {
	life := traceTokenLife
	made, err := t.clientset.CoreV1().ServiceAccounts(names.NamespaceSystem).CreateToken(ctx, account,
		&authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
			Audiences: []string{traceAudience}, ExpirationSeconds: &life,
		}}, metav1.CreateOptions{})
	if apierrors.IsNotFound(err) {
		return "", noTrace(err)
	}
	if err != nil {
		return "", fmt.Errorf("token of %s/%s: %w", names.NamespaceSystem, account, err)
	}
	return made.Status.Token, nil
}

func noTrace(err error) error {
	return ui.WithHint(fmt.Errorf("this platform has no trace yet: %w", err), "run `druppie-up up`: it puts in place what is missing")
}
