// Package part is the table of what is installed in the cluster: each part with
// its folder, its namespace, who installs it and what it waits for. It owns that
// order and where a part's files lie; it refuses to render them or to talk to a
// cluster. What a part's images are made of is a component's matter, not a part's.
package part

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/druppie/druppie-up/charts"
	"github.com/druppie/druppie-up/internal/names"
	"github.com/druppie/druppie-up/manifests"
	"github.com/druppie/druppie-up/pipelines"
	"github.com/druppie/druppie-up/policies"
)

// Installer is who installs a part.
type Installer string

const (
	// Network parts are what pods need to connect, and what keeps them from it; `up`
	// applies them first.
	Network Installer = "network"
	// Node parts are what a node image of our own lacks and upstream's has; `up`
	// applies them.
	Node Installer = "node"
	// Foundation parts are what Git needs to exist, and Flux; `up` applies them.
	Foundation Installer = "foundation"
	// Flux installs the rest, from the platform repository.
	Flux Installer = "flux"
)

// Tenants is the part with the tenants' namespaces and the accounts that Flux
// applies the fleet as.
const Tenants = "tenants"

// Each is what a folder is rendered once for each of; also the variable in it that names the one.
type Each string

const (
	EachTenant    Each = "tenant"
	EachNamespace Each = "namespace" // of the platform's own
)

// Part is a folder of Kubernetes objects that is installed as a whole, and ready
// when all of its objects are.
type Part struct {
	Name      string // of Flux's Kustomization or the Helm release; also what `status` calls it
	Folder    string // with a kustomization.yaml or a Chart.yaml at its root
	Chart     bool   // a Helm chart; otherwise a kustomization
	Each      Each   // empty: the folder is rendered once
	By        Installer
	Namespace string // where it runs; empty: it runs nothing of its own
	// PodSecurity is the level that the namespace enforces; empty where the part's
	// own manifests bring the namespace and say it.
	PodSecurity string
	// OnlyCRDs: of the folder's objects, the CustomResourceDefinitions; the part with
	// the same folder installs the others. What compares them with Git costs more
	// than all the rest, and they change with the platform only.
	OnlyCRDs bool
	// DependsOn names the parts that have to be ready before this one is applied.
	DependsOn []string
	// Interval is how often Flux compares the part with Git and undoes what was
	// changed by hand; changes in Git are applied when they are pushed.
	Interval time.Duration
}

const (
	// securityInterval is the interval of what decides who may do what, the pipeline's gates
	// among it: a change by hand must not last.
	securityInterval = time.Minute
	// crdInterval is the interval of what is large and changes with the platform only:
	// comparing it takes seconds of a core.
	crdInterval = 10 * time.Minute
)

