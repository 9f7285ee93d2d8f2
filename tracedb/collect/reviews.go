package collect

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"code.gitea.io/sdk/gitea"

	"github.com/druppie/druppie-up/tracedb"
)

// reviews are all reviews of a pull request that were given, and those among them that Gitea calls dismissed, by their
// ids. An edited review is another record: what was recorded first stays.
func (f *GiteaPoller) reviews(ctx context.Context, repository string, p *gitea.PullRequest) (out []tracedb.Draft, dismissed map[int64]tracedb.Draft, err error) {
	owner, name, _ := strings.Cut(repository, "/")
	dismissed = map[int64]tracedb.Draft{}
	err = f.pages(ctx, fmt.Sprintf("reviews of %s#%d", repository, p.Index), func(o gitea.ListOptions) (*gitea.Response, error) {
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
	return out, dismissed, err
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
