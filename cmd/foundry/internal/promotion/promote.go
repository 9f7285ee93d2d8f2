package promotion

import (
	"context"
	"fmt"
	"slices"
	"strings"
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

// Promote proposes a release in a pull request, and gives it when it is its turn: promotions of a service are merged
// one after the other, in the order of their pull requests, each on top of the one before. A release that fleet has
// already needs none, one that is proposed already is used again, and one that became outdated while it waited is
// closed. run names the pipeline run, for readers.
func (c Client) Promote(ctx context.Context, s fleet.Service, r fleet.Release, run string) (PullRequest, error) {
	deploy, err := c.deployment(ctx, s.Repository, r.Commit)
	if err != nil {
		return PullRequest{}, err
	}
	api, err := c.api(ctx)
	if err != nil {
		return PullRequest{}, err
	}
	remote, err := c.fleetRemote()
	if err != nil {
		return PullRequest{}, err
	}
	var got PullRequest
	pushedOn := plumbing.ZeroHash // what the proposal was made on top of
	err = wait.PollUntilContextTimeout(ctx, time.Second, turnTimeout, true, func(ctx context.Context) (bool, error) {
		mine, earlier, err := c.proposed(api, s, r)
		if err != nil {
			return false, err
		}
		if mine != nil {
			got = PullRequest{Number: mine.Index, URL: mine.HTMLURL}
			if len(earlier) > 0 {
				return false, nil
			}
		}
		repo, err := source.Fetch(ctx, remote, memfs.New(), "+refs/heads/main:refs/heads/main")
		if err != nil {
			return false, err
		}
		ref, err := repo.Reference(plumbing.NewBranchReferenceName(names.MainBranch), true)
		if err != nil {
			return false, fmt.Errorf("%s has no %s: %w", c.Fleet, names.MainBranch, err)
		}
		before, err := filesOf(repo, ref.Hash())
		if err != nil {
			return false, err
		}
		after, err := fleet.Promote(s, r, deploy, before)
		if err != nil {
			return false, err
		}
		reason := ""
		if len(fleet.Differences(after, before)) == 0 {
			reason = "fleet has this release already"
		} else if reason, err = outdated(api, s, r, before); err != nil {
			return false, err
		}
		if reason != "" {
			got = PullRequest{Reason: reason}
			return true, c.close(api, mine)
		}
		if mine == nil || pushedOn != ref.Hash() {
			if err := c.pushBranch(ctx, repo, ref.Hash(), s, r, before, after); err != nil {
				return false, err
			}
			pushedOn = ref.Hash()
		}
		if mine == nil {
			owner, name := split(c.Fleet)
			mine, _, err = api.CreatePullRequest(owner, name, gitea.CreatePullRequestOption{
				Head: branch(s, r), Base: names.MainBranch, Title: title(s, r), Body: body(s, r, run),
			})
			if err != nil {
				return false, fmt.Errorf("open a pull request in %s: %w", c.Fleet, err)
			}
			return false, nil // others may have opened theirs meanwhile
		}
		return true, nil
	})
	if wait.Interrupted(err) && ctx.Err() == nil {
		err = fmt.Errorf("pull request %d of %s didn't have its turn within %s: others of the service are still on their way", got.Number, c.Fleet, turnTimeout)
	}
	return got, err
}

const (
	// turnTimeout is how long a promotion waits for its turn.
	turnTimeout = 4 * time.Minute
	// abandoned is how long nobody has touched the promotion of a run that failed.
	abandoned = 3 * time.Minute
)

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
	if ahead, err := source.HasMore(api, s.Repository, r.Commit, current.Commit); err != nil || !ahead {
		return "", err
	}
	// Where both have history that the other lacks, what main has now decides.
	if diverged, err := source.HasMore(api, s.Repository, current.Commit, r.Commit); err != nil || diverged {
		return "", err
	}
	return fmt.Sprintf("fleet has a newer commit, %s", current.Commit), nil
}

// proposed finds this identity's open pull request with this very release, and those of other releases of the
// service that were opened before it, or all of them where it isn't there yet. Those that were refused, or that a
// failed run has left, it closes.
func (c Client) proposed(api *giteaclient.Client, s fleet.Service, r fleet.Release) (mine *gitea.PullRequest, earlier []*gitea.PullRequest, err error) {
	owner, name := split(c.Fleet)
	var others []*gitea.PullRequest
	for page := 1; page > 0; {
		list, resp, err := api.ListRepoPullRequests(owner, name, gitea.ListPullRequestsOptions{
			ListOptions: gitea.ListOptions{Page: page, PageSize: 50}, State: gitea.StateOpen,
		})
		if err != nil {
			return nil, nil, fmt.Errorf("list pull requests of %s: %w", c.Fleet, err)
		}
		for _, pr := range list {
			switch {
			case pr.Poster == nil || pr.Poster.UserName != c.Credentials.Username || !strings.HasPrefix(pr.Title, s.Dir()+": "):
			case pr.Title == title(s, r):
				mine = pr
			default:
				others = append(others, pr)
			}
		}
		page = resp.NextPage
	}
	for _, pr := range others {
		over, err := c.over(api, pr)
		switch {
		case err != nil:
			return nil, nil, err
		case over:
			if err := c.close(api, pr); err != nil {
				return nil, nil, err
			}
		case mine == nil || pr.Index < mine.Index:
			earlier = append(earlier, pr)
		}
	}
	return mine, earlier, nil
}

// over says whether nothing comes of a promotion any more: it was refused, or its run has left it.
func (c Client) over(api *giteaclient.Client, pr *gitea.PullRequest) (bool, error) {
	if pr.Updated != nil && time.Since(*pr.Updated) > abandoned {
		return true, nil
	}
	owner, name := split(c.Fleet)
	reviews, _, err := api.ListPullReviews(owner, name, pr.Index, gitea.ListPullReviewsOptions{})
	if err != nil {
		return false, fmt.Errorf("reviews of pull request %d of %s: %w", pr.Index, c.Fleet, err)
	}
	return slices.ContainsFunc(reviews, func(r *gitea.PullReview) bool {
		return r.State == gitea.ReviewStateRequestChanges && !r.Dismissed
	}), nil
}

// close closes a pull request, if there is one.
func (c Client) close(api *giteaclient.Client, pr *gitea.PullRequest) error {
	if pr == nil {
		return nil
	}
	owner, name := split(c.Fleet)
	closed := gitea.StateClosed
	if _, _, err := api.EditPullRequest(owner, name, pr.Index, gitea.EditPullRequestOption{State: &closed}); err != nil {
		return fmt.Errorf("close pull request %d: %w", pr.Index, err)
	}
	return nil
}

// pushBranch commits the files after a promotion on a branch of their own and pushes it.
func (c Client) pushBranch(ctx context.Context, repo *git.Repository, head plumbing.Hash, s fleet.Service, r fleet.Release, before, after fleet.Files) error {
	wt, err := repo.Worktree()
	if err != nil {
		return err
	}
	ref := plumbing.NewBranchReferenceName(branch(s, r))
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
	// The branch may be there from before main moved, or from a step that is tried again now: it is replaced.
	return source.Push(ctx, repo, remote, config.RefSpec("+"+ref.String()+":"+ref.String()))
}
