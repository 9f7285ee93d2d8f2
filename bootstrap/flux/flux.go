// Package flux points Flux at the platform repository and says how what it
// installs stands: what applies each part, waiting until all is ready, resuming
// what was suspended. It refuses to install Flux's controllers and to render what
// they apply.
package flux

import (
	"context"
	"fmt"
	"path"
	"time"

	"github.com/fluxcd/flux2/v2/pkg/manifestgen/sync"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/druppie/druppie-up/bootstrap/kube"
	"github.com/druppie/druppie-up/bootstrap/part"
	"github.com/druppie/druppie-up/bootstrap/secrets"
	"github.com/druppie/druppie-up/bootstrap/tenant"
	"github.com/druppie/druppie-up/internal/names"
)

const (
	// root is both the source that is the platform repository and what applies
	// its entry point.
	root = "flux-system"
	// entry is the folder of the platform repository that Flux starts from.
	entry = "clusters/druppie"

	fleet = "fleet"
)

const (
	// Sources are fetched when Gitea tells of a push. By the clock they are fetched
	// in case an event was lost: Gitea sends it once.
	fetchPlatform = 10 * time.Minute
	fetchFleet    = time.Minute
	// compareFleet is how often a tenant is compared with Git: what was changed by
	// hand is put back.
	compareFleet = time.Minute
	// compareRoot is how often what applies the parts is: whoever changed that by hand
	// could keep a part's controls from being put back.
	compareRoot = time.Minute
	// retry is how long something that failed waits for its next try.
	retry = 5 * time.Second
)

// rootKey is where the root's source and Kustomization are.
var rootKey = client.ObjectKey{Namespace: names.NamespaceFlux, Name: root}

// Controllers are the Deployments of Flux itself. Nothing else tells that one is gone:
// what it did stands as it was.
func Controllers() []string {
	return []string{"source-controller", "kustomize-controller", "notification-controller"}
}

// Applier is the part of the Kubernetes client that writes whole objects.
type Applier interface {
	Apply(ctx context.Context, objs []*unstructured.Unstructured) ([]string, error)
}

// renderedFrom is the annotation of the platform repository's source that says
// what its newest commit was rendered from.
const renderedFrom = "druppie.io/rendered-from"

// RenderedFrom is what Sync was last given; empty where Flux isn't installed.
func RenderedFrom(ctx context.Context, c client.Reader) (string, error) {
	source := &sourcev1.GitRepository{}
	err := c.Get(ctx, rootKey, source)
	if err != nil && !apierrors.IsNotFound(err) && !apimeta.IsNoMatchError(err) {
		return "", fmt.Errorf("read the source %s: %w", root, err)
	}
	return source.Annotations[renderedFrom], nil
}

// Sync points Flux at the platform repository with the objects that
// `flux bootstrap` makes, and notes what it was rendered from. Flux's controllers
// and definitions must be there.
func Sync(ctx context.Context, c Applier, from string) error {
	objs, err := syncObjects(from)
	if err != nil {
		return err
	}
	if _, err := c.Apply(ctx, objs); err != nil {
		return fmt.Errorf("point flux at the platform repository: %w", err)
	}
	return nil
}

// syncObjects are the source that is the platform repository, and what applies
// its entry point: Flux's own generator makes them, as it does for `flux bootstrap`.
func syncObjects(from string) ([]*unstructured.Unstructured, error) {
	opts := sync.MakeDefaultOptions()
	opts.Name, opts.Namespace = root, names.NamespaceFlux
	opts.URL, opts.Branch, opts.Secret = repositoryURL(names.RepoPlatform), names.MainBranch, names.FluxGit
	opts.Interval, opts.TargetPath = fetchPlatform, entry
	manifest, err := sync.Generate(opts)
	if err != nil {
		return nil, fmt.Errorf("generate flux's own objects: %w", err)
	}
	objs, err := kube.Decode([]byte(manifest.Content))
	if err != nil {
		return nil, fmt.Errorf("generate flux's own objects: %w", err)
	}
	for _, o := range objs {
		o.SetLabels(kube.PartOf())
		unstructured.RemoveNestedField(o.Object, "status")
		if o.GetKind() != kustomizev1.KustomizationKind {
			if from != "" {
				o.SetAnnotations(map[string]string{renderedFrom: from})
			}
			continue
		}
		for field, value := range map[string]string{"interval": compareRoot.String(), "retryInterval": retry.String()} {
			if err := unstructured.SetNestedField(o.Object, value, "spec", field); err != nil {
				return nil, err
			}
		}
	}
	return objs, nil
}

// IsEntry says whether a folder at the root of the platform repository is the entry point's.
func IsEntry(folder string) bool { return folder == path.Dir(entry) }

// Tree returns the entry point of the platform repository, by path: what applies
// each part's folder, in order, what applies the fleet for each tenant, and the receiver of Gitea's webhooks.
func Tree(parts []part.Part, tenants []tenant.Tenant) (map[string][]byte, error) {
	files := map[string][]byte{}
	add := func(name string, objs ...any) error {
		all, err := objects(objs...)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		doc, err := kube.Encode(all)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		files[entry+"/"+name+".yaml"] = doc
		return nil
	}
	for _, p := range parts {
		if err := add(p.Name, apply(p)); err != nil {
			return nil, err
		}
		if p.Name == part.Tenants {
			objs := []any{source(fleet, names.RepoFleet, fetchFleet)}
			for _, t := range tenants {
				objs = append(objs, applyFleet(t))
			}
			if err := add(fleet, objs...); err != nil {
				return nil, err
			}
		}
	}
	return files, add("receiver", receiver())
}

