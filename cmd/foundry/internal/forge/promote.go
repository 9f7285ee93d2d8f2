package forge

import (
	"context"
	"errors"
	"fmt"
	"time"

	"code.gitea.io/sdk/gitea"
	"github.com/go-git/go-billy/v5/memfs"
	"github.com/go-git/go-billy/v5/util"
	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/config"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/storage/memory"

	"github.com/druppie/druppie-up/cmd/foundry/internal/fleet"
	"github.com/druppie/druppie-up/cmd/foundry/internal/source"
)

// Proposal is what came of a promotion. Number is zero where there is nothing
// to approve, and Why says the reason.
type Proposal struct {
	Number int64
	URL    string
	Why    string
}

// Promote proposes a release in a pull request. One that fleet has already needs
// none, one that is open already is used again, and open ones with older
// releases of the service are closed. run names the pipeline run, for readers.
func (f Forge) Promote(ctx context.Context, s fleet.Service, r fleet.Release, run string) (Proposal, error) {
	deploy, err := f.deployment(ctx, s.Repository, r.Commit)
	if err != nil {
		return Proposal{}, err
	}
	client, err := f.client(ctx)
	if err != nil {
		return Proposal{}, err
	}
	co, err := f.checkoutFleet(ctx)
	if err != nil {
		return Proposal{}, err
	}
	before, err := treeFiles(co.head)
	if err != nil {
		return Proposal{}, err
	}
	after, err := fleet.Promote(s, r, deploy, before)
	if err != nil {
		return Proposal{}, err
	}
	if len(fleet.Differences(after, before)) == 0 {
		return Proposal{Why: "fleet has this release already"}, nil
	}
	if why, err := overtaken(client, s, r, before); err != nil || why != "" {
		return Proposal{Why: why}, err
	}
	if open, err := f.supersede(client, s, r); err != nil || open != nil {
		return proposal(open), err
	}
	if err := co.write(ctx, s, r, before, after); err != nil {
		return Proposal{}, err
	}
	owner, name := split(f.Fleet)
	pr, _, err := client.CreatePullRequest(owner, name, gitea.CreatePullRequestOption{
		Head: branch(s), Base: mainBranch, Title: title(s, r), Body: body(s, r, run),
	})
	if err != nil {
		return Proposal{}, fmt.Errorf("open a pull request in %s: %w", f.Fleet, err)
	}
	return proposal(pr), nil
}

func proposal(pr *gitea.PullRequest) Proposal {
	if pr == nil {
		return Proposal{}
	}
	return Proposal{Number: pr.Index, URL: pr.HTMLURL}
}

// overtaken says why a release is out of date: runs may end in another order
// than they began, and a newer commit that fleet has must not go back.
func overtaken(c *gitea.Client, s fleet.Service, r fleet.Release, now fleet.Files) (string, error) {
	current, err := fleet.Released(s, now)
	if err != nil {
		return "", err
	}
	if current.Commit == "" || current.Commit == r.Commit {
		return "", nil
	}
	ahead, err := newer(c, s.Repository, r.Commit, current.Commit)
	if err != nil {
		return "", err
	}
	if !ahead {
		return "", nil
	}
	behind, err := newer(c, s.Repository, current.Commit, r.Commit)
	if err != nil {
		return "", err
	}
	if behind {
		return "", nil // histories that parted: what main has now decides
	}
	return fmt.Sprintf("fleet has a newer commit, %s", current.Commit), nil
}

