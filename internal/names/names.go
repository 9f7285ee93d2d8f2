// Package names holds what the parts of the platform find each other by: namespaces, accounts, repositories,
// addresses, secrets, labels and the names of our own images, each once. It owns data and the rule for a
// platform's name; it imports nothing and reaches nobody. What only one package uses stays there.
package names

import "regexp"

// DefaultPlatform is a platform's name where nobody chose one.
const DefaultPlatform = "druppie"

// PlatformRule says what a platform's name may be: a label of RFC 1123 (kind's rule too) that leaves room for
// the names of containers, hosts and folders that are made from it.
const PlatformRule = "at most 40 lower-case letters, digits and dashes, a letter or digit at both ends"

var platform = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$`)

// IsPlatform says whether a platform, and its cluster, can have this name.
func IsPlatform(name string) bool { return platform.MatchString(name) }

// Namespaces of the platform.
const (
	NamespaceSystem  = "druppie-system"
	NamespaceGitea   = "gitea"
	NamespaceFoundry = "foundry"
	NamespaceFlux    = "flux-system"
	NamespaceTekton  = "tekton-pipelines"
	NamespaceKyverno = "kyverno"
)

// Accounts in Gitea. Each has a token of its own, so that every change says who made it.
const (
	UserAdmin           = "druppie-admin"    // makes accounts and repositories, nothing else
	UserInstaller       = "installer"        // the only one that pushes to platform
	UserBuilder         = "builder"          // writes services, opens pull requests
	UserReviewer        = "reviewer"         // approves what others wrote
	UserFoundry         = "foundry"          // opens promotions in fleet
	UserFoundryReviewer = "foundry-reviewer" // approves and merges promotions
	UserFlux            = "flux"             // reads platform and fleet
	UserTrace           = "trace"            // the only one that pushes checkpoints; reads what it tells of
	UserAuditor         = "auditor"          // logs in to the trace's pages, nothing else
)

// AuditAccount is whose records tell what the API server's audit log holds.
const AuditAccount = "system:serviceaccount:kube-system:audit"

// Organisation and repositories in Gitea.
const (
	Organisation     = "druppie"
	RepoPlatform     = "platform"
	RepoFleet        = "fleet"
	RepoDroneService = "drone-service"
	RepoLevelService = "level-service"
	RepoTrace        = "trace"

	MainBranch = "main"
)

// IsService says whether a repository of the organisation is a service's: all are but the platform's own.
func IsService(repository string) bool {
	return repository != RepoPlatform && repository != RepoFleet && repository != RepoTrace
}

// SampleTenant is the namespace of the sample services.
const SampleTenant = "drones"

// Domain is the front door's on this machine; each part's pages have a host in it.
const Domain = "druppie.localhost"

// Services as the cluster's other parts reach them, host and port.
const (
	GiteaHost    = "gitea.gitea.svc.cluster.local:3000"
	RegistryHost = "registry.foundry.svc.cluster.local:5000" // also in the names of images
	TraceHost    = "tracedb.druppie-system.svc.cluster.local:8443"
	ListenerHost = "listener.foundry.svc.cluster.local:8080" // plain http: events are signed

	// The registry's address for nodes, which don't resolve the names of Services.
	RegistryIP      = "10.96.0.50"
	RegistryAddress = RegistryIP + ":5000"
)

// ServiceHosts are the names of a Service inside the cluster, the longest first.
func ServiceHosts(service, namespace string) []string {
	short := service + "." + namespace
	return []string{short + ".svc.cluster.local", short + ".svc", short}
}

// Objects that one part makes and others read.
const (
	// CA is the ConfigMap with the platform's authority, at CAKey, in every namespace of the platform; the
	// Secret of this name in NamespaceSystem holds its key too.
	CA    = "platform-ca"
	CAKey = "ca.crt"

	// Triggers begins the name of the ConfigMap in NamespaceFoundry with what starts pipelines.
	Triggers = "triggers"

	// Tenants is the ConfigMap in NamespaceSystem with the list of who has services on the platform.
	Tenants = "tenants"

	// CheckpointKey is the ConfigMap in NamespaceSystem with the key that checkpoints of the trace's log are
	// verified with, at CheckpointKeyFile.
	CheckpointKey     = "tracedb-checkpoint-public-key"
	CheckpointKeyFile = "checkpoint.pub"

	// ConformanceKey is the Secret in NamespaceSystem with the key that reports of the conformance suite are
	// signed with, at ConformanceKeyFile.
	ConformanceKey     = "conformance-key"
	ConformanceKeyFile = "conformance.key"

	// MutationJournal is the Secret in NamespaceSystem that is there while a mutation of the conformance suite
	// weakens a control; AnnotationMutation names which.
	MutationJournal    = "conformance-mutation"
	AnnotationMutation = "druppie.io/mutation"

	// RegistryWriter is the Secret in NamespaceFoundry of the account that may push to the registry.
	RegistryWriter = "registry-writer"

	// FluxGit is the Secret in NamespaceFlux that Flux reads its repositories in Gitea with.
	FluxGit = "gitea-flux"

	identityPrefix = "identity-"
)

// IdentitySecret is the Secret in NamespaceGitea that keeps an account's password and token.
func IdentitySecret(user string) string { return identityPrefix + user }

// Labels of pipeline runs and annotations of what is deployed: what it is about. A label has the repository
// without its owner, an annotation in full.
const (
	LabelRepository = "druppie.io/repository"
	LabelCommit     = "druppie.io/commit" // full hash
)

// Labels of a tenant's namespace, "true", and of what runs in it, its id in the register.
const (
	LabelTenant    = "druppie.io/tenant"
	LabelAlgorithm = "druppie.io/algorithm-id"
)

// Canary begins the names of the pods in NamespaceSystem that show whether network policies are enforced.
const Canary = "canary"

// Events of connections that network policies refused: who tells them, for what reason, and in which annotations
// they name the other side and the port.
const (
	NetworkReporter = "podnet"
	EgressRefused   = "EgressRefused"
	IngressRefused  = "IngressRefused"
	AddressRefused  = "AddressRefused"
	AnnotationPeer  = "druppie.io/peer"
	AnnotationPort  = "druppie.io/port"
)

// TraceOrigin names the log of a platform's trace in its checkpoints. Platforms of one name are told apart by
// their keys.
func TraceOrigin(platform string) string { return OwnHost + "/trace/" + platform }

// OwnHost is the host in the names of what no registry has: our own programs and upstream's source files.
const OwnHost = "druppie.io"

// OwnImage is the image of one of our own programs.
func OwnImage(program string) string { return OwnHost + "/" + program + ":dev" }
