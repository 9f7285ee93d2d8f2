// Package gitops sets up what delivers everything else: the secrets of the
// foundation, Gitea's organisation with its identities and protected branches,
// the platform repository, and Flux. Everything in it may be run again: what is
// there already stays as it is, and what is missing is added. It refuses to
// render: manifests come in as files or objects.
package gitops

import "strings"

// Namespaces of the platform.
const (
	NamespaceSystem  = "druppie-system"
	NamespaceGitea   = "gitea"
	NamespaceFoundry = "foundry"
	NamespaceFlux    = "flux-system"
	NamespaceTekton  = "tekton-pipelines"
	NamespaceKyverno = "kyverno"
)

// Identities that work in Gitea. Each has an account and a token of its own, so
// that every change says who made it.
const (
	Admin           = "druppie-admin"    // makes accounts and repositories, nothing else
	Installer       = "installer"        // the only one that pushes to platform
	Builder         = "builder"          // writes services, opens pull requests
	Reviewer        = "reviewer"         // approves what others wrote
	Foundry         = "foundry"          // opens promotions in fleet
	FoundryReviewer = "foundry-reviewer" // approves and merges promotions
	Flux            = "flux"             // reads platform and fleet
	Trace           = "trace"            // the only one that pushes checkpoints; reads what it tells of
	Auditor         = "auditor"          // logs in to the trace's pages, nothing else
)

// Organisation and repositories in Gitea.
const (
	Organisation     = "druppie"
	RepoPlatform     = "platform"
	RepoFleet        = "fleet"
	RepoDroneService = "drone-service"
	RepoTrace        = "trace"

	mainBranch = "main"
)

const (
	domain = "druppie.localhost"

	giteaService    = "https://gitea.gitea.svc.cluster.local:3000"
	registryService = "registry.foundry.svc.cluster.local"
	registryIP      = "10.96.0.50"
	listenerURL     = "http://el-foundry.foundry.svc.cluster.local:8080"
	traceService    = "tracedb.druppie-system.svc.cluster.local"
)

// partOf marks all that we make in the cluster.
func partOf() map[string]string {
	return map[string]string{
		"app.kubernetes.io/part-of":    "druppie",
		"app.kubernetes.io/managed-by": "druppie-up",
	}
}

// identities are the accounts besides the administrator's, with what their
// tokens may do; one without scopes is a person's and has no token.
func identities() []identity {
	write := []string{"write:repository", "read:user"}
	return []identity{
		{Installer, "Platform installer", write},
		{Builder, "Builder Agent", write},
		{Reviewer, "Reviewer", write},
		{Foundry, "Foundry", write},
		{FoundryReviewer, "Foundry reviewer", write},
		{Flux, "Flux", []string{"read:repository", "read:user"}},
		{Trace, "Traceability DB", write},
		{Auditor, "Auditor", nil},
	}
}

type identity struct {
	name   string
	title  string
	scopes []string
}

func email(name string) string { return name + "@" + domain }

func identitySecret(name string) string { return "identity-" + name }

// isPlatformName says whether a host name is one of the front door's.
func isPlatformName(host string) bool {
	return host == domain || strings.HasSuffix(host, "."+domain)
}
