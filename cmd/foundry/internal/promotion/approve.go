package promotion

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"code.gitea.io/sdk/gitea"
	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/config"
	"github.com/go-git/go-git/v5/plumbing"

	"github.com/druppie/druppie-up/cmd/foundry/internal/fleet"
	"github.com/druppie/druppie-up/cmd/foundry/internal/source"
	"github.com/druppie/druppie-up/internal/giteaclient"
	"github.com/druppie/druppie-up/internal/names"
)

// Approve reviews a pull request that must be the promotion of this release,
// and merges it. Whether the release itself is proven is the caller's to know.
// A pull request that was merged as this release already is well too.
func (c Client) Approve(ctx context.Context, number int64, s fleet.Service, r fleet.Release) (merged string, err error) {
	api, err := c.api(ctx)
	if err != nil {
		return "", err
	}
	owner, name := split(c.Fleet)
	pr, _, err := api.GetPullRequest(owner, name, number)
	if err != nil {
		return "", fmt.Errorf("read pull request %d of %s: %w", number, c.Fleet, err)
	}
	review := func(state gitea.ReviewStateType, text string) error {
		options := gitea.CreatePullReviewOptions{State: state, Body: text}
		if pr.Head != nil { // else there is nothing to approve, only to say so
			options.CommitID = pr.Head.Sha
		}
		_, _, err := api.CreatePullReview(owner, name, number, options)
		return err
	}
	if reasons := c.check(ctx, api, pr, s, r); reasons != nil {
		refusal := fmt.Errorf("promotion refused: pull request %d of %s: %w", number, c.Fleet, reasons)
		// Who reads the pull request should see why it stays open. That this
		// can't be written must not hide the refusal.
		if err := review(gitea.ReviewStateRequestChanges, refusal.Error()); err != nil {
			refusal = errors.Join(refusal, fmt.Errorf("say so in the pull request: %w", err))
		}
		return "", refusal
	}
	if !pr.HasMerged {
		approval := fmt.Sprintf("Tests, build, push and signature of %s@%s are proven for commit %s.", s.Image, r.Digest, r.Commit)
		if err := review(gitea.ReviewStateApproved, approval); err != nil {
			return "", fmt.Errorf("approve pull request %d of %s: %w", number, c.Fleet, err)
		}
		if err := api.Merge(ctx, owner, name, number, giteaclient.Merge{
			Head: pr.Head.Sha, Title: title(s, r), Message: body(s, r, ""),
		}); err != nil {
			return "", err
		}
		if pr, _, err = api.GetPullRequest(owner, name, number); err != nil {
			return "", fmt.Errorf("read pull request %d of %s: %w", number, c.Fleet, err)
		}
	}
	if pr.MergedCommitID == nil {
		return "", nil
	}
	return *pr.MergedCommitID, nil
}

// check gives all reasons against a pull request.
func (c Client) check(ctx context.Context, api *giteaclient.Client, pr *gitea.PullRequest, s fleet.Service, r fleet.Release) error {
	switch {
	case pr.Base == nil || pr.Head == nil || pr.Base.Ref != names.MainBranch:
		return fmt.Errorf("it isn't for %s", names.MainBranch)
	case pr.Head.RepoID != pr.Base.RepoID:
		return errors.New("it comes from another repository")
	case pr.State != gitea.StateOpen && !pr.HasMerged:
		return errors.New("it is closed: a newer release superseded it, or somebody declined it")
	case pr.Poster != nil && pr.Poster.UserName == c.Credentials.Username:
		return errors.New("nobody approves their own work")
	}
	// What main doesn't hold was never reviewed.
	unreviewed, err := source.HasMore(api, s.Repository, names.MainBranch, r.Commit)
	if unreviewed {
		err = fmt.Errorf("commit %s isn't on %s of %s", r.Commit, names.MainBranch, s.Repository)
	}
	return errors.Join(err, c.compare(ctx, pr, s, r))
}

// compare works out what the pull request must contain, and says where it differs; and holds what the release brings
// to what was approved.
func (c Client) compare(ctx context.Context, pr *gitea.PullRequest, s fleet.Service, r fleet.Release) error {
	deploy, err := c.deployment(ctx, s.Repository, r.Commit)
	if err != nil {
		return err
	}
	remote, err := c.fleetRemote()
	if err != nil {
		return err
	}
	// No other branch: whoever may propose something could make it too large to fetch.
	branches := []config.RefSpec{"+refs/heads/" + names.MainBranch + ":refs/remotes/origin/" + names.MainBranch}
	if pr.Head.Ref != names.MainBranch {
		branches = append(branches, config.RefSpec("+refs/heads/"+pr.Head.Ref+":refs/remotes/origin/proposed"))
	}
	repo, err := source.Fetch(ctx, remote, nil, branches...)
	if err != nil {
		return err
	}
	before, proposed, err := changed(repo, plumbing.NewHash(pr.Head.Sha))
	if err != nil {
		return err
	}
	want, err := fleet.Promote(s, r, deploy, before)
	if err != nil {
		return err
	}
	current, err := fleet.Released(s, before)
	if err != nil {
		return err
	}
	reviews, err := c.reviews(ctx, s.Repository)
	if err != nil {
		return err
	}
	err = reviews.Check(ctx, current.Commit, r.Commit)
	if diff := fleet.Differences(want, proposed); len(diff) > 0 {
		err = errors.Join(fmt.Errorf("it isn't the promotion of commit %s as %s: %s", short(r.Commit), r.Digest, strings.Join(diff, "; ")), err)
	}
	return err
}

// changed is what the fleet holds where a proposal left main, and what it holds with that. Gitea's own word for where
// that is comes late: for a moment it names what main was before another tenant's promotion.
func changed(repo *git.Repository, head plumbing.Hash) (before, proposed fleet.Files, err error) {
	ref, err := repo.Reference(plumbing.NewRemoteReferenceName("origin", names.MainBranch), true)
	if err != nil {
		return nil, nil, fmt.Errorf("main of fleet: %w", err)
	}
	main, err := repo.CommitObject(ref.Hash())
	if err != nil {
		return nil, nil, fmt.Errorf("main of fleet: %w", err)
	}
	commit, err := repo.CommitObject(head)
	if err != nil {
		return nil, nil, fmt.Errorf("commit %s of fleet: %w", head, err)
	}
	bases, err := commit.MergeBase(main)
	if err == nil && len(bases) == 0 {
		err = fmt.Errorf("it has no history in common with %s", names.MainBranch)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("where the proposal left %s: %w", names.MainBranch, err)
	}
	if before, err = fleet.Read(bases[0]); err != nil {
		return nil, nil, err
	}
	proposed, err = fleet.Read(commit)
	return before, proposed, err
}
