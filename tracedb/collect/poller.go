package collect

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
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
	drafts, err := f.reviews(ctx, repository, p)
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
	return f.tryPut(ctx, drafts)
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

// reviews are all reviews of a pull request that were given. An edited review is another record: what
// was recorded first stays.
func (f *GiteaPoller) reviews(ctx context.Context, repository string, p *gitea.PullRequest) ([]tracedb.Draft, error) {
	owner, name, _ := strings.Cut(repository, "/")
	var out []tracedb.Draft
	dismissed := map[int64]tracedb.Draft{}
	err := f.pages(ctx, fmt.Sprintf("reviews of %s#%d", repository, p.Index), func(o gitea.ListOptions) (*gitea.Response, error) {
		list, resp, err := f.client.ListPullReviews(owner, name, p.Index, gitea.ListPullReviewsOptions{ListOptions: o})
		if err != nil {
			return resp, unavailable(resp, err)
		}
		for _, r := range list {
			v := review{state: string(r.State), body: r.Body, commit: r.CommitID, at: r.Submitted, reviewer: login(r.Reviewer)}
			v.id = strconv.FormatInt(r.ID, 10) + "-" + hash(v.state, v.commit, v.body)
			d, ok := v.draft(f.repos, repository, p)
			if !ok {
				continue
			}
			out = append(out, d)
			if r.Dismissed {
				dismissed[r.ID] = d
			}
		}
		return resp, nil
	})
	if err != nil {
		return out, err
	}
	dismissals, err := f.dismissals(ctx, repository, p, dismissed)
	return append(out, dismissals...), err
}

// dismissal is an entry of a pull request's timeline in Gitea, as far as it is read (modules/structs, TimelineComment),
// which the SDK leaves half of out.
type dismissal struct {
	Type     string      `json:"type"`
	ReviewID int64       `json:"review_id"`
	User     *gitea.User `json:"user"`
	Created  time.Time   `json:"created_at"`
	Body     string      `json:"body"`
}

// dismissals are the records that somebody dismissed reviews, by their ids in Gitea, which sends no webhook of it. Gitea
// calls every review dismissed, too, that a newer one of the same reviewer, or a newer commit, took the place of: only
// the timeline tells these apart.
func (f *GiteaPoller) dismissals(ctx context.Context, repository string, p *gitea.PullRequest, reviews map[int64]tracedb.Draft) ([]tracedb.Draft, error) {
	if f.call == nil || len(reviews) == 0 {
		return nil, nil
	}
	var out []tracedb.Draft
	for page := 1; page <= maxPages; page++ {
		var list []dismissal
		path := fmt.Sprintf("/repos/%s/issues/%d/timeline?limit=%d&page=%d", repository, p.Index, pageSize, page)
		if err := f.call(ctx, http.MethodGet, path, nil, &list); err != nil {
			return nil, fmt.Errorf("timeline of %s#%d: %w", repository, p.Index, err)
		}
		for _, t := range list {
			d, ok := reviews[t.ReviewID]
			if t.Type != "dismiss_review" || !ok {
				continue
			}
			d.ID, d.Outcome, d.Actor, d.At = d.ID+"/dismissed", tracedb.Undone, cmp.Or(person(login(t.User)), unknown), tracedb.Instant(t.Created)
			var r tracedb.Review
			if err := json.Unmarshal(d.Payload, &r); err != nil {
				return nil, fmt.Errorf("a review that was dismissed: %w", err)
			}
			r.Reason = tracedb.Clip(t.Body, maxText)
			d.Payload = tracedb.MustJSON(r)
			out = append(out, d)
		}
		if len(list) < pageSize {
			break
		}
	}
	return out, nil
}

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
	drafts := []tracedb.Draft{head.draft(f.repos)}
	if head.repository == f.repos.Fleet {
		if drafts, err = fleetCommit(ctx, f.repos, head, f); err != nil {
			return err
		}
	}
	return f.tryPut(ctx, drafts)
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
