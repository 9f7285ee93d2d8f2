package collect

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"code.gitea.io/sdk/gitea"

	"github.com/druppie/druppie-up/internal/giteaclient"
	"github.com/druppie/druppie-up/internal/names"
	"github.com/druppie/druppie-up/tracedb"
)

// commits records what main holds and the log doesn't: it goes back until a whole page is
// known, and records from there on, oldest first, the order in which they came. So a poll that doesn't come
// to its end leaves the newest to the next one, which finds the way back to where this one ended.
func (f *GiteaPoller) commits(ctx context.Context, repository string) error {
	owner, name, _ := strings.Cut(repository, "/")
	head, deepest := names.MainBranch, 0
	list := func(o gitea.ListOptions, files bool) ([]commit, *gitea.Response, error) {
		found, resp, err := f.client.ListRepoCommits(owner, name, gitea.ListCommitOptions{ListOptions: o, SHA: head, Files: files})
		if giteaclient.Status(resp) == http.StatusNotFound || giteaclient.Status(resp) == http.StatusConflict {
			return nil, resp, nil // no main, or nothing in it
		}
		out := make([]commit, len(found))
		for i := range found {
			out[i] = commitOf(repository, found[i])
		}
		return out, resp, err
	}
	what, began := "commits of "+repository, f.now()
	err := f.pages(ctx, what, func(o gitea.ListOptions) (*gitea.Response, error) {
		found, resp, err := list(o, false)
		if err != nil {
			return resp, err
		}
		unknown := false
		for _, c := range found {
			known, err := f.known(ctx, c)
			if err != nil {
				return resp, err
			}
			unknown = unknown || !known
		}
		if !unknown {
			if o.Page == 1 && len(found) > 0 {
				if err := f.setBack(ctx, found, began); err != nil {
					return resp, err
				}
			}
			return resp, errEnough
		}
		if o.Page == 1 {
			head = found[0].hash // what is pushed meanwhile shifts no page
		}
		deepest = o.Page
		return resp, ctx.Err()
	})
	for page := deepest; page > 0 && err == nil; page-- {
		var found []commit
		if found, _, err = list(gitea.ListOptions{Page: page, PageSize: pageSize}, true); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		for _, c := range slices.Backward(found) {
			if err := f.commit(ctx, c); err != nil {
				return fmt.Errorf("%s: %w", what, err)
			}
		}
	}
	return err
}

// setBack records that main was set back to a commit at which it had been before: the newest that the log has of main
// isn't among its newest now, all of which the log knows. What a webhook told since Gitea was asked is newer than that.
func (f *GiteaPoller) setBack(ctx context.Context, newest []commit, asked time.Time) error {
	head := newest[0]
	page, err := f.Log.Search(ctx, tracedb.Query{
		Kinds: []tracedb.Kind{tracedb.KindCommit}, Refs: []tracedb.Ref{ref(tracedb.RefRepository, head.repository)}, Limit: tracedb.MaxPage,
	})
	if err != nil {
		return fmt.Errorf("where main of %s was: %w", head.repository, err)
	}
	of := commit{repository: head.repository, branch: head.branch}.id()
	there := false // that main is recorded to have been where it is
	var came int64 = -1
	for _, e := range page.Entries { // newest first
		rest, ok := strings.CutPrefix(e.ID, of)
		if !ok || e.Writer != f.identity.Name {
			continue
		}
		hash, _, _ := strings.Cut(rest, "/")
		if came < 0 {
			if e.Time.After(asked) || slices.ContainsFunc(newest, func(c commit) bool { return c.hash == hash }) {
				return nil
			}
			came, head.before = e.Seq, hash
		}
		there = there || hash == head.hash
	}
	if came < 0 || !there {
		return nil
	}
	// The commit is old; that the branch went back to it isn't.
	head.again, head.at = came, f.now()
	return f.putCommit(ctx, head)
}

// commit records a commit of main, unless it is known.
func (f *GiteaPoller) commit(ctx context.Context, c commit) error {
	known, err := f.known(ctx, c)
	if err != nil || known {
		return err
	}
	// The commit itself names whomever its maker likes. To main comes what somebody merged.
	if merger, ok := f.mergers.Get(c.repository + "@" + c.hash); ok {
		c.pusher = merger.(string)
	}
	return f.putCommit(ctx, c)
}

// putCommit records where main is, and in the fleet what that promotes.
func (f *GiteaPoller) putCommit(ctx context.Context, c commit) (err error) {
	drafts := []tracedb.Draft{c.draft(f.repos)}
	if c.repository == f.repos.Fleet {
		if drafts, err = fleetCommit(ctx, f.repos, c, f); err != nil {
			return err
		}
	}
	return f.tryPut(ctx, drafts)
}

// known says whether any push named the commit, on whatever branch.
func (f *GiteaPoller) known(ctx context.Context, c commit) (bool, error) {
	return f.recordedAbout(ctx, tracedb.KindCommit, c.id(), ref(tracedb.RefRepository, c.repository), f.repos.commit(c.repository, c.hash))
}

// recordedAbout says whether the log has a record of that kind about all of these, under whatever id.
func (f *GiteaPoller) recordedAbout(ctx context.Context, kind tracedb.Kind, id string, about ...tracedb.Ref) (bool, error) {
	if f.seen(id) {
		return true, nil
	}
	page, err := f.Log.Search(ctx, tracedb.Query{Kinds: []tracedb.Kind{kind}, Refs: about, Limit: 1})
	if err != nil || len(page.Entries) == 0 {
		return false, err
	}
	f.remember(id)
	return true, nil
}
