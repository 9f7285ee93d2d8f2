package collect

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"code.gitea.io/sdk/gitea"

	"github.com/druppie/druppie-up/tracedb"
)

const (
	// forgePage is the largest page that Gitea gives.
	forgePage = 50
	// forgePages is how many pages of commits or pull requests are looked through when everything may
	// have been missed.
	forgePages = 10
	// forgeOverlap is how far a look reaches back beyond the one before it: what was written while that
	// one looked must not fall between the two.
	forgeOverlap = 10 * time.Minute
)

// Forge looks through Gitea for what no webhook told, when it starts and each Interval: merged pull
// requests, reviews, and the commits of main. Its exported fields are set before its first use.
type Forge struct {
	Client       *gitea.Client // with a token that may read; its HTTP client has a timeout
	Repositories Repositories
	Interval     time.Duration // between looks; 0: five minutes
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

func (f *Forge) ready() {
	f.start.Do(func() {
		f.repos = f.Repositories.whole()
		f.rec = newRecorder("gitea", f.Sink, f.Log, f.Logger, &f.health, giteaKinds...)
		if f.Interval == 0 {
			f.Interval = 5 * time.Minute
		}
	})
}

// Status is how it goes with looking.
func (f *Forge) Status() Status { return f.health.read("gitea-forge") }

// Run looks until ctx ends. What fails is tried again at the next look.
func (f *Forge) Run(ctx context.Context) error {
	f.ready()
	var since time.Time // everything before this was looked at
	for {
		began := f.rec.now()
		if err := f.look(ctx, since); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			f.health.unwell("look", f.rec.now(), err)
			f.rec.logger.WarnContext(ctx, "look through Gitea", "error", err)
		} else {
			f.health.well("look", f.rec.now())
			since = began.Add(-forgeOverlap)
		}
		if err := f.rec.pause(ctx, f.Interval); err != nil {
			return err
		}
	}
}

