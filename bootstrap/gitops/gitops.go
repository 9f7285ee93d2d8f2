// Package gitops sets up what delivers everything else: the secrets of the
// foundation, Gitea's organisation with its identities and protected branches,
// the platform repository, and Flux. Everything in it may be run again: what is
// there already stays as it is, and what is missing is added. It refuses to
// render: manifests come in as files or objects.
package gitops

import (
	"strings"

	"github.com/druppie/druppie-up/internal/names"
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
		{names.UserInstaller, "Platform installer", write},
		{names.UserBuilder, "Builder Agent", write},
		{names.UserReviewer, "Reviewer", write},
		{names.UserFoundry, "Foundry", write},
		{names.UserFoundryReviewer, "Foundry reviewer", write},
		{names.UserFlux, "Flux", []string{"read:repository", "read:user"}},
		{names.UserTrace, "Traceability DB", write},
		{names.UserAuditor, "Auditor", nil},
	}
}

type identity struct {
	name   string
	title  string
	scopes []string
}

func email(name string) string { return name + "@" + names.Domain }

// isPlatformName says whether a host name is one of the front door's.
func isPlatformName(host string) bool {
	return host == names.Domain || strings.HasSuffix(host, "."+names.Domain)
}
