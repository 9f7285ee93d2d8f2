package scenarios

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"code.gitea.io/sdk/gitea"

	"github.com/druppie/druppie-up/internal/names"
	"github.com/druppie/druppie-up/scenarios/platform"
)

func runPR(c *call) error {
	var number int64
	if c.args[0] != "open" {
		n, err := strconv.ParseInt(c.args[3], 10, 64)
		if err != nil {
			return fmt.Errorf("%w: %q is no number of a pull request", errUsage, c.args[3])
		}
		number = n
	}
	p, err := c.platform()
	if err != nil {
		return err
	}
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
		_, resp, err := client.CreatePullReview(names.Organisation, repo, number, gitea.CreatePullReviewOptions{
			State: gitea.ReviewStateApproved, Body: "Reviewed by " + c.args[1] + ".",
		})
		return giteaErr("approve", resp, err)
	}
	return merge(c, p, client, repo, number)
}

// merge merges a pull request and sets COMMIT. Gitea works out in the background
// whether it can be merged, and asks to try again until it knows.
func merge(c *call, p *platform.Platform, client *gitea.Client, repo string, number int64) error {
	err := c.wait(time.Minute, func() (bool, string, error) {
		status, said, err := p.Merge(c.ctx, c.args[1], repo, number)
		switch {
		case err != nil:
			return false, "", fmt.Errorf("merge: %w", err)
		case status == http.StatusOK:
			return true, "", nil
		case status == http.StatusMethodNotAllowed && strings.Contains(strings.ToLower(said), "try again"):
			return false, "for Gitea to find out whether it can be merged", nil
		case status == http.StatusMethodNotAllowed || status == http.StatusForbidden:
			return false, "", refusal{fmt.Errorf("merge: gitea answered %d: %s", status, said)}
		}
		return false, "", fmt.Errorf("merge: gitea answered %d: %s", status, said)
	})
	if err != nil {
		return err
	}
	pr, resp, err := client.GetPullRequest(names.Organisation, repo, number)
	if err != nil {
		return giteaErr("read the pull request", resp, err)
	}
	if !pr.HasMerged || pr.MergedCommitID == nil {
		return fmt.Errorf("pull request %d says it isn't merged", number)
	}
	c.ts.Setenv("COMMIT", *pr.MergedCommitID)
	return nil
}
