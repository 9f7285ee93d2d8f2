package promotion

import (
	"context"
	"fmt"
	"slices"
	"time"

	"code.gitea.io/sdk/gitea"
	"github.com/go-git/go-billy/v5/memfs"
	"github.com/go-git/go-billy/v5/util"
	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/config"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/druppie/druppie-up/cmd/foundry/internal/fleet"
	"github.com/druppie/druppie-up/cmd/foundry/internal/source"
	"github.com/druppie/druppie-up/internal/giteaclient"
	"github.com/druppie/druppie-up/internal/names"
)

// PullRequest is what came of a promotion. Number is zero where there is nothing
// to approve, for the Reason.
type PullRequest struct {
	Number int64
	URL    string
	Reason string
}

// Promote proposes a release in a pull request. One that fleet has already needs
// none, one that is open already is used again, and open ones with older
// releases of the service are closed. run names the pipeline run, for readers.
func (c Client) Promote(ctx context.Context, s fleet.Service, r fleet.Release, run string) (PullRequest, error) {
	deploy, err := c.deployment(ctx, s.Repository, r.Commit)
	if err != nil {
		return PullRequest{}, err
	}
	api, err := c.api(ctx)
	if err != nil {
		return PullRequest{}, err
	}
	if err := c.awaitOthers(ctx, api, s, r); err != nil {
		return PullRequest{}, err
	}
	remote, err := c.fleetRemote()
	if err != nil {
		return PullRequest{}, err
	}
	repo, err := source.Fetch(ctx, remote, memfs.New(), "+refs/heads/main:refs/heads/main")
	if err != nil {
		return PullRequest{}, err
	}
	ref, err := repo.Reference(plumbing.NewBranchReferenceName(names.MainBranch), true)
	if err != nil {
		return PullRequest{}, fmt.Errorf("%s has no %s: %w", c.Fleet, names.MainBranch, err)
	}
	before, err := filesOf(repo, ref.Hash())
	if err != nil {
		return PullRequest{}, err
	}
	after, err := fleet.Promote(s, r, deploy, before)
	if err != nil {
		return PullRequest{}, err
	}
	if len(fleet.Differences(after, before)) == 0 {
		return PullRequest{Reason: "fleet has this release already"}, nil
	}
	if reason, err := outdated(api, s, r, before); err != nil || reason != "" {
		return PullRequest{Reason: reason}, err
	}
	pr, err := c.openPullRequest(api, s, r)
	if err != nil {
		return PullRequest{}, err
	}
	if pr == nil {
		if err := c.pushBranch(ctx, repo, ref.Hash(), s, r, before, after); err != nil {
			return PullRequest{}, err
		}
		owner, name := split(c.Fleet)
		pr, _, err = api.CreatePullRequest(owner, name, gitea.CreatePullRequestOption{
			Head: branch(s), Base: names.MainBranch, Title: title(s, r), Body: body(s, r, run),
		})
		if err != nil {
			return PullRequest{}, fmt.Errorf("open a pull request in %s: %w", c.Fleet, err)
		}
	}
	return PullRequest{Number: pr.Index, URL: pr.HTMLURL}, nil
}

func filesOf(repo *git.Repository, hash plumbing.Hash) (fleet.Files, error) {
	commit, err := repo.CommitObject(hash)
	if err != nil {
		return nil, fmt.Errorf("commit %s of fleet: %w", hash, err)
	}
	return fleet.Read(commit)
}

// outdated says why a release is out of date: runs may end in another order
// than they began, and a newer commit that fleet has must not go back.
func outdated(api *giteaclient.Client, s fleet.Service, r fleet.Release, files fleet.Files) (string, error) {
	current, err := fleet.Released(s, files)
	if err != nil {
		return "", err
	}
	if current.Commit == "" || current.Commit == r.Commit {
		return "", nil
	}
	if ahead, err := hasMore(api, s.Repository, r.Commit, current.Commit); err != nil || !ahead {
		return "", err
	}
	// Where both have history that the other lacks, what main has now decides.
	if diverged, err := hasMore(api, s.Repository, current.Commit, r.Commit); err != nil || diverged {
		return "", err
	}
	return fmt.Sprintf("fleet has a newer commit, %s", current.Commit), nil
}