// supersede finds the open pull request with this very release, and closes
// those with others of the same service.
func (f Forge) supersede(c *gitea.Client, s fleet.Service, r fleet.Release) (*gitea.PullRequest, error) {
	owner, name := split(f.Fleet)
	var same *gitea.PullRequest
	var old []*gitea.PullRequest
	for page := 1; page > 0; {
		list, resp, err := c.ListRepoPullRequests(owner, name, gitea.ListPullRequestsOptions{
			ListOptions: gitea.ListOptions{Page: page, PageSize: 50}, State: gitea.StateOpen,
		})
		if err != nil {
			return nil, fmt.Errorf("list pull requests of %s: %w", f.Fleet, err)
		}
		for _, pr := range list {
			switch {
			case pr.Head == nil || pr.Poster == nil || pr.Poster.UserName != f.Credentials.Username:
			case pr.Head.Ref != branch(s):
			case pr.Title == title(s, r):
				same = pr
			default:
				old = append(old, pr)
			}
		}
		page = resp.NextPage
	}
	for _, pr := range old {
		closed := gitea.StateClosed
		if _, _, err := c.EditPullRequest(owner, name, pr.Index, gitea.EditPullRequestOption{State: &closed}); err != nil {
			return nil, fmt.Errorf("close pull request %d, which %s supersedes: %w", pr.Index, short(r.Commit), err)
		}
	}
	return same, nil
}

func title(s fleet.Service, r fleet.Release) string {
	return fmt.Sprintf("%s: %s from commit %s", s.Dir(), short(r.Digest), short(r.Commit))
}

func body(s fleet.Service, r fleet.Release, run string) string {
	return fmt.Sprintf("Service: %s\nCommit: %s\nImage: %s@%s\nPipeline run: %s\n",
		s.Repository, r.Commit, s.Image, r.Digest, run)
}

// checkout is fleet's main, in memory.
type checkout struct {
	forge  Forge
	origin source.Origin
	repo   *git.Repository
	head   *object.Commit
}

func (f Forge) checkoutFleet(ctx context.Context) (*checkout, error) {
	origin, err := f.fleetOrigin()
	if err != nil {
		return nil, err
	}
	repo, err := source.Open(origin, memory.NewStorage(), memfs.New())
	if err != nil {
		return nil, err
	}
	if err := source.Fetch(ctx, repo, origin, 0, "+refs/heads/main:refs/heads/main"); err != nil {
		return nil, fmt.Errorf("fetch %s: %w", f.Fleet, err)
	}
	ref, err := repo.Reference(plumbing.NewBranchReferenceName(mainBranch), true)
	if err != nil {
		return nil, fmt.Errorf("%s has no %s: %w", f.Fleet, mainBranch, err)
	}
	head, err := repo.CommitObject(ref.Hash())
	if err != nil {
		return nil, err
	}
	return &checkout{f, origin, repo, head}, nil
}

// write commits the files after a promotion on a branch of their own and pushes it.
func (c *checkout) write(ctx context.Context, s fleet.Service, r fleet.Release, before, after fleet.Files) error {
	wt, err := c.repo.Worktree()
	if err != nil {
		return err
	}
	ref := plumbing.NewBranchReferenceName(branch(s))
	if err := wt.Checkout(&git.CheckoutOptions{Hash: c.head.Hash, Branch: ref, Create: true, Force: true}); err != nil {
		return fmt.Errorf("check out %s: %w", c.forge.Fleet, err)
	}
	for name := range before {
		if _, ok := after[name]; !ok {
			if _, err := wt.Remove(name); err != nil {
				return fmt.Errorf("remove %s: %w", name, err)
			}
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
	who := &object.Signature{
		Name: c.forge.Credentials.Username, Email: c.forge.Credentials.Username + "@druppie.invalid", When: time.Now(),
	}
	if _, err := wt.Commit(title(s, r)+"\n\n"+body(s, r, ""), &git.CommitOptions{Author: who, Committer: who}); err != nil {
		if errors.Is(err, git.ErrEmptyCommit) {
			return fmt.Errorf("nothing to promote: %w", err)
		}
		return fmt.Errorf("commit the promotion: %w", err)
	}
	// The branch has the last release still, or what a step left that is tried
	// again now: either way it is replaced.
	spec := config.RefSpec("+" + ref.String() + ":" + ref.String())
	if err := source.Push(ctx, c.repo, c.origin, spec); err != nil {
		return fmt.Errorf("push %s: %w", ref.Short(), err)
	}
	return nil
}