// look records what the log doesn't have of all repositories. One repository that fails doesn't keep
// the others from being looked at.
func (f *Forge) look(ctx context.Context, since time.Time) error {
	var errs []error
	for page := 1; page > 0; {
		list, resp, err := f.Client.ListUserRepos(f.repos.Owner, gitea.ListReposOptions{
			ListOptions: gitea.ListOptions{Page: page, PageSize: forgePage},
		})
		if err != nil {
			return errors.Join(append(errs, fmt.Errorf("list repositories: %w", err))...)
		}
		for _, repo := range list {
			if !f.repos.ours(repo.FullName) || repo.Empty {
				continue
			}
			if err := f.pulls(ctx, repo.FullName, since); err != nil {
				errs = append(errs, fmt.Errorf("pull requests of %s: %w", repo.FullName, err))
			}
			if err := f.commits(ctx, repo.FullName); err != nil {
				errs = append(errs, fmt.Errorf("commits of %s: %w", repo.FullName, err))
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
		page = resp.NextPage
	}
	return errors.Join(errs...)
}

// pulls records merges, and the reviews of every pull request that was touched since.
func (f *Forge) pulls(ctx context.Context, repository string, since time.Time) error {
	owner, name, _ := strings.Cut(repository, "/")
	for page := 1; page > 0 && page <= forgePages; {
		list, resp, err := f.Client.ListRepoPullRequests(owner, name, gitea.ListPullRequestsOptions{
			ListOptions: gitea.ListOptions{Page: page, PageSize: forgePage},
			State:       gitea.StateAll, Sort: "recentupdate",
		})
		if err != nil {
			return err
		}
		for _, pr := range list {
			if pr.Updated != nil && pr.Updated.Before(since) {
				return nil
			}
			p := pullOf(pr)
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
			if err := f.rec.once(ctx, drafts); err != nil {
				return err
			}
		}
		page = resp.NextPage
	}
	return nil
}

// merge is the record of a merge that the log lacks. Gitea's list leaves out who merged, so the pull
// request itself is asked for.
func (f *Forge) merge(ctx context.Context, repository string, p *giteaPull) ([]tracedb.Draft, error) {
	drafts := f.repos.merged(repository, p)
	if d := drafts[0]; p.MergedBy != nil || f.rec.seen(d.ID) || f.rec.known(ctx, d) {
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
func (f *Forge) reviews(_ context.Context, repository string, p *giteaPull) ([]tracedb.Draft, error) {
	f.ready()
	owner, name, _ := strings.Cut(repository, "/")
	var out []tracedb.Draft
	for page := 1; page > 0 && page <= forgePages; {
		list, resp, err := f.Client.ListPullReviews(owner, name, p.Number, gitea.ListPullReviewsOptions{
			ListOptions: gitea.ListOptions{Page: page, PageSize: forgePage},
		})
		if err != nil {
			return nil, fmt.Errorf("reviews of %s#%d: %w", repository, p.Number, unanswered(resp, err))
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
		page = resp.NextPage
	}
	return out, nil
}

// commits records what main holds and the log hasn't heard of, newest first, until a whole page was
// heard of.
func (f *Forge) commits(ctx context.Context, repository string) error {
	owner, name, _ := strings.Cut(repository, "/")
	var missed []commit
	for page := 1; page > 0 && page <= forgePages; {
		list, resp, err := f.Client.ListRepoCommits(owner, name, gitea.ListCommitOptions{
			ListOptions: gitea.ListOptions{Page: page, PageSize: forgePage}, SHA: mainBranch, Files: true,
		})
		if status(resp) == http.StatusNotFound || status(resp) == http.StatusConflict {
			return nil // no main, or nothing in it
		}
		if err != nil {
			return err
		}
		news := false
		for _, gc := range list {
			c := commitOf(repository, gc)
			heard, err := f.heard(ctx, c)
			if err != nil {
				return err
			}
			if !heard {
				missed, news = append(missed, c), true
			}
		}
		if !news {
			break
		}
		page = resp.NextPage
	}
	// Oldest first: the order in which they came.
	for i := len(missed) - 1; i >= 0; i-- {
		drafts := []tracedb.Draft{missed[i].draft(f.repos)}
		if repository == f.repos.Fleet {
			var err error
			if drafts, err = accepted(ctx, f.repos, missed[i], f); err != nil {
				return err
			}
		}
		if err := f.rec.once(ctx, drafts); err != nil {
			return err
		}
	}
	return nil
}

// heard says whether any push told of the commit, on whatever branch.
func (f *Forge) heard(ctx context.Context, c commit) (bool, error) {
	d := c.draft(f.repos)
	if f.rec.seen(d.ID) {
		return true, nil
	}
	if f.Log == nil {
		return false, nil
	}
	page, err := f.Log.Search(ctx, tracedb.Query{
		Kinds: []tracedb.Kind{tracedb.KindCommit}, Limit: 1,
		Refs: []tracedb.Ref{ref(tracedb.RefRepository, c.repository), f.repos.commit(c.repository, c.hash)},
	})
	if err != nil {
		return false, err
	}
	if len(page.Entries) == 0 {
		return false, nil
	}
	f.rec.remember(d.ID)
	return true, nil
}

// file reads a file at a commit; nil where there is none.
func (f *Forge) file(_ context.Context, repository, commit, name string) ([]byte, error) {
	f.ready()
	owner, repo, _ := strings.Cut(repository, "/")
	data, resp, err := f.Client.GetFile(owner, repo, commit, name)
	if status(resp) == http.StatusNotFound {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s of %s: %w", name, repository, unanswered(resp, err))
	}
	return data, nil
}

// unanswered makes of Gitea's failure an error for who sent the webhook.
func unanswered(resp *gitea.Response, err error) error {
	return fmt.Errorf("%w: Gitea answered %d: %w", tracedb.ErrUnavailable, status(resp), err)
}

func status(resp *gitea.Response) int {
	if resp == nil || resp.Response == nil {
		return 0
	}
	return resp.StatusCode
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
	c := commit{repository: repository, branch: mainBranch}
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
