package collect

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"code.gitea.io/sdk/gitea"

	"github.com/druppie/druppie-up/internal/giteaclient"
	"github.com/druppie/druppie-up/internal/names"
	"github.com/druppie/druppie-up/tracedb"
)

const (
	// pageSize is the largest page that Gitea gives.
	pageSize = 50
	// maxPages is how many pages of a list are read. Where there are more, it is said.
	maxPages = 200
	// pollOverlap is how far a poll reaches back beyond the one before it: what was written while that
	// one ran must not fall between the two.
	pollOverlap = 10 * time.Minute
)

// GiteaPoller polls Gitea for what no webhook told, when it starts and each Interval: merged pull
// requests, reviews, and the commits of main. Its exported fields are set before its first use.
type GiteaPoller struct {
	Client       *gitea.Client // with a token that may read; its HTTP client has a timeout
	Repositories Repositories
	Interval     time.Duration // between polls; 0: five minutes
	Sink         Sink
	// Log says which commits were heard of already; without it those of a branch that was merged are
	// recorded for main too.
	Log    tracedb.Reader
	Logger *slog.Logger

	health health
	start  sync.Once
	rec    *recorder
	repos  Repositories
}

func (f *GiteaPoller) ready() {
	f.start.Do(func() {
		f.repos = f.Repositories.whole()
		f.rec = newRecorder("gitea", f.Sink, f.Log, f.Logger, &f.health, giteaKinds...)
		if f.Interval == 0 {
			f.Interval = 5 * time.Minute
		}
	})
}

// Status is how polling goes.
func (f *GiteaPoller) Status() Status { return f.health.read("gitea-forge") }

// Run polls until ctx ends. What fails is tried again at the next poll.
func (f *GiteaPoller) Run(ctx context.Context) error {
	f.ready()
	var since time.Time // everything before this was polled
	for {
		began := f.rec.now()
		if err := f.poll(ctx, since); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			f.health.failing("poll", f.rec.now(), err)
			f.rec.logger.WarnContext(ctx, "poll Gitea", "error", err)
		} else {
			f.health.ok("poll", f.rec.now())
			since = began.Add(-pollOverlap)
		}
		if err := f.rec.pause(ctx, f.Interval); err != nil {
			return err
		}
	}
}

// poll records what the log doesn't have of all repositories. One repository that fails doesn't keep
// the others from being polled.
func (f *GiteaPoller) poll(ctx context.Context, since time.Time) error {
	var errs []error
	err := f.pages(ctx, "repositories", func(o gitea.ListOptions) (*gitea.Response, error) {
		list, resp, err := f.Client.ListUserRepos(f.repos.Owner, gitea.ListReposOptions{ListOptions: o})
		if err != nil {
			return resp, err
		}
		for _, repo := range list {
			if !f.repos.ours(repo.FullName) || repo.Empty {
				continue
			}
			errs = append(errs, f.pulls(ctx, repo.FullName, since), f.commits(ctx, repo.FullName))
			if ctx.Err() != nil {
				return resp, ctx.Err()
			}
		}
		return resp, nil
	})
	return errors.Join(append(errs, err)...)
}

// errEnough ends a list before its end.
var errEnough = errors.New("enough")

// pages asks for one page of a list after the other, until there is none or get has enough. A list that
// goes on beyond maxPages is said.
func (f *GiteaPoller) pages(ctx context.Context, what string, get func(gitea.ListOptions) (*gitea.Response, error)) error {
	for page := 1; page > 0; {
		if page > maxPages {
			f.rec.logger.WarnContext(ctx, "a list in Gitea is too long: what lies deeper isn't read", "list", what, "most", maxPages*pageSize)
			return nil
		}
		resp, err := get(gitea.ListOptions{Page: page, PageSize: pageSize})
		if errors.Is(err, errEnough) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		page = resp.NextPage
	}
	return nil
}