// All lists the parts, in the order in which their images are made. What comes
// later may depend on what comes earlier.
func All() []Part {
	return []Part{
		{Name: "podnet", Folder: "manifests/podnet", By: Network, Namespace: "kube-system"},
		{Name: "local-path", Folder: "manifests/local-path", By: Node, Namespace: "local-path-storage"},

		// Kaniko builds as root in its container, so the foundry's level is baseline.
		{Name: "registry", Folder: "charts/registry", Chart: true, By: Foundation, Namespace: names.NamespaceFoundry, PodSecurity: "baseline"},
		{Name: "gitea", Folder: "charts/gitea", Chart: true, By: Foundation, Namespace: names.NamespaceGitea, PodSecurity: "restricted"},
		{Name: "frontdoor", Folder: "charts/frontdoor", Chart: true, By: Foundation, Namespace: names.NamespaceFoundry, PodSecurity: "baseline"},
		{Name: "flux", Folder: "manifests/flux", By: Foundation, Namespace: names.NamespaceFlux},

		{Name: "cluster", Folder: "manifests/cluster", By: Flux, Interval: securityInterval},
		{Name: "canary", Folder: "manifests/canary", By: Flux, Namespace: names.NamespaceSystem, PodSecurity: "restricted", Interval: securityInterval},
		{Name: "default-deny", Folder: "manifests/default-deny", Each: EachNamespace, By: Flux,
			DependsOn: []string{"cluster"}, Interval: securityInterval},

		{Name: "tracedb", Folder: "charts/tracedb", Chart: true, By: Flux, Namespace: names.NamespaceSystem, PodSecurity: "restricted", Interval: securityInterval},
		{Name: "audit", Folder: "manifests/audit", By: Flux, Namespace: "kube-system", DependsOn: []string{"tracedb"}, Interval: securityInterval},
		{Name: "tekton-pipelines", Folder: "manifests/tekton-pipelines", By: Flux, Namespace: names.NamespaceTekton, Interval: crdInterval},
		{Name: "kyverno-crds", Folder: "manifests/kyverno", OnlyCRDs: true, By: Flux, Interval: crdInterval},
		{Name: "kyverno", Folder: "manifests/kyverno", By: Flux, Namespace: names.NamespaceKyverno,
			DependsOn: []string{"kyverno-crds"}, Interval: securityInterval},
		{Name: "policies", Folder: "policies", By: Flux, DependsOn: []string{"kyverno"}, Interval: securityInterval},
		// Nothing runs in a tenant that the policies haven't seen.
		{Name: Tenants, Folder: "manifests/tenant", Each: EachTenant, By: Flux, DependsOn: []string{"policies"}, Interval: securityInterval},
		// Tekton's webhook has to answer before its objects are taken.
		{Name: "pipelines", Folder: "pipelines", By: Flux, Namespace: names.NamespaceFoundry, PodSecurity: "baseline",
			DependsOn: []string{"tekton-pipelines"}, Interval: securityInterval},
	}
}

// InstalledBy lists the parts that one installer installs, in order.
func InstalledBy(who Installer) []Part {
	return slices.DeleteFunc(All(), func(p Part) bool { return p.By != who })
}

// Find returns the part of that name.
func Find(name string) (Part, error) {
	all := All()
	i := slices.IndexFunc(all, func(p Part) bool { return p.Name == name })
	if i < 0 {
		return Part{}, fmt.Errorf("no part is named %s", name)
	}
	return all[i], nil
}

// RepositoryFolder is the folder of the platform repository that holds the part.
func (p Part) RepositoryFolder() string {
	if p.OnlyCRDs {
		return p.Name
	}
	return path.Base(p.Folder)
}

// Installs says whether objects of that kind in the part's folder are the part's.
func (p Part) Installs(kind string) bool {
	isCRD := kind == "CustomResourceDefinition"
	apart := slices.ContainsFunc(All(), func(q Part) bool { return q.OnlyCRDs && q.Folder == p.Folder })
	return !apart || isCRD == p.OnlyCRDs
}

// Files are the part's own files, as this program carries them.
func (p Part) Files() (fs.FS, error) {
	root, folder, _ := strings.Cut(p.Folder, "/")
	trees := map[string]fs.FS{"manifests": manifests.FS, "charts": charts.FS, "pipelines": pipelines.FS, "policies": policies.FS}
	tree, ok := trees[root]
	switch {
	case !ok:
		return nil, fmt.Errorf("part %s: there is no folder %s", p.Name, root)
	case folder == "":
		return tree, nil
	}
	sub, err := fs.Sub(tree, folder)
	if err != nil {
		return nil, fmt.Errorf("part %s: %w", p.Name, err)
	}
	return sub, nil
}

// Namespace is one of the platform's own, as against its tenants'.
type Namespace struct {
	Name        string
	PodSecurity string // level to enforce; empty: its own manifests say
}

// Namespaces lists the namespaces that parts of these installers run in.
func Namespaces(by ...Installer) []Namespace {
	var out []Namespace
	for _, p := range All() {
		known := slices.ContainsFunc(out, func(n Namespace) bool { return n.Name == p.Namespace })
		if p.Namespace != "" && !known && slices.Contains(by, p.By) {
			out = append(out, Namespace{p.Namespace, p.PodSecurity})
		}
	}
	return out
}

// IsNamespace tells the platform's own namespaces from its tenants'.
func IsNamespace(name string) bool {
	return slices.ContainsFunc(Namespaces(Network, Node, Foundation, Flux), func(n Namespace) bool { return n.Name == name })
}
