package gitea

import "github.com/druppie/druppie-up/internal/names"

// Users are all accounts in Gitea; each has its password in the cluster.
func Users() []string {
	var out []string
	for _, id := range identities() {
		out = append(out, id.name)
	}
	return out
}

// identities are the accounts, with what their tokens may do; one without scopes
// is a person's and has no token. The administrator comes first: it makes the
// others.
func identities() []identity {
	write := []string{"write:repository", "read:user"}
	return []identity{
		{names.UserAdmin, "Administrator", []string{"write:admin", "write:organization", "write:repository", "write:user"}},
		{names.UserInstaller, "Platform installer", write},
		{names.UserBuilder, "Builder Agent", write},
		{names.UserReviewer, "Reviewer", write},
		{names.UserFoundry, "Foundry", write},
		{names.UserFoundryReviewer, "Foundry reviewer", write},
		{names.UserFlux, "Flux", []string{"read:repository", "read:user"}},
		// Who dismissed a review stands in the timeline of what Gitea calls an issue.
		{names.UserTrace, "Traceability DB", append(write, "read:issue")},
		{names.UserAuditor, "Auditor", nil},
	}
}

type identity struct {
	name   string
	title  string
	scopes []string
}

func email(name string) string { return name + "@" + names.Domain }
