package scenarios

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"code.gitea.io/sdk/gitea"

	"github.com/druppie/druppie-up/internal/giteaclient"
	"github.com/druppie/druppie-up/internal/names"
	"github.com/druppie/druppie-up/scenarios/platform"
)

func runPR(c *call, p *platform.Platform) error {
	client, err := p.Gitea(c.ctx, c.args[1])
	if err != nil {
		return err
	}
	repo := c.args[2]
	switch c.args[0] {
	case "open":
		base := names.MainBranch
		if len(c.args) > 5 {
			base = c.args[5]
		}
		pr, resp, err := client.CreatePullRequest(names.Organisation, repo, gitea.CreatePullRequestOption{
			Head: c.args[3], Base: base, Title: c.args[4],
		})
		if err != nil {
			return giteaErr("open a pull request", resp, err)
		}
		c.ts.Setenv("PR", strconv.FormatInt(pr.Index, 10))
		if c.ended {
			return nil
		}
		if !c.lasting {
			c.cleanup(fmt.Sprintf("pull request %d of %s", pr.Index, repo), func(after *call) error {
				return closeLeftOpen(after.ctx, p, repo, pr.Index)
			})
		}
		fmt.Fprintln(c.ts.Stdout(), pr.HTMLURL)
		return nil
	case "approve":
		review := gitea.CreatePullReviewOptions{State: gitea.ReviewStateApproved, Body: "Reviewed by " + c.args[1] + "."}
		if len(c.args) > 4 {
			review.CommitID = c.args[4]
		}
		return submitReview(client, repo, c.number, review)
	case "reject":
		return submitReview(client, repo, c.number, gitea.CreatePullReviewOptions{State: gitea.ReviewStateRequestChanges, Body: "Not like this."})
	case "retarget":
		_, resp, err := client.EditPullRequest(names.Organisation, repo, c.number, gitea.EditPullRequestOption{Base: c.args[4]})
		return giteaErr("retarget", resp, err)
	case "dismiss":
		return dismiss(client, repo, c.number)
	case "close", "reopen":
		state := map[string]gitea.StateType{"close": gitea.StateClosed, "reopen": gitea.StateOpen}[c.args[0]]
		_, resp, err := client.EditPullRequest(names.Organisation, repo, c.number, gitea.EditPullRequestOption{State: &state})
		return giteaErr(c.args[0], resp, err)
	case "find":
		return findPR(c, client, repo, c.args[3])
	case "approved":
		return approved(c, client, repo)
	case "merged":
		return merged(c, client, repo)
	}
	if err := merge(c, client, repo); err != nil {
		return err
	}
	c.settle(p, repo, c.ts.Getenv("COMMIT"))
	return nil
}

func submitReview(client *giteaclient.Client, repo string, pr int64, review gitea.CreatePullReviewOptions) error {
	_, resp, err := client.CreatePullReview(names.Organisation, repo, pr, review)
	return giteaErr("review", resp, err)
}

// approvals are those of a pull request that stand.
func approvals(client *giteaclient.Client, repo string, pr int64) ([]*gitea.PullReview, error) {
	reviews, resp, err := client.ListPullReviews(names.Organisation, repo, pr, gitea.ListPullReviewsOptions{})
	if err != nil {
		return nil, giteaErr("list reviews", resp, err)
	}
	return slices.DeleteFunc(reviews, func(r *gitea.PullReview) bool { return r.State != gitea.ReviewStateApproved || r.Dismissed }), nil
}

// dismiss dismisses every approval that stands.
func dismiss(client *giteaclient.Client, repo string, pr int64) error {
	standing, err := approvals(client, repo, pr)
	if err == nil && len(standing) == 0 {
		err = fmt.Errorf("pull request %d has no approval to dismiss", pr)
	}
	for _, r := range standing {
		resp, dismissed := client.DismissPullReview(names.Organisation, repo, pr, r.ID, gitea.DismissPullReviewOptions{Message: "Looked again."})
		err = errors.Join(err, giteaErr("dismiss", resp, dismissed))
	}
	return err
}

