package collect

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"code.gitea.io/sdk/gitea"
	"k8s.io/utils/lru"

	"github.com/druppie/druppie-up/internal/giteaclient"
	"github.com/druppie/druppie-up/internal/names"
	"github.com/druppie/druppie-up/tracedb"
)

const (
	// pageSize is the largest page that Gitea gives.
	pageSize = 50
	// maxPages is how many pages of a list are read. Where there are more, it is logged.
	maxPages = 200
	// pollOverlap is how far a poll reaches back beyond the one before it: what was written while that
	// one ran must not fall between the two.
	pollOverlap = 10 * time.Minute
)

// pollInterval is the time between polls: how late a merge is in the trace that no webhook told of.
const pollInterval = time.Minute

// GiteaPoller polls Gitea for what no webhook reported, when it starts and each interval: merged pull
// requests, reviews, and the commits of main; and more often, whether main is protected.
type GiteaPoller struct {
	*recorder
	client   *gitea.Client
	repos    Repositories
	interval time.Duration
	mergers  *lru.Cache // who merged, by what that became on main
	// call asks for what the client leaves out; nil: that isn't known.
	call func(ctx context.Context, method, path string, in, out any) error
}

// NewGiteaPoller returns a poller. The client has a token that may read, and its HTTP client a timeout.
func NewGiteaPoller(client *giteaclient.Client, repos Repositories, o Options) *GiteaPoller {
	return &GiteaPoller{
		recorder: newRecorder("gitea-forge", o, append(slices.Clone(giteaKinds), tracedb.KindDrift)...),
		client:   client.Client, repos: repos.withDefaults(), interval: pollInterval, mergers: lru.New(maxRecent), call: client.Call,
	}
}

// Run polls until ctx ends. What fails is tried again at the next poll.
func (f *GiteaPoller) Run(ctx context.Context) error {
	var since time.Time // everything before this was polled
	for left := time.Duration(0); ; left -= protectionInterval {
		if left <= 0 {
			began := f.now()
			if f.reported(ctx, "poll", f.poll(ctx, since)) {
				since = began.Add(-pollOverlap)
			}
			left = f.interval
		}
		f.reported(ctx, "protection", f.protections(ctx))
		if err := f.pause(ctx, min(f.interval, protectionInterval)); err != nil {
			return err
		}
	}
}

// reported says whether it went well, to people too.
func (f *GiteaPoller) reported(ctx context.Context, what string, err error) bool {
	switch {
	case err == nil:
		f.health.ok(what, f.now())
	case ctx.Err() == nil:
		f.health.failing(what, f.now(), err)
		f.Logger.WarnContext(ctx, "ask Gitea", "what", what, "error", err)
	}
	return err == nil
}

// poll records what the log doesn't have of all repositories. One repository that fails doesn't keep
// the others from being polled.
func (f *GiteaPoller) poll(ctx context.Context, since time.Time) error {
	var errs []error
	err := f.repositories(ctx, func(repo *gitea.Repository) error {
		if f.repos.recorded(repo.FullName) && !repo.Empty {
			errs = append(errs, f.pulls(ctx, repo.FullName, since), f.commits(ctx, repo.FullName))
		}
		return ctx.Err()
	})
	return errors.Join(append(errs, err)...)
}

// repositories calls each with the owner's repositories, until one fails.
func (f *GiteaPoller) repositories(ctx context.Context, each func(*gitea.Repository) error) error {
	return f.pages(ctx, "repositories", func(o gitea.ListOptions) (*gitea.Response, error) {
		list, resp, err := f.client.ListUserRepos(f.repos.Owner, gitea.ListReposOptions{ListOptions: o})
		if err != nil {
			return resp, err
		}
		for _, repo := range list {
			if err := each(repo); err != nil {
				return resp, err
			}
		}
		return resp, nil
	})
}

// errEnough ends a list before its end.
var errEnough = errors.New("enough")

// pages asks for one page of a list after the other, until there is none or get has enough. A list that
// goes on beyond maxPages is logged.
func (f *GiteaPoller) pages(ctx context.Context, what string, get func(gitea.ListOptions) (*gitea.Response, error)) error {
	for page := 1; page > 0; {
		if page > maxPages {
			f.Logger.WarnContext(ctx, "a list in Gitea is too long: what lies deeper isn't read", "list", what, "most", maxPages*pageSize)
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
		list, resp, err := f.client.ListRepoPullRequests(owner, name, gitea.ListPullRequestsOptions{
			ListOptions: o, State: gitea.StateAll, Sort: "recentupdate",
		})
		if err != nil {
			return resp, err
		}
		for _, pr := range list {
			if pr.Updated != nil && pr.Updated.Before(since) {
				return resp, errEnough
			}
			if err := f.pull(ctx, repository, pr); err != nil {
				return resp, err
			}
		}
		return resp, ctx.Err()
	})
}

// pull records a pull request's reviews, and its merge.
func (f *GiteaPoller) pull(ctx context.Context, repository string, p *gitea.PullRequest) error {
	drafts, dismissed, err := f.reviews(ctx, repository, p)
	if err != nil {
		return err
	}
	if p.HasMerged {
		merge, err := f.merge(ctx, repository, p)
		if err != nil {
			return err
		}
		drafts = append(drafts, merge...)
	}
	if err := f.tryPut(ctx, drafts); err != nil {
		return err
	}
	dismissals, err := f.dismissals(ctx, repository, p, dismissed)
	if err != nil {
		return err
	}
	return f.tryPut(ctx, dismissals)
}

// merge is the record of a merge that the log lacks. Gitea's list leaves out who merged, so the pull
// request itself is asked for.
func (f *GiteaPoller) merge(ctx context.Context, repository string, p *gitea.PullRequest) (drafts []tracedb.Draft, err error) {
	defer func() {
		if who := login(p.MergedBy); who != "" {
			f.mergers.Add(repository+"@"+mergedAs(p), who)
		}
	}()
	drafts = f.repos.merged(repository, p)
	// Not by its id, which once said less.
	known, err := f.recordedAbout(ctx, tracedb.KindMerge, drafts[0].ID,
		ref(tracedb.RefPull, fmt.Sprintf("%s#%d", repository, p.Index)), f.repos.commit(repository, mergedAs(p)))
	switch {
	case err != nil:
		return nil, err
	case known:
		return nil, nil
	case p.MergedBy != nil:
		return drafts, nil
	}
	owner, name, _ := strings.Cut(repository, "/")
	if p, _, err = f.client.GetPullRequest(owner, name, p.Index); err != nil {
		return nil, err
	}
	return f.repos.merged(repository, p), nil
}

// file reads a file at a commit; nil where there is none.
func (f *GiteaPoller) file(_ context.Context, repository, commit, name string) ([]byte, error) {
	owner, repo, _ := strings.Cut(repository, "/")
	data, resp, err := f.client.GetFile(owner, repo, commit, name)
	if giteaclient.Status(resp) == http.StatusNotFound {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s of %s: %w", name, repository, unavailable(resp, err))
	}
	return data, nil
}

// unavailable makes of Gitea's failure an error for who sent the webhook.
func unavailable(resp *gitea.Response, err error) error {
	return fmt.Errorf("%w: Gitea answered %d: %w", tracedb.ErrUnavailable, giteaclient.Status(resp), err)
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
	c.author = cmp.Or(login(gc.Author), c.author)
	for _, f := range gc.Files {
		c.files = append(c.files, f.Filename)
	}
	return c
}
