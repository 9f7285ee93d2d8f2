// Package review holds a commit of main to what somebody else approved. Gitea demands an approval before it merges,
// and stops looking at what is pushed to a pull request while it is closed, or when a push only drops files; so here
// the contents that were merged are compared with those that were approved. It refuses a release with a file in it
// that nobody approved as it is, however many merges ago that came.
package review

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
	"github.com/go-git/go-git/v5/plumbing/object"

	"github.com/druppie/druppie-up/cmd/foundry/internal/source"
	"github.com/druppie/druppie-up/internal/giteaclient"
	"github.com/druppie/druppie-up/internal/names"
)

// Reviews are those of one repository, which anybody may read.
type Reviews struct {
	Gitea      *giteaclient.Client
	Remote     source.Remote
	Repository string // full name, owner/name
}

// Check gives the reasons why a commit of main may not be released on top of the one that is released; that may be
// empty, which stands for the repository's first commit. What is released counts as approved. From there each merge
// adds what it changed, if that was approved and the contents that it changed were; so a change that nobody
// approved, and one that was built on it, needs to be taken back before anything can be released again.
func (r Reviews) Check(ctx context.Context, released, commit string) error {
	all := source.NewHistory(r.Remote)
	head, err := all.Commit(ctx, commit)
	if err != nil {
		return err
	}
	start, history, err := since(ctx, all, released, head)
	if err != nil {
		return err
	}
	approved, err := read(start)
	if err != nil {
		return err
	}
	var reasons []error
	for i, merged := range history[1:] {
		// What can't be read, or isn't answered, is approved by nobody; it may have been taken back since.
		from, to, err := r.approved(ctx, all, history[i], merged)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			reasons = append(reasons, fmt.Errorf("%s: %w", short(merged.Hash.String()), err))
			continue
		}
		for _, path := range differences(from, to) {
			if approved[path] == from[path] {
				approved[path] = to[path]
			}
		}
	}
	now, err := read(head)
	if err != nil {
		return err
	}
	unapproved := differences(approved, now)
	if len(unapproved) == 0 {
		return nil // whatever wasn't approved has been taken back
	}
	err = fmt.Errorf("commit %s of %s holds what nobody approved in %s: take that back in a pull request, and propose it again",
		short(commit), r.Repository, list(unapproved))
	return errors.Join(append([]error{err}, reasons...)...)
}

// since gives the commit whose contents count as approved; and the commits of main up to head, oldest first, from one
// on that has been on main before the released one, or is main's first.
func since(ctx context.Context, all *source.History, released string, head *object.Commit) (start *object.Commit, history []*object.Commit, err error) {
	known := map[string]bool{}
	if released != "" {
		// It may have left main's history, if somebody has rewritten that.
		if start, err = all.Commit(ctx, released); err != nil {
			return nil, nil, fmt.Errorf("what is released: %w", err)
		}
		for c := start; c != nil; {
			known[c.Hash.String()] = true
			if c, err = before(c); err != nil {
				return nil, nil, err
			}
		}
	}
	for c := head; c != nil; {
		history = append(history, c)
		if known[c.Hash.String()] {
			break
		}
		if c, err = before(c); err != nil {
			return nil, nil, err
		}
	}
	slices.Reverse(history)
	if start == nil {
		start = history[0] // it came before anybody could review it
	}
	return start, history, nil
}

// before is what main was before a commit; nil before its first.
func before(c *object.Commit) (*object.Commit, error) {
	if c.NumParents() == 0 {
		return nil, nil
	}
	return c.Parent(0)
}

// approved gives the files before a merge and after it. That they aren't what somebody else approved is an error.
func (r Reviews) approved(ctx context.Context, all *source.History, base, merged *object.Commit) (from, to files, err error) {
	if from, err = read(base); err != nil {
		return nil, nil, err
	}
	if to, err = read(merged); err != nil {
		return nil, nil, err
	}
	var pr gitea.PullRequest
	err = r.Gitea.Call(ctx, http.MethodGet, fmt.Sprintf("/repos/%s/commits/%s/pull", r.Repository, merged.Hash), nil, &pr)
	if refused := (*giteaclient.Error)(nil); errors.As(err, &refused) && refused.Status == http.StatusNotFound {
		return nil, nil, errors.New("no pull request brought it")
	}
	switch {
	case err != nil:
		return nil, nil, fmt.Errorf("its pull request: %w", err)
	case !pr.HasMerged || pr.Base == nil || pr.Base.Ref != names.MainBranch || pr.Poster == nil:
		return nil, nil, fmt.Errorf("pull request %d wasn't merged into %s", pr.Index, names.MainBranch)
	}
	approvals, err := r.approvals(&pr)
	if err != nil {
		return nil, nil, fmt.Errorf("pull request %d: %w", pr.Index, err)
	}
	if len(approvals) == 0 {
		return nil, nil, fmt.Errorf("nobody else's approval of pull request %d stands", pr.Index)
	}
	var reasons []error
	for _, a := range approvals {
		other, err := r.differs(ctx, all, a.CommitID, base, from, to)
		switch {
		case err != nil:
			reasons = append(reasons, fmt.Errorf("what %s approved of pull request %d: %w", a.Reviewer.UserName, pr.Index, err))
		case len(other) == 0:
			return from, to, nil
		default:
			reasons = append(reasons, fmt.Errorf("%s approved %s of pull request %d, and something else was merged in %s",
				a.Reviewer.UserName, short(a.CommitID), pr.Index, list(other)))
		}
	}
	return nil, nil, errors.Join(reasons...)
}