// openPullRequest finds the open pull request with this very release, and closes
// those with others of the same service.
func (c Client) openPullRequest(api *giteaclient.Client, s fleet.Service, r fleet.Release) (*gitea.PullRequest, error) {
	open, err := c.open(api, s)
	if err != nil {
		return nil, err
	}
	owner, name := split(c.Fleet)
	var same *gitea.PullRequest
	closed := gitea.StateClosed
	for _, pr := range open {
		if pr.Title == title(s, r) {
			same = pr
			continue
		}
		if _, _, err := api.EditPullRequest(owner, name, pr.Index, gitea.EditPullRequestOption{State: &closed}); err != nil {
			return nil, fmt.Errorf("close pull request %d, which %s supersedes: %w", pr.Index, short(r.Commit), err)
		}
	}
	return same, nil
}

// open are this identity's open pull requests that promote a service.
func (c Client) open(api *giteaclient.Client, s fleet.Service) ([]*gitea.PullRequest, error) {
	owner, name := split(c.Fleet)
	var out []*gitea.PullRequest
	for page := 1; page > 0; {
		list, resp, err := api.ListRepoPullRequests(owner, name, gitea.ListPullRequestsOptions{
			ListOptions: gitea.ListOptions{Page: page, PageSize: 50}, State: gitea.StateOpen,
		})
		if err != nil {
			return nil, fmt.Errorf("list pull requests of %s: %w", c.Fleet, err)
		}
		for _, pr := range list {
			if pr.Head != nil && pr.Head.Ref == branch(s) && pr.Poster != nil && pr.Poster.UserName == c.Credentials.Username {
				out = append(out, pr)
			}
		}
		page = resp.NextPage
	}
	return out, nil
}

// othersTimeout is how long a promotion lets another one of the same service come to its end.
const othersTimeout = 90 * time.Second

// awaitOthers waits while another run's promotion of the service is on its way. To close that one while it is being
// merged would change main beneath this one, which could then not be merged. One that nobody has touched for so long
// was left by a run that failed, and isn't waited for.
func (c Client) awaitOthers(ctx context.Context, api *giteaclient.Client, s fleet.Service, r fleet.Release) error {
	err := wait.PollUntilContextTimeout(ctx, time.Second, othersTimeout, true, func(context.Context) (bool, error) {
		open, err := c.open(api, s)
		return !slices.ContainsFunc(open, func(pr *gitea.PullRequest) bool {
			return pr.Title != title(s, r) && pr.Updated != nil && time.Since(*pr.Updated) < othersTimeout
		}), err
	})
	if wait.Interrupted(err) && ctx.Err() == nil {
		return nil
	}
	return err
}

// pushBranch commits the files after a promotion on a branch of their own and pushes it.
func (c Client) pushBranch(ctx context.Context, repo *git.Repository, head plumbing.Hash, s fleet.Service, r fleet.Release, before, after fleet.Files) error {
	wt, err := repo.Worktree()
	if err != nil {
		return err
	}
	ref := plumbing.NewBranchReferenceName(branch(s))
	if err := wt.Checkout(&git.CheckoutOptions{Hash: head, Branch: ref, Create: true, Force: true}); err != nil {
		return fmt.Errorf("check out %s: %w", c.Fleet, err)
	}
	for name := range before {
		if _, ok := after[name]; ok {
			continue
		}
		if _, err := wt.Remove(name); err != nil {
			return fmt.Errorf("remove %s: %w", name, err)
		}
	}
	for name, data := range after {
		if old, ok := before[name]; ok && string(old) == string(data) {
			continue
		}
		if err := util.WriteFile(wt.Filesystem, name, data, 0o644); err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
		if _, err := wt.Add(name); err != nil {
			return fmt.Errorf("add %s: %w", name, err)
		}
	}
	author := &object.Signature{Name: c.Credentials.Username, Email: c.Credentials.Username + "@druppie.invalid", When: time.Now()}
	if _, err := wt.Commit(title(s, r)+"\n\n"+body(s, r, ""), &git.CommitOptions{Author: author, Committer: author}); err != nil {
		return fmt.Errorf("commit the promotion: %w", err)
	}
	remote, err := c.fleetRemote()
	if err != nil {
		return err
	}
	// The branch has the last release still, or what a step left that is tried
	// again now: either way it is replaced.
	return source.Push(ctx, repo, remote, config.RefSpec("+"+ref.String()+":"+ref.String()))
}