// pulls records merges, and the reviews of every pull request that was touched since.
func (f *GiteaPoller) pulls(ctx context.Context, repository string, since time.Time) error {
	owner, name, _ := strings.Cut(repository, "/")
	return f.pages(ctx, "pull requests of "+repository, func(o gitea.ListOptions) (*gitea.Response, error) {
		list, resp, err := f.Client.ListRepoPullRequests(owner, name, gitea.ListPullRequestsOptions{
			ListOptions: o, State: gitea.StateAll, Sort: "recentupdate",
		})
		if err != nil {
			return resp, err
		}
		for _, pr := range list {
			if pr.Updated != nil && pr.Updated.Before(since) {
				return resp, errEnough
			}
			if err := f.pull(ctx, repository, pullOf(pr)); err != nil {
				return resp, err
			}
		}
		return resp, ctx.Err()
	})
}

// pull records a pull request's reviews, and its merge.
func (f *GiteaPoller) pull(ctx context.Context, repository string, p *giteaPull) error {
	drafts, err := f.reviews(ctx, repository, p)
	if err != nil {
		return err
	}
	if p.Merged {
		merge, err := f.merge(ctx, repository, p)
		if err != nil {
			return err
		}
		drafts = append(drafts, merge...)
	}
	return f.rec.tryPut(ctx, drafts)
}

// merge is the record of a merge that the log lacks. Gitea's list leaves out who merged, so the pull
// request itself is asked for.
func (f *GiteaPoller) merge(ctx context.Context, repository string, p *giteaPull) ([]tracedb.Draft, error) {
	drafts := f.repos.merged(repository, p)
	// Not by its id, which once said less.
	told, err := f.recorded(ctx, tracedb.KindMerge, drafts[0].ID,
		ref(tracedb.RefPull, fmt.Sprintf("%s#%d", repository, p.Number)), f.repos.commit(repository, p.mergedAs()))
	switch {
	case err != nil:
		return nil, err
	case told:
		return nil, nil
	case p.MergedBy != nil:
		return drafts, nil
	}
	owner, name, _ := strings.Cut(repository, "/")
	pr, _, err := f.Client.GetPullRequest(owner, name, p.Number)
	if err != nil {
		return nil, err
	}
	return f.repos.merged(repository, pullOf(pr)), nil
}

// reviews are all reviews of a pull request that were given. An edited review is another record: what
// was said first stays said.
func (f *GiteaPoller) reviews(ctx context.Context, repository string, p *giteaPull) ([]tracedb.Draft, error) {
	f.ready()
	owner, name, _ := strings.Cut(repository, "/")
	var out []tracedb.Draft
	err := f.pages(ctx, fmt.Sprintf("reviews of %s#%d", repository, p.Number), func(o gitea.ListOptions) (*gitea.Response, error) {
		list, resp, err := f.Client.ListPullReviews(owner, name, p.Number, gitea.ListPullReviewsOptions{ListOptions: o})
		if err != nil {
			return resp, unanswered(resp, err)
		}
		for _, r := range list {
			v := review{state: string(r.State), body: r.Body, commit: r.CommitID, at: r.Submitted}
			if r.Reviewer != nil {
				v.reviewer = r.Reviewer.UserName
			}
			v.id = strconv.FormatInt(r.ID, 10) + "-" + hash(v.state, v.commit, v.body)
			if d, ok := v.draft(f.repos, repository, p); ok {
				out = append(out, d)
			}
		}
		return resp, nil
	})
	return out, err
}

