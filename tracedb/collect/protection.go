package collect

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"code.gitea.io/sdk/gitea"

	"github.com/druppie/druppie-up/internal/giteaclient"
	"github.com/druppie/druppie-up/internal/names"
	"github.com/druppie/druppie-up/tracedb"
)

// protectionInterval is the time between looks at the branch protection: Gitea tells nobody that somebody
// switched it off.
const protectionInterval = 30 * time.Second

// protections records where main isn't protected, and where it is again. What the log says last is what it
// was, so nothing is kept here. Who may only read sees whether there is a rule and how many approvals it
// wants, and not who may push.
func (f *GiteaPoller) protections(ctx context.Context) error {
	var errs []error
	err := f.repositories(ctx, func(repo *gitea.Repository) error {
		owner, name, _ := strings.Cut(repo.FullName, "/")
		branch, resp, err := f.client.GetRepoBranch(owner, name, names.MainBranch)
		if giteaclient.Status(resp) != http.StatusNotFound { // it has no main
			errs = append(errs, err)
		}
		if err == nil {
			errs = append(errs, f.protection(ctx, repo.FullName, branch))
		}
		return ctx.Err()
	})
	return errors.Join(append(errs, err)...)
}

// protection records how the protection of one main differs from what it was last.
func (f *GiteaPoller) protection(ctx context.Context, repository string, main *gitea.Branch) error {
	about := []tracedb.Ref{ref(tracedb.RefNamespace, names.NamespaceGitea), ref(tracedb.RefRepository, repository)}
	d := tracedb.Drift{
		Namespace: names.NamespaceGitea, Object: "BranchProtection/" + strings.ReplaceAll(repository, "/", ".") + "." + names.MainBranch,
		Want: "protected",
	}
	approvals := int64(1)
	if repository == f.repos.Platform || repository == f.repos.Checkpoint {
		approvals = 0 // a program pushes there
	} else {
		d.Want = "protected, with an approval of somebody else"
	}
	switch {
	case !main.Protected:
		d.Got = "not protected: whoever may write can push"
	case main.RequiredApprovals < approvals:
		d.Got = "no approval is required"
	}
	standing := ""
	err := f.own(ctx, tracedb.Query{Kinds: []tracedb.Kind{tracedb.KindDrift}, Refs: about}, func(e tracedb.Entry) error { // newest first
		if e.Outcome == tracedb.Failed {
			standing = e.ID
		}
		return errEnough
	})
	if err != nil && !errors.Is(err, errEnough) {
		return err
	}
	now, outcome := f.now(), tracedb.Failed
	id := fmt.Sprintf("drift/%s/%s/%d", d.Object, hash(d.Got), now.Unix())
	switch {
	case (standing == "") == (d.Got == ""):
		return nil
	case d.Got == "":
		id, outcome, d.Got = standing+"/undone", tracedb.Undone, d.Want
	}
	return f.tryPut(ctx, []tracedb.Draft{draft(id, tracedb.KindDrift, "", now, outcome, d, about...)})
}
