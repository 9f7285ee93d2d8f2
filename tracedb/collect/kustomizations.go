package collect

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"

	"github.com/druppie/druppie-up/tracedb"
)

var (
	kustomizationResource = schema.GroupVersionResource{Group: "kustomize.toolkit.fluxcd.io", Version: "v1", Resource: "kustomizations"}
	gitRepositoryResource = schema.GroupVersionResource{Group: "source.toolkit.fluxcd.io", Version: "v1", Resource: "gitrepositories"}
)

// Kustomizations watches the status of Flux's Kustomizations: what no event told stands there too, and
// becomes the same records. Its exported fields are set before its first use.
type Kustomizations struct {
	Client    dynamic.Interface
	Namespace string // flux-system
	Sink      Sink
	Log       tracedb.Reader // may be nil
	Logger    *slog.Logger

	health health
	start  sync.Once
	book   *fluxReader
	relist time.Duration

	mu     sync.Mutex
	places map[string]fluxPlace // by namespace/name
}

// fluxPlace is what a Kustomization applies, and where.
type fluxPlace struct {
	source    string // repository's full name
	namespace string // that it is confined to
}

func (k *Kustomizations) ready() {
	k.start.Do(func() {
		k.book = &fluxReader{
			rec: newRecorder("flux", k.Sink, k.Log, k.Logger, &k.health, fluxKinds...), log: k.Log, where: k,
		}
	})
}

// Status is how it goes with watching.
func (k *Kustomizations) Status() Status { return k.health.read("flux-status") }

// place is what is known of a Kustomization; k may be nil.
func (k *Kustomizations) place(namespace, name string) fluxPlace {
	if k == nil {
		return fluxPlace{}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.places[namespace+"/"+name]
}

// Run watches until ctx ends.
func (k *Kustomizations) Run(ctx context.Context) error {
	k.ready()
	f := &reflector{
		name: "kustomizations", of: k.Client.Resource(kustomizationResource).Namespace(k.Namespace),
		health: &k.health, rec: k.book.rec, relist: k.relist,
		all: func(ctx context.Context, objects []runtime.Object) error {
			k.mu.Lock()
			k.places = map[string]fluxPlace{}
			k.mu.Unlock()
			for _, o := range objects {
				if err := k.one(ctx, watch.Added, o); err != nil {
					return err
				}
			}
			return nil
		},
		one: k.one,
	}
	return f.run(ctx)
}

func (k *Kustomizations) one(ctx context.Context, what watch.EventType, o runtime.Object) error {
	u, ok := o.(*unstructured.Unstructured)
	if !ok || what == watch.Deleted {
		return nil
	}
	if err := k.learn(ctx, u); err != nil {
		return err
	}
	for _, h := range statusOf(u) {
		drafts, err := k.book.read(ctx, h)
		if err != nil {
			return err
		}
		if err := k.book.rec.put(ctx, drafts); err != nil {
			return err
		}
	}
	return nil
}

// statusOf reads what the status tells: which revision stands, and how the last try at another failed.
func statusOf(u *unstructured.Unstructured) []happening {
	base := happening{kind: u.GetKind(), namespace: u.GetNamespace(), name: u.GetName(), uid: string(u.GetUID())}
	var out []happening
	if revision, _, _ := unstructured.NestedString(u.Object, "status", "lastAppliedRevision"); revision != "" {
		h := base
		h.revision, h.reason = revision, meta.ReconciliationSucceededReason
		h.at, h.until = applications(u, revision)
		out = append(out, h)
	}
	conditions, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
	for _, c := range conditions {
		m, ok := c.(map[string]any)
		if !ok || m["type"] != meta.ReadyCondition {
			continue
		}
		text := func(key string) string { s, _ := m[key].(string); return s }
		since, _ := time.Parse(time.RFC3339, text("lastTransitionTime")) // without a time it happened at no time
		if text("status") == "True" && len(out) > 0 && out[0].at.IsZero() {
			out[0].at = since
		}
		// What waits for others hasn't failed; Flux doesn't tell of it as a failure either.
		if text("status") != "False" || text("reason") == meta.DependencyNotReadyReason || text("reason") == meta.ArtifactFailedReason {
			continue
		}
		h := base
		h.reason, h.message, h.at, h.failed = text("reason"), text("message"), since, true
		if h.revision, _, _ = unstructured.NestedString(u.Object, "status", "lastAttemptedRevision"); h.revision != "" {
			out = append(out, h)
		}
	}
	for i := range out {
		if out[i].until.Before(out[i].at) {
			out[i].until = out[i].at
		}
	}
	return out
}

// applications are when a revision was first and last applied as a whole, as far as the status remembers.
func applications(u *unstructured.Unstructured, revision string) (first, last time.Time) {
	history, _, _ := unstructured.NestedSlice(u.Object, "status", "history")
	for _, e := range history {
		m, ok := e.(map[string]any)
		if !ok || m["lastReconciledStatus"] != meta.ReconciliationSucceededReason {
			continue
		}
		if r, _, _ := unstructured.NestedString(m, "metadata", "revision"); r != revision {
			continue
		}
		when := func(key string) time.Time { t, _ := time.Parse(time.RFC3339, fmt.Sprint(m[key])); return t }
		if t := when("firstReconciled"); !t.IsZero() && (first.IsZero() || t.Before(first)) {
			first = t
		}
		if t := when("lastReconciled"); t.After(last) {
			last = t
		}
	}
	return first, last
}

// learn notes what a Kustomization applies, and where.
func (k *Kustomizations) learn(ctx context.Context, u *unstructured.Unstructured) error {
	key := u.GetNamespace() + "/" + u.GetName()
	k.mu.Lock()
	_, known := k.places[key]
	k.mu.Unlock()
	if known {
		return nil
	}
	var p fluxPlace
	p.namespace, _, _ = unstructured.NestedString(u.Object, "spec", "targetNamespace")
	name, _, _ := unstructured.NestedString(u.Object, "spec", "sourceRef", "name")
	kind, _, _ := unstructured.NestedString(u.Object, "spec", "sourceRef", "kind")
	if kind == "GitRepository" && name != "" {
		source, err := k.Client.Resource(gitRepositoryResource).Namespace(u.GetNamespace()).Get(ctx, name, metav1.GetOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("source of %s: %w", key, err)
		}
		if err == nil {
			address, _, _ := unstructured.NestedString(source.Object, "spec", "url")
			p.source = repositoryOf(address)
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.places == nil {
		k.places = map[string]fluxPlace{}
	}
	k.places[key] = p
	return nil
}

// repositoryOf is the full name in a clone URL: https://gitea.…/druppie/fleet.git.
func repositoryOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(strings.Trim(u.Path, "/"), ".git")
}