// apply applies a part's folder, and is ready when all that it holds is.
func apply(p part.Part) *kustomizev1.Kustomization {
	k := kustomization(p.Name, p.Interval, kustomizev1.KustomizationSpec{
		Path:      "./" + p.RepositoryFolder(),
		SourceRef: kustomizev1.CrossNamespaceSourceReference{Kind: sourcev1.GitRepositoryKind, Name: root},
		Wait:      true,
		Timeout:   &metav1.Duration{Duration: 10 * time.Minute},
	})
	for _, d := range p.DependsOn {
		k.Spec.DependsOn = append(k.Spec.DependsOn, kustomizev1.DependencyReference{Name: d})
	}
	return k
}

// applyFleet runs as the tenant's own account, so that what its folder of the fleet holds changes
// that namespace and nothing else.
func applyFleet(t tenant.Tenant) *kustomizev1.Kustomization {
	return kustomization(t.Account(), compareFleet, kustomizev1.KustomizationSpec{
		Path:               "./tenants/" + t.Name,
		SourceRef:          kustomizev1.CrossNamespaceSourceReference{Kind: sourcev1.GitRepositoryKind, Name: fleet},
		TargetNamespace:    t.Name,
		ServiceAccountName: t.Account(),
		// What is admitted to a tenant is recorded, or it isn't admitted.
		DependsOn: []kustomizev1.DependencyReference{{Name: part.Tenants}, {Name: "tracedb"}},
		Wait:      true,
		Timeout:   &metav1.Duration{Duration: 2 * time.Minute},
	})
}

func kustomization(name string, interval time.Duration, spec kustomizev1.KustomizationSpec) *kustomizev1.Kustomization {
	spec.Interval = metav1.Duration{Duration: interval}
	spec.RetryInterval = &metav1.Duration{Duration: retry}
	spec.Prune = true
	return &kustomizev1.Kustomization{
		TypeMeta:   metav1.TypeMeta{APIVersion: kustomizev1.GroupVersion.String(), Kind: kustomizev1.KustomizationKind},
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: names.NamespaceFlux, Labels: kube.PartOf()},
		Spec:       spec,
	}
}

func source(name, repo string, interval time.Duration) *sourcev1.GitRepository {
	return &sourcev1.GitRepository{
		TypeMeta:   metav1.TypeMeta{APIVersion: sourcev1.GroupVersion.String(), Kind: sourcev1.GitRepositoryKind},
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: names.NamespaceFlux, Labels: kube.PartOf()},
		Spec: sourcev1.GitRepositorySpec{
			URL:       repositoryURL(repo),
			SecretRef: &meta.LocalObjectReference{Name: names.FluxGit},
			Interval:  metav1.Duration{Duration: interval},
			Timeout:   &metav1.Duration{Duration: 30 * time.Second},
			Reference: &sourcev1.GitRepositoryRef{Branch: names.MainBranch},
		},
	}
}

// receiverName is the receiver of Gitea's webhooks.
const receiverName = "gitea"

// receiver has Flux fetch at once what Gitea says was pushed. Gitea signs its
// webhooks and names their events as GitHub does.
func receiver() *notificationv1.Receiver {
	return &notificationv1.Receiver{
		TypeMeta:   metav1.TypeMeta{APIVersion: notificationv1.GroupVersion.String(), Kind: notificationv1.ReceiverKind},
		ObjectMeta: metav1.ObjectMeta{Name: receiverName, Namespace: names.NamespaceFlux, Labels: kube.PartOf()},
		Spec: notificationv1.ReceiverSpec{
			Type:      notificationv1.GitHubReceiver,
			Events:    []string{"push"},
			SecretRef: meta.LocalObjectReference{Name: secrets.FluxWebhook},
			Resources: []notificationv1.CrossNamespaceObjectReference{
				{Kind: sourcev1.GitRepositoryKind, Name: root}, {Kind: sourcev1.GitRepositoryKind, Name: fleet},
			},
		},
	}
}

// WebhookURL is where Gitea tells Flux of pushes. The controller keeps the path
// secret by making it from the key.
func WebhookURL(key []byte) string {
	return "http://webhook-receiver." + names.NamespaceFlux + ".svc.cluster.local" + receiver().GetWebhookPath(string(key))
}

func repositoryURL(repo string) string {
	return "https://" + names.GiteaHost + "/" + names.Organisation + "/" + repo + ".git"
}

// objects are without what only the cluster may set.
func objects(objs ...any) ([]*unstructured.Unstructured, error) {
	var all []*unstructured.Unstructured
	for _, o := range objs {
		m, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
		if err != nil {
			return nil, fmt.Errorf("encode: %w", err)
		}
		delete(m, "status")
		unstructured.RemoveNestedField(m, "metadata", "creationTimestamp")
		all = append(all, &unstructured.Unstructured{Object: m})
	}
	return all, nil
}
