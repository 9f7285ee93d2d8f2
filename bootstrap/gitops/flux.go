package gitops

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/fluxcd/flux2/v2/pkg/manifestgen/sync"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/druppie/druppie-up/bootstrap/kube"
	"github.com/druppie/druppie-up/internal/names"
)

const (
	// root is both the source that is the platform repository and what applies
	// its entry point.
	root = "flux-system"
	// entry is the folder of the platform repository that Flux starts from.
	entry = "clusters/druppie"

	fleet        = "fleet"
	fluxSecret   = "gitea-flux"
	tenantDrones = "tenant-drones"
)

const (
	// drift is how often everything is compared with Git again: what was
	// changed by hand is put back.
	drift = time.Minute
	// retry is how long something that failed waits for its next try.
	retry = 10 * time.Second
)

// Applier is the part of the Kubernetes client that writes whole objects.
type Applier interface {
	Apply(ctx context.Context, objs []*unstructured.Unstructured) ([]string, error)
}

// EnsureFlux points Flux at the platform repository with the objects that
// `flux bootstrap` makes. Flux's controllers and definitions must be there.
func EnsureFlux(ctx context.Context, c Applier) error {
	objs, err := syncObjects()
	if err != nil {
		return err
	}
	if _, err := c.Apply(ctx, objs); err != nil {
		return fmt.Errorf("point flux at the platform repository: %w", err)
	}
	return nil
}

// syncObjects are the source that is the platform repository, and what applies
// its entry point.
func syncObjects() ([]*unstructured.Unstructured, error) {
	opts := sync.MakeDefaultOptions()
	opts.Name, opts.Namespace = root, names.NamespaceFlux
	opts.URL, opts.Branch, opts.Secret = repositoryURL(names.RepoPlatform), names.MainBranch, fluxSecret
	opts.Interval, opts.TargetPath = 30*time.Second, entry
	manifest, err := sync.Generate(opts)
	if err != nil {
		return nil, fmt.Errorf("generate flux's own objects: %w", err)
	}
	objs, err := kube.Decode([]byte(manifest.Content))
	if err != nil {
		return nil, fmt.Errorf("generate flux's own objects: %w", err)
	}
	for _, o := range objs {
		o.SetLabels(partOf())
		unstructured.RemoveNestedField(o.Object, "status")
		if o.GetKind() != kustomizev1.KustomizationKind {
			continue
		}
		for field, value := range map[string]string{"interval": drift.String(), "retryInterval": retry.String()} {
			if err := unstructured.SetNestedField(o.Object, value, "spec", field); err != nil {
				return nil, err
			}
		}
	}
	return objs, nil
}

// part is a unit of the platform as Flux installs it.
type part struct {
	unit  string // and folder of the repository
	name  string // of Flux's Kustomization, where it isn't the unit's
	after []string
}

// parts are all units we know, with what each waits for. Policies come before
// the tenants, so that nothing runs in a tenant that they haven't seen; the trace
// before those who ask it or tell it something.
func parts() []part {
	return []part{
		{unit: "tekton-pipelines"},
		{unit: "tekton-triggers", after: []string{"tekton-pipelines"}},
		{unit: "pipelines", after: []string{"tekton-pipelines", "tekton-triggers", "tracedb"}},
		{unit: "kyverno"},
		{unit: "tracedb", after: []string{"kyverno"}},
		{unit: "policies", after: []string{"kyverno", "tracedb"}},
		// The name tenant-drones is the one that applies the fleet.
		{unit: "tenant-drones", name: "tenants", after: []string{"policies"}},
	}
}

