package collect

import (
	"cmp"
	"regexp"
	"strings"

	"github.com/druppie/druppie-up/internal/names"
	"github.com/druppie/druppie-up/tracedb"
)

// Repositories says which repositories of Gitea are what. All others of the owner are services.
type Repositories struct {
	Owner      string // organisation, druppie
	Checkpoint string // full name of the log's own: what happens there isn't recorded; owner/trace
	Fleet      string // full name of what Flux follows; owner/fleet
	Platform   string // full name of what the installer pushes; owner/platform
}

// withDefaults fills in the names that follow from the owner.
func (r Repositories) withDefaults() Repositories {
	r.Owner = cmp.Or(r.Owner, names.Organisation)
	r.Checkpoint = cmp.Or(r.Checkpoint, r.Owner+"/"+names.RepoTrace)
	r.Fleet = cmp.Or(r.Fleet, r.Owner+"/"+names.RepoFleet)
	r.Platform = cmp.Or(r.Platform, r.Owner+"/"+names.RepoPlatform)
	return r
}

// commit is the ref of a commit of a repository: what the fleet and the platform hold are revisions.
func (r Repositories) commit(repository, hash string) tracedb.Ref {
	if !isHash(hash) {
		return tracedb.Ref{}
	}
	if repository == r.Fleet || repository == r.Platform {
		return ref(tracedb.RefRevision, hash)
	}
	return ref(tracedb.RefCommit, hash)
}

// recorded says whether what happens in the repository is recorded.
func (r Repositories) recorded(repository string) bool {
	owner, name, ok := strings.Cut(repository, "/")
	return ok && name != "" && owner == r.Owner && repository != r.Checkpoint
}

var anyDigest = regexp.MustCompile(`sha256:[0-9a-f]{64}\b`)

// isHash says whether s is a whole commit hash; the one of zeros, by which Git says "none", isn't.
func isHash(s string) bool { return valid(tracedb.RefCommit, s) != "" && strings.Trim(s, "0") != "" }

func isDigest(s string) bool { return valid(tracedb.RefImage, s) != "" }
