package scenarios

import (
	"errors"
	"fmt"
	"net/http"
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
		pr, resp, err := client.CreatePullRequest(names.Organisation, repo, gitea.CreatePullRequestOption{
			Head: c.args[3], Base: names.MainBranch, Title: c.args[4],
		})
		if err != nil {
			return giteaErr("open a pull request", resp, err)
		}
		c.ts.Setenv("PR", strconv.FormatInt(pr.Index, 10))
		fmt.Fprintln(c.ts.Stdout(), pr.HTMLURL)
		return nil
	case "approve":
		_, resp, err := client.CreatePullReview(names.Organisation, repo, c.number, gitea.CreatePullReviewOptions{
			State: gitea.ReviewStateApproved, Body: "Reviewed by " + c.args[1] + ".",
		})
		return giteaErr("approve", resp, err)
	}
	return merge(c, client, repo)
}

// merge merges a pull request and sets COMMIT. Gitea works out in the background
// whether it can be merged, and asks to try again until it knows.
func merge(c *call, client *giteaclient.Client, repo string) error {
	path := fmt.Sprintf("/repos/%s/%s/pulls/%d/merge", names.Organisation, repo, c.number)
	err := c.wait(time.Minute, func() (bool, string, error) {
		// The SDK leaves unread why it was refused.
		err := client.Call(c.ctx, http.MethodPost, path, map[string]string{"Do": "squash"}, nil)
		var refused *giteaclient.Error
		switch {
		case err == nil:
			return true, "", nil
		case !errors.As(err, &refused):
		case refused.Status == http.StatusMethodNotAllowed && strings.Contains(strings.ToLower(refused.Message), "try again"):
			return false, "for Gitea to find out whether it can be merged", nil
		case refused.Status == http.StatusMethodNotAllowed || refused.Status == http.StatusForbidden:
			return false, "", refusal{fmt.Errorf("merge: %w", err)}
		}
		return false, "", fmt.Errorf("merge: %w", err)
	})
	if err != nil {
		return err
	}
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