// FluxTree returns the entry point of the platform repository, by path: what
// applies each unit's folder, in order, and what applies the fleet. A unit that
// isn't known waits for nothing.
func FluxTree(units []string) (map[string][]byte, error) {
	files := map[string][]byte{}
	add := func(name string, objs ...any) error {
		doc, err := stream(objs...)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		files[entry+"/"+name+".yaml"] = doc
		return nil
	}
	for _, unit := range units {
		p := part{unit: unit}
		if i := slices.IndexFunc(parts(), func(p part) bool { return p.unit == unit }); i >= 0 {
			p = parts()[i]
		}
		if p.name == "" {
			p.name = p.unit
		}
		p.after = slices.DeleteFunc(p.after, func(a string) bool { return !slices.Contains(units, a) })
		if err := add(p.name, p.kustomization()); err != nil {
			return nil, err
		}
	}
	if !slices.Contains(units, "tenant-drones") {
		return files, nil
	}
	return files, add(fleet, source(fleet, names.RepoFleet, 10*time.Second), applyFleet())
}

func (p part) kustomization() *kustomizev1.Kustomization {
	k := kustomization(p.name, kustomizev1.KustomizationSpec{
		Path:      "./" + p.unit,
		SourceRef: kustomizev1.CrossNamespaceSourceReference{Kind: sourcev1.GitRepositoryKind, Name: root},
		Wait:      true,
		Timeout:   &metav1.Duration{Duration: 10 * time.Minute},
	})
	for _, a := range p.after {
		k.Spec.DependsOn = append(k.Spec.DependsOn, kustomizev1.DependencyReference{Name: a})
	}
	return k
}

// applyFleet runs as the tenant's own account, so that what fleet holds changes
// that namespace and nothing else.
func applyFleet() *kustomizev1.Kustomization {
	return kustomization(tenantDrones, kustomizev1.KustomizationSpec{
		Path:               "./tenants/drones",
		SourceRef:          kustomizev1.CrossNamespaceSourceReference{Kind: sourcev1.GitRepositoryKind, Name: fleet},
		TargetNamespace:    "drones",
		ServiceAccountName: tenantDrones,
		DependsOn:          []kustomizev1.DependencyReference{{Name: "tenants"}},
		Wait:               true,
		Timeout:            &metav1.Duration{Duration: 2 * time.Minute},
	})
}

func kustomization(name string, spec kustomizev1.KustomizationSpec) *kustomizev1.Kustomization {
	spec.Interval = metav1.Duration{Duration: drift}
	spec.RetryInterval = &metav1.Duration{Duration: retry}
	spec.Prune = true
	return &kustomizev1.Kustomization{
		TypeMeta:   metav1.TypeMeta{APIVersion: kustomizev1.GroupVersion.String(), Kind: kustomizev1.KustomizationKind},
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: names.NamespaceFlux, Labels: partOf()},
		Spec:       spec,
	}
}

func source(name, repo string, interval time.Duration) *sourcev1.GitRepository {
	return &sourcev1.GitRepository{
		TypeMeta:   metav1.TypeMeta{APIVersion: sourcev1.GroupVersion.String(), Kind: sourcev1.GitRepositoryKind},
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: names.NamespaceFlux, Labels: partOf()},
		Spec: sourcev1.GitRepositorySpec{
			URL:       repositoryURL(repo),
			SecretRef: &meta.LocalObjectReference{Name: fluxSecret},
			Interval:  metav1.Duration{Duration: interval},
			Timeout:   &metav1.Duration{Duration: 30 * time.Second},
			Reference: &sourcev1.GitRepositoryRef{Branch: names.MainBranch},
		},
	}
}

func repositoryURL(repo string) string {
	return "https://" + names.GiteaHost + "/" + names.Organisation + "/" + repo + ".git"
}

// toUnstructured drops what only the cluster may say.
func toUnstructured(o any) (*unstructured.Unstructured, error) {
	m, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
	if err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	delete(m, "status")
	unstructured.RemoveNestedField(m, "metadata", "creationTimestamp")
	return &unstructured.Unstructured{Object: m}, nil
}

func stream(objs ...any) ([]byte, error) {
	var out []byte
	for _, o := range objs {
		u, err := toUnstructured(o)
		if err != nil {
			return nil, err
		}
		doc, err := yaml.Marshal(u.Object)
		if err != nil {
			return nil, err
		}
		out = append(append(out, "---\n"...), doc...)
	}
	return out, nil
}
