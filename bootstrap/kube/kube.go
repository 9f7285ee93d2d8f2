// Package kube is the only part of the installer that talks to the Kubernetes
// API. It applies objects with server-side apply, waits until they are ready
// and says, in words for people, why something isn't. It refuses to know what
// the objects mean: which to apply, and in which order, is its callers' matter.
package kube

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/polling"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/ssa"
	"github.com/fluxcd/pkg/ssa/normalize"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/go-logr/logr"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	yamlutil "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes"
	clientscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/yaml"

	"github.com/druppie/druppie-up/internal/kubeclient"
	"github.com/druppie/druppie-up/internal/ui"
)

// FieldManager is the name under which the installer owns fields.
const FieldManager = "druppie-up"

// Client reads and writes one cluster.
type Client struct {
	client.Client
	// Clientset serves what the generic client doesn't: logs, exec, raw paths.
	Clientset  kubernetes.Interface
	RESTConfig *rest.Config

	manager *ssa.ResourceManager
}

// New opens the cluster that the kubeconfig file names. It doesn't look at the
// user's KUBECONFIG.
func New(kubeconfig string) (*Client, error) {
	cfg, err := kubeclient.Config(kubeconfig, "")
	if err != nil {
		return nil, ui.WithHint(err, "run `druppie-up up`: it writes the kubeconfig again")
	}
	return open(cfg)
}

// NewForContext opens the cluster that a context of the user's kubeconfig names.
func NewForContext(context string) (*Client, error) {
	cfg, err := kubeclient.Config("", context)
	if err != nil {
		return nil, ui.WithHint(err, "`kubectl config get-contexts` lists them")
	}
	return open(cfg)
}

func open(cfg *rest.Config) (*Client, error) {
	// One process, one small cluster: the client-side limit would only make
	// an unchanged `up` slow.
	cfg.QPS, cfg.Burst = -1, -1
	cfg.Timeout = 60 * time.Second
	// Deprecation warnings are for the authors of manifests, not for users.
	cfg.WarningHandler = rest.NoWarnings{}
	// Both loggers write to stderr by themselves, into the progress lines.
	ctrllog.SetLogger(logr.Discard())
	klog.SetLogger(logr.Discard())

	scheme, err := newScheme()
	if err != nil {
		return nil, err
	}
	c, err := client.New(cfg, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("kubernetes client: %w", err)
	}
	set, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("kubernetes client: %w", err)
	}
	return newClient(c, set, cfg), nil
}

func newClient(c client.Client, set kubernetes.Interface, cfg *rest.Config) *Client {
	poller := polling.NewStatusPoller(c, c.RESTMapper(), polling.Options{})
	manager := ssa.NewResourceManager(c, poller, ssa.Owner{Field: FieldManager, Group: "druppie.io"})
	manager.SetConcurrency(4)
	return &Client{Client: c, Clientset: set, RESTConfig: cfg, manager: manager}
}

func newScheme() (*runtime.Scheme, error) {
	s := runtime.NewScheme()
	return s, errors.Join(clientscheme.AddToScheme(s), apiextensionsv1.AddToScheme(s), kustomizev1.AddToScheme(s), sourcev1.AddToScheme(s))
}

// Decode reads the objects of a YAML stream, lists unfolded. A document that
// isn't a Kubernetes object is an error, not something to pass over: a
// manifest that silently loses an object is worse than one that fails.
func Decode(data []byte) ([]*unstructured.Unstructured, error) {
	reader := yamlutil.NewYAMLOrJSONDecoder(bytes.NewReader(data), 4096)
	var objs []*unstructured.Unstructured
	for doc := 1; ; doc++ {
		var raw map[string]any
		if err := reader.Decode(&raw); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("document %d: %w", doc, err)
		}
		if len(raw) == 0 {
			continue // only comments, or nothing between two separators
		}
		obj := &unstructured.Unstructured{Object: raw}
		if obj.GetAPIVersion() == "" || obj.GetKind() == "" {
			return nil, fmt.Errorf("document %d: no apiVersion or kind", doc)
		}
		if obj.IsList() {
			if err := obj.EachListItem(func(item runtime.Object) error {
				objs = append(objs, item.(*unstructured.Unstructured))
				return nil
			}); err != nil {
				return nil, fmt.Errorf("document %d: %w", doc, err)
			}
			continue
		}
		if obj.GetName() == "" {
			return nil, fmt.Errorf("document %d: %s without a name", doc, obj.GetKind())
		}
		objs = append(objs, obj)
	}
	// The API server fills in a few defaults that would look like a change at
	// every apply (stringData, the protocol of ports).
	if err := normalize.UnstructuredList(objs); err != nil {
		return nil, fmt.Errorf("normalize: %w", err)
	}
	return objs, nil
}

// Encode writes objects as one YAML stream.
func Encode(objs []*unstructured.Unstructured) ([]byte, error) {
	var out []byte
	for _, o := range objs {
		doc, err := yaml.Marshal(o.Object)
		if err != nil {
			return nil, fmt.Errorf("encode %s %s: %w", o.GetKind(), o.GetName(), err)
		}
		out = append(append(out, "---\n"...), doc...)
	}
	return out, nil
}