const pageSize = 50

// approvals are those by others than the author that count and stand. Gitea takes an older one of the same reviewer
// as no longer official; it forgets that an approval was given on the way to another branch, when a review is asked for and
// that is taken back.
func (r Reviews) approvals(pr *gitea.PullRequest) ([]*gitea.PullReview, error) {
	since, err := r.retargeted(pr.Index)
	if err != nil {
		return nil, err
	}
	owner, name, _ := strings.Cut(r.Repository, "/")
	var out []*gitea.PullReview
	for page, more := 1, true; more; page++ {
		reviews, resp, err := r.Gitea.ListPullReviews(owner, name, pr.Index, gitea.ListPullReviewsOptions{
			ListOptions: gitea.ListOptions{Page: page, PageSize: pageSize},
		})
		if err != nil {
			return nil, fmt.Errorf("its reviews: %w", err)
		}
		for _, v := range reviews {
			if v.State == gitea.ReviewStateApproved && v.Official && !v.Dismissed && v.Submitted.After(since) &&
				v.Reviewer != nil && v.Reviewer.UserName != pr.Poster.UserName {
				out = append(out, v)
			}
		}
		// There is no link to the next page, and pending ones are left out of a page.
		total, _ := strconv.Atoi(resp.Header.Get("X-Total-Count"))
		more = page*pageSize < total
	}
	return out, nil
}

// retargeted is when a pull request was last turned to another branch; zero: never.
func (r Reviews) retargeted(number int64) (last time.Time, err error) {
	owner, name, _ := strings.Cut(r.Repository, "/")
	const most = 40
	for page := 1; page <= most; page++ {
		events, _, err := r.Gitea.ListIssueTimeline(owner, name, number, gitea.ListIssueCommentOptions{
			ListOptions: gitea.ListOptions{Page: page, PageSize: pageSize},
		})
		if err != nil {
			return last, fmt.Errorf("its timeline: %w", err)
		}
		// A page may be empty and not the last: Gitea takes comments on code out of it.
		for _, e := range events {
			switch e.Type {
			case "change_target_branch":
				last = e.Created
			case "merge_pull":
				return last, nil
			}
		}
	}
	return last, fmt.Errorf("its timeline has no merge among the first %d events", most*pageSize)
}

// differs names the files that are otherwise after a merge than the approved commit makes them.
func (r Reviews) differs(ctx context.Context, all *source.History, approved string, main *object.Commit, from, to files) ([]string, error) {
	commit, err := all.Commit(ctx, approved)
	if err != nil {
		return nil, err
	}
	bases, err := commit.MergeBase(main)
	if err != nil {
		return nil, fmt.Errorf("where it left %s: %w", names.MainBranch, err)
	}
	if len(bases) == 0 {
		return nil, fmt.Errorf("it has no history in common with %s", names.MainBranch)
	}
	base, err := read(bases[0])
	if err != nil {
		return nil, err
	}
	reviewed, err := read(commit)
	if err != nil {
		return nil, err
	}
	var other []string
	for _, path := range slices.Compact(slices.Sorted(slices.Values(append(differences(base, reviewed), differences(from, to)...)))) {
		same, err := r.isMerge(ctx, base[path], reviewed[path], from[path], to[path])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if !same {
			other = append(other, path)
		}
	}
	return other, nil
}

// list names the first of some paths.
func list(paths []string) string {
	const most = 5
	if len(paths) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(paths[:most], ", "), len(paths)-most)
	}
	return strings.Join(paths, ", ")
}

func short(hash string) string { return hash[:min(12, len(hash))] }