// commits records what main holds and the log hasn't heard of: it goes back until a whole page was heard
// of, and records from there on, oldest first, the order in which they came. So a poll that doesn't come
// to its end leaves the newest to the next one, which finds the way back to where this one ended.
func (f *GiteaPoller) commits(ctx context.Context, repository string) error {
	owner, name, _ := strings.Cut(repository, "/")
	head, deepest := names.MainBranch, 0
	list := func(o gitea.ListOptions, files bool) ([]commit, *gitea.Response, error) {
		found, resp, err := f.Client.ListRepoCommits(owner, name, gitea.ListCommitOptions{ListOptions: o, SHA: head, Files: files})
		if giteaclient.Status(resp) == http.StatusNotFound || giteaclient.Status(resp) == http.StatusConflict {
			return nil, resp, nil // no main, or nothing in it
		}
		out := make([]commit, len(found))
		for i := range found {
			out[i] = commitOf(repository, found[i])
		}
		return out, resp, err
	}
	what := "commits of " + repository
	err := f.pages(ctx, what, func(o gitea.ListOptions) (*gitea.Response, error) {
		found, resp, err := list(o, false)
		if err != nil {
			return resp, err
		}
		news := false
		for _, c := range found {
			heard, err := f.known(ctx, c)
			if err != nil {
				return resp, err
			}
			news = news || !heard
		}
		if !news {
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

// commit records a commit of main, unless it was heard of.
func (f *GiteaPoller) commit(ctx context.Context, c commit) error {
	heard, err := f.known(ctx, c)
	if err != nil || heard {
		return err
	}
	drafts := []tracedb.Draft{c.draft(f.repos)}
	if c.repository == f.repos.Fleet {
		if drafts, err = accepted(ctx, f.repos, c, f); err != nil {
			return err
		}
	}
	return f.rec.tryPut(ctx, drafts)
}

// known says whether any push named the commit, on whatever branch.
func (f *GiteaPoller) known(ctx context.Context, c commit) (bool, error) {
	return f.recorded(ctx, tracedb.KindCommit, c.id(), ref(tracedb.RefRepository, c.repository), f.repos.commit(c.repository, c.hash))
}

// recorded says whether the log has a record of that kind about all of these, under whatever id.
func (f *GiteaPoller) recorded(ctx context.Context, kind tracedb.Kind, id string, about ...tracedb.Ref) (bool, error) {
	if f.rec.seen(id) {
		return true, nil
	}
	if f.Log == nil {
		return false, nil
	}
	page, err := f.Log.Search(ctx, tracedb.Query{Kinds: []tracedb.Kind{kind}, Refs: about, Limit: 1})
	if err != nil || len(page.Entries) == 0 {
		return false, err
	}
	f.rec.remember(id)
	return true, nil
}

// file reads a file at a commit; nil where there is none.
func (f *GiteaPoller) file(_ context.Context, repository, commit, name string) ([]byte, error) {
	f.ready()
	owner, repo, _ := strings.Cut(repository, "/")
	data, resp, err := f.Client.GetFile(owner, repo, commit, name)
	if giteaclient.Status(resp) == http.StatusNotFound {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s of %s: %w", name, repository, unanswered(resp, err))
	}
	return data, nil
}

// unanswered makes of Gitea's failure an error for who sent the webhook.
func unanswered(resp *gitea.Response, err error) error {
	return fmt.Errorf("%w: Gitea answered %d: %w", tracedb.ErrUnavailable, giteaclient.Status(resp), err)
}

func pullOf(pr *gitea.PullRequest) *giteaPull {
	p := &giteaPull{
		Number: pr.Index, Title: pr.Title, Body: pr.Body, Merged: pr.HasMerged, MergedAt: pr.Merged,
		MergeCommit: pr.MergedCommitID, UpdatedAt: pr.Updated,
		Base: &giteaBranch{}, Head: &giteaBranch{},
	}
	if pr.Poster != nil {
		p.User = &giteaUser{Login: pr.Poster.UserName}
	}
	if pr.MergedBy != nil {
		p.MergedBy = &giteaUser{Login: pr.MergedBy.UserName}
	}
	if pr.Base != nil {
		p.Base = &giteaBranch{Ref: pr.Base.Ref, SHA: pr.Base.Sha}
	}
	if pr.Head != nil {
		p.Head = &giteaBranch{Ref: pr.Head.Ref, SHA: pr.Head.Sha}
	}
	return p
}

func commitOf(repository string, gc *gitea.Commit) commit {
	c := commit{repository: repository, branch: names.MainBranch}
	if gc.CommitMeta != nil {
		c.hash = gc.SHA
	}
	if gc.RepoCommit != nil {
		c.message = gc.RepoCommit.Message
		if a := gc.RepoCommit.Author; a != nil {
			c.author = a.Name
		}
		if a := gc.RepoCommit.Committer; a != nil {
			c.at, _ = time.Parse(time.RFC3339, a.Date) // a date that can't be read is no date
		}
	}
	if gc.Author != nil && gc.Author.UserName != "" {
		c.author = gc.Author.UserName
	}
	// Gitea commits what its users do there in their names; nobody else could have pushed it to main.
	if gc.Committer != nil {
		c.pusher = gc.Committer.UserName
	}
	for _, f := range gc.Files {
		c.files = append(c.files, f.Filename)
	}
	return c
}
