package forge

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"code.gitea.io/sdk/gitea"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/storage/memory"

	"github.com/druppie/druppie-up/cmd/foundry/internal/fleet"
	"github.com/druppie/druppie-up/cmd/foundry/internal/source"
)

// Approve reviews a pull request that must be the promotion of this release,
// and merges it. Whether the release itself is proven is the caller's to know.
// A pull request that was merged as this release already is well too.
func (f Forge) Approve(ctx context.Context, number int64, s fleet.Service, r fleet.Release) (merged string, err error) {
	client, err := f.client(ctx)
	if err != nil {
		return "", err
	}
	owner, name := split(f.Fleet)
	pr, _, err := client.GetPullRequest(owner, name, number)
	if err != nil {
		return "", fmt.Errorf("read pull request %d of %s: %w", number, f.Fleet, err)
	}
	if why := f.review(ctx, client, pr, s, r); why != nil {
		refusal := fmt.Errorf("%w: pull request %d of %s: %w", errRefused, number, f.Fleet, why)
		// Who reads the pull request should see why it stays open. That this
		// can't be written must not hide the refusal.
		_, _, err := client.CreatePullReview(owner, name, number, gitea.CreatePullReviewOptions{
			State: gitea.ReviewStateRequestChanges, CommitID: pr.Head.Sha, Body: refusal.Error(),
		})
		if err != nil {
			err = fmt.Errorf("say so in the pull request: %w", err)
		}
		return "", errors.Join(refusal, err)
	}
	if pr.HasMerged {
		return commitOf(pr), nil
	}
	if _, _, err := client.CreatePullReview(owner, name, number, gitea.CreatePullReviewOptions{
		State: gitea.ReviewStateApproved, CommitID: pr.Head.Sha,
		Body: fmt.Sprintf("Tests, build, push and signature of %s@%s are proven for commit %s.", s.Image, r.Digest, r.Commit),
	}); err != nil {
		return "", fmt.Errorf("approve pull request %d of %s: %w", number, f.Fleet, err)
	}
	if err := f.merge(ctx, client, pr, s, r); err != nil {
		return "", err
	}
	pr, _, err = client.GetPullRequest(owner, name, number)
	if err != nil {
		return "", fmt.Errorf("read pull request %d of %s: %w", number, f.Fleet, err)
	}
	return commitOf(pr), nil
}

func commitOf(pr *gitea.PullRequest) string {
	if pr.MergedCommitID == nil {
		return ""
	}
	return *pr.MergedCommitID
}

// review gives all reasons against a pull request.
func (f Forge) review(ctx context.Context, c *gitea.Client, pr *gitea.PullRequest, s fleet.Service, r fleet.Release) error {
	if pr.Base == nil || pr.Head == nil || pr.Base.Ref != mainBranch {
		return fmt.Errorf("it isn't for %s", mainBranch)
	}
	if pr.Head.RepoID != pr.Base.RepoID {
		return errors.New("it comes from another repository")
	}
	if pr.State != gitea.StateOpen && !pr.HasMerged {
		return errors.New("it is closed: a newer release superseded it, or somebody declined it")
	}
	if pr.Poster != nil && pr.Poster.UserName == f.Credentials.Username {
		return errors.New("nobody approves their own work")
	}
	var why []error
	// What main doesn't hold was never reviewed.
	if unreviewed, err := newer(c, s.Repository, mainBranch, r.Commit); err != nil {
		why = append(why, err)
	} else if unreviewed {
		why = append(why, fmt.Errorf("commit %s isn't on %s of %s", r.Commit, mainBranch, s.Repository))
	}
	if err := f.compare(ctx, pr, s, r); err != nil {
		why = append(why, err)
	}
	return errors.Join(why...)
}

// compare works out what the pull request must contain, and says where it differs.
func (f Forge) compare(ctx context.Context, pr *gitea.PullRequest, s fleet.Service, r fleet.Release) error {
	deploy, err := f.deployment(ctx, s.Repository, r.Commit)
	if err != nil {
		return err
	}
	origin, err := f.fleetOrigin()
	if err != nil {
		return err
	}
	repo, err := source.Open(origin, memory.NewStorage(), nil)
	if err != nil {
		return err
	}
	if err := source.Fetch(ctx, repo, origin, 0,
		"+refs/heads/*:refs/remotes/origin/*", "+refs/pull/*/head:refs/remotes/pull/*"); err != nil {
		return fmt.Errorf("fetch %s: %w", f.Fleet, err)
	}
	files := func(hash string) (fleet.Files, error) {
		c, err := repo.CommitObject(plumbing.NewHash(hash))
		if err != nil {
			return nil, fmt.Errorf("commit %s of %s: %w", hash, f.Fleet, err)
		}
		return treeFiles(c)
	}
	before, err := files(pr.MergeBase)
	if err != nil {
		return err
	}
	proposed, err := files(pr.Head.Sha)
	if err != nil {
		return err
	}
	want, err := fleet.Promote(s, r, deploy, before)
	if err != nil {
		return err
	}
	if diff := fleet.Differences(want, proposed); len(diff) > 0 {
		return fmt.Errorf("it isn't the promotion of commit %s as %s: %s", short(r.Commit), r.Digest, strings.Join(diff, "; "))
	}
	return nil
}

// merge merges exactly the reviewed commit. Gitea works out in the background
// whether a pull request can be merged and says 405 until it knows.
func (f Forge) merge(ctx context.Context, c *gitea.Client, pr *gitea.PullRequest, s fleet.Service, r fleet.Release) error {
	owner, name := split(f.Fleet)
	for try := 0; ; try++ {
		ok, resp, err := c.MergePullRequest(owner, name, pr.Index, gitea.MergePullRequestOption{
			Style: gitea.MergeStyleSquash, HeadCommitId: pr.Head.Sha,
			Title: title(s, r), Message: body(s, r, ""),
		})
		if ok {
			return nil
		}
		if err == nil {
			err = fmt.Errorf("Gitea answered %s", status(resp))
		}
		again := resp != nil && resp.Response != nil &&
			(resp.StatusCode == http.StatusMethodNotAllowed || resp.StatusCode >= http.StatusInternalServerError)
		if !again || try == 20 {
			return fmt.Errorf("merge pull request %d of %s: %w", pr.Index, f.Fleet, err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
		}
	}
}

func status(resp *gitea.Response) string {
	if resp == nil || resp.Response == nil {
		return "nothing"
	}
	return resp.Status
}
