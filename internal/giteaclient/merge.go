package giteaclient

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
)

// Raced says whether a merge was refused only because another one came onto the branch at the same moment: Gitea locks
// the pull request and not the branch, and tells whoever was later so.
func Raced(err error) bool {
	var e *Error
	if !errors.As(err, &e) || e.Status != http.StatusConflict {
		return false
	}
	said := strings.ToLower(e.Message)
	return strings.Contains(said, "push out of date") || strings.Contains(said, "pushrejected")
}

// Merge is how a pull request becomes one commit.
type Merge struct {
	Head           string // the commit that was reviewed: another one isn't merged
	Title, Message string
}

// mergeTimeout is how long Gitea may take to work out whether a pull request can be merged. After each push to the
// branch that it is for, it does that for every open one, so whoever opens many makes it slow: twenty seconds weren't
// enough for ten.
const mergeTimeout = 2 * time.Minute

// Merge merges exactly the commit that was reviewed. Gitea works out in the background whether it can, and says 405
// until it knows.
func (c *Client) Merge(ctx context.Context, owner, repo string, number int64, how Merge) error {
	path := fmt.Sprintf("/repos/%s/%s/pulls/%d/merge", owner, repo, number)
	body := map[string]string{"Do": "squash", "head_commit_id": how.Head, "MergeTitleField": how.Title, "MergeMessageField": how.Message}
	var last error
	err := wait.PollUntilContextTimeout(ctx, time.Second, mergeTimeout, true, func(ctx context.Context) (bool, error) {
		last = c.Call(ctx, http.MethodPost, path, body, nil)
		var refused *Error
		if errors.As(last, &refused) &&
			(refused.Status == http.StatusMethodNotAllowed || refused.Status >= http.StatusInternalServerError || Raced(last)) {
			return false, nil
		}
		return last == nil, last
	})
	if err != nil && last != nil && !errors.Is(err, last) {
		err = fmt.Errorf("%w: %w", err, last)
	}
	if err != nil {
		return fmt.Errorf("merge pull request %d of %s/%s: %w", number, owner, repo, err)
	}
	return nil
}
