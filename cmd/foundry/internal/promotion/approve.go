package promotion

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"code.gitea.io/sdk/gitea"
	"github.com/go-git/go-git/v5/plumbing"
	"k8s.io/apimachinery/pkg/util/wait"

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
		if err := c.merge(ctx, api, pr, s, r); err != nil {
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
	repo, err := source.Fetch(ctx, remote, nil, "+refs/heads/*:refs/remotes/origin/*", "+refs/pull/*/head:refs/remotes/pull/*")
	if err != nil {
		return err
	}
	before, err := filesOf(repo, plumbing.NewHash(pr.MergeBase))
	if err != nil {
		return err
	}
	proposed, err := filesOf(repo, plumbing.NewHash(pr.Head.Sha))
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

// mergeTimeout is how long Gitea may take to work out whether a pull request can be merged. After each push to the
// fleet it does that for every open one, so whoever opens many makes it slow: twenty seconds weren't enough for ten.
const mergeTimeout = 2 * time.Minute

// merge merges exactly the reviewed commit. Gitea works out in the background
// whether a pull request can be merged and says 405 until it knows.
func (c Client) merge(ctx context.Context, api *giteaclient.Client, pr *gitea.PullRequest, s fleet.Service, r fleet.Release) error {
	owner, name := split(c.Fleet)
	var last error
	err := wait.PollUntilContextTimeout(ctx, time.Second, mergeTimeout, true, func(context.Context) (bool, error) {
		ok, resp, err := api.MergePullRequest(owner, name, pr.Index, gitea.MergePullRequestOption{
			Style: gitea.MergeStyleSquash, HeadCommitId: pr.Head.Sha,
			Title: title(s, r), Message: body(s, r, ""),
		})
		status := giteaclient.Status(resp)
		if !ok && err == nil {
			err = fmt.Errorf("Gitea answered %d", status)
		}
		if status == http.StatusMethodNotAllowed || status >= http.StatusInternalServerError {
			last = err
			return false, nil
		}
		return ok, err
	})
	if err != nil {
		return fmt.Errorf("merge pull request %d of %s: %w", pr.Index, c.Fleet, errors.Join(err, last))
	}
	return nil
}