// awaitDismissed waits until no approval of a pull request stands: Gitea dismisses what went stale a little later.
func awaitDismissed(c *call) error {
	p, err := c.platform()
	if err != nil {
		return err
	}
	client, err := p.Gitea(c.ctx, names.UserAdmin)
	if err != nil {
		return err
	}
	return c.wait(20*time.Second, func() (bool, string, error) {
		standing, err := approvals(client, c.args[1], c.number)
		return err == nil && len(standing) == 0, "for the approval to be dismissed", err
	})
}

// closeLeftOpen closes a pull request that the script left open. Its branch stays, as those of merged ones do: they
// are protected, and Gitea lets nobody delete a protected branch.
func closeLeftOpen(ctx context.Context, p *platform.Platform, repo string, number int64) error {
	client, err := p.Gitea(ctx, names.UserAdmin)
	if err != nil {
		return err
	}
	pr, _, err := client.GetPullRequest(names.Organisation, repo, number)
	if err != nil || pr.State != gitea.StateOpen {
		return err
	}
	closed := gitea.StateClosed
	_, _, err = client.EditPullRequest(names.Organisation, repo, number, gitea.EditPullRequestOption{State: &closed})
	return err
}

// merge merges a pull request, overriding what forbids it if that is asked for, and sets COMMIT. Gitea works out in
// the background whether it can be merged, and asks to try again until it knows.
func merge(c *call, client *giteaclient.Client, repo string) error {
	path := fmt.Sprintf("/repos/%s/%s/pulls/%d/merge", names.Organisation, repo, c.number)
	err := c.wait(2*time.Minute, func() (bool, string, error) {
		// The SDK leaves unread why it was refused.
		err := client.Call(c.ctx, http.MethodPost, path, map[string]any{"Do": "squash", "force_merge": c.args[0] == "override"}, nil)
		var refused *giteaclient.Error
		switch {
		case err == nil:
			return true, "", nil
		case !errors.As(err, &refused):
		case refused.Status == http.StatusMethodNotAllowed && strings.Contains(strings.ToLower(refused.Message), "try again"):
			return false, "for Gitea to find out whether it can be merged", nil
		case giteaclient.Raced(err):
			return false, "for another merge to be over", nil
		case refused.Status == http.StatusMethodNotAllowed || refused.Status == http.StatusForbidden:
			return false, "", refusal{fmt.Errorf("merge: %w", err)}
		}
		return false, "", fmt.Errorf("merge: %w", err)
	})
	if err != nil {
		return err
	}
	return merged(c, client, repo)
}

// merged sets COMMIT to what a pull request became on main.
func merged(c *call, client *giteaclient.Client, repo string) error {
	pr, resp, err := client.GetPullRequest(names.Organisation, repo, c.number)
	if err != nil {
		return giteaErr("read the pull request", resp, err)
	}
	if !pr.HasMerged || pr.MergedCommitID == nil {
		return fmt.Errorf("pull request %d says it isn't merged", c.number)
	}
	c.ts.Setenv("COMMIT", *pr.MergedCommitID)
	return nil
}

// findPR sets PR to the newest pull request from a branch that wasn't closed without being merged.
func findPR(c *call, client *giteaclient.Client, repo, branch string) error {
	prs, resp, err := client.ListRepoPullRequests(names.Organisation, repo, gitea.ListPullRequestsOptions{
		State: gitea.StateAll, Sort: "newest", ListOptions: gitea.ListOptions{Page: 1, PageSize: 50},
	})
	if err != nil {
		return giteaErr("list pull requests", resp, err)
	}
	for _, pr := range prs {
		if pr.Head != nil && pr.Head.Name == branch && (pr.HasMerged || pr.State == gitea.StateOpen) {
			c.ts.Setenv("PR", strconv.FormatInt(pr.Index, 10))
			fmt.Fprintln(c.ts.Stdout(), pr.HTMLURL)
			return nil
		}
	}
	return fmt.Errorf("no pull request asks for %s", branch)
}

// approved wants a pull request that the identity approves of as it is.
func approved(c *call, client *giteaclient.Client, repo string) error {
	standing, err := approvals(client, repo, c.number)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(standing, func(r *gitea.PullReview) bool { return r.Reviewer != nil && r.Reviewer.UserName == c.args[1] }) {
		return fmt.Errorf("%s hasn't approved pull request %d", c.args[1], c.number)
	}
	return nil
}
