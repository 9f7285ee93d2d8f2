package collect

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"code.gitea.io/sdk/gitea"

	"github.com/druppie/druppie-up/internal/names"
	"github.com/druppie/druppie-up/tracedb"
)

// giteaWebhooks reads Gitea's webhooks.
type giteaWebhooks struct {
	*recorder
	repos Repositories
	// poller answers what a webhook leaves out: a review's id and commit, and what a file of the fleet
	// says. Without it a review's id follows from its text, and a promotion from the commit's message.
	poller *GiteaPoller
}

// Gitea takes Gitea's webhooks (push, pull_request, pull_request_review), signed with secret. Gitea
// sends a webhook once: what the log couldn't take then, GiteaPoller finds later. The poller may be nil.
func Gitea(secret []byte, repos Repositories, poller *GiteaPoller, o Options) *Webhook {
	g := &giteaWebhooks{newRecorder("gitea", o, giteaKinds...), repos.withDefaults(), poller}
	return &Webhook{
		recorder: g.recorder, secret: secret, drafts: g.drafts,
		signatures: []signature{{"X-Gitea-Signature", ""}, {"X-Hub-Signature-256", "sha256="}},
	}
}

// giteaKinds are the kinds of record that Gitea's events become.
var giteaKinds = []tracedb.Kind{tracedb.KindCommit, tracedb.KindReview, tracedb.KindMerge, tracedb.KindPromotion}

// giteaEvent is the name of the event. Gitea has a fine one, and a coarse one for readers of old.
func giteaEvent(h http.Header) string {
	if t := h.Get("X-Gitea-Event-Type"); t != "" {
		return t
	}
	t := h.Get("X-Gitea-Event")
	if kind, ok := strings.CutPrefix(t, "pull_request_"); ok && (kind == "approved" || kind == "rejected" || kind == "comment") {
		return "pull_request_review_" + kind
	}
	return t
}

// drafts are the records of an event; none for what isn't recorded.
func (h *giteaWebhooks) drafts(ctx context.Context, header http.Header, body []byte) ([]tracedb.Draft, error) {
	event := giteaEvent(header)
	switch event {
	case "push":
		var p pushEvent
		if err := decode(body, &p); err != nil {
			return nil, err
		}
		return h.push(ctx, p)
	case "pull_request", "pull_request_review_approved", "pull_request_review_rejected", "pull_request_review_comment":
		var p pullEvent
		if err := decode(body, &p); err != nil {
			return nil, err
		}
		if err := p.check(); err != nil {
			return nil, err
		}
		switch {
		case !h.repos.recorded(p.Repository.FullName):
			return nil, nil
		case event == "pull_request" && (p.Action != "closed" || !p.Pull.HasMerged):
			return nil, nil
		case event == "pull_request":
			return h.repos.merged(p.Repository.FullName, p.Pull), nil
		case h.poller != nil:
			drafts, _, err := h.poller.reviews(ctx, p.Repository.FullName, p.Pull)
			return drafts, err
		}
		return p.review(h.repos, event)
	}
	return nil, nil
}

// The parts of Gitea's payloads that are read and aren't what its API answers (code.gitea.io/gitea/modules/structs,
// hook.go, of 1.26).
type (
	giteaRepository struct {
		FullName string `json:"full_name"`
	}
	giteaSignature struct {
		Name     string `json:"name"`
		UserName string `json:"username"`
	}
	giteaCommit struct {
		ID        string          `json:"id"`
		Message   string          `json:"message"`
		Author    *giteaSignature `json:"author"`
		Timestamp time.Time       `json:"timestamp"`
		Added     []string        `json:"added"`
		Modified  []string        `json:"modified"`
	}
	pushEvent struct {
		Ref        string           `json:"ref"`
		Before     string           `json:"before"`
		After      string           `json:"after"`
		Commits    []giteaCommit    `json:"commits"`
		HeadCommit *giteaCommit     `json:"head_commit"`
		Repository *giteaRepository `json:"repository"`
		Pusher     *gitea.User      `json:"pusher"`
	}
	pullEvent struct {
		Action     string             `json:"action"`
		Pull       *gitea.PullRequest `json:"pull_request"`
		Repository *giteaRepository   `json:"repository"`
		Sender     *gitea.User        `json:"sender"`
		Review     *struct {
			Type    string `json:"type"`
			Content string `json:"content"`
		} `json:"review"`
	}
)

func (p pullEvent) check() error {
	switch {
	case p.Repository == nil || p.Repository.FullName == "":
		return tracedb.ErrInvalid.Says("the event names no repository").At("repository.full_name")
	case p.Pull == nil || p.Pull.Index <= 0:
		return tracedb.ErrInvalid.Says("the event names no pull request").At("pull_request.number")
	case p.Pull.Head == nil || p.Pull.Base == nil:
		return tracedb.ErrInvalid.Says("the pull request has no branches").At("pull_request")
	}
	return nil
}

// push turns a push to a branch into a commit, and into promotions where the fleet's main now holds
// other images. Tags and branches that went away are no commits.
func (h *giteaWebhooks) push(ctx context.Context, p pushEvent) ([]tracedb.Draft, error) {
	if p.Repository == nil || p.Repository.FullName == "" {
		return nil, tracedb.ErrInvalid.Says("the event names no repository").At("repository.full_name")
	}
	branch, isBranch := strings.CutPrefix(p.Ref, "refs/heads/")
	if !h.repos.recorded(p.Repository.FullName) || !isBranch {
		return nil, nil
	}
	if strings.Trim(p.After, "0") == "" && p.After != "" {
		return nil, nil
	}
	if !isHash(p.After) {
		return nil, tracedb.ErrInvalid.Says("%q isn't a commit hash", tracedb.Clip(p.After, 80)).At("after")
	}
	c := commit{
		repository: p.Repository.FullName, branch: branch, hash: p.After, before: p.Before, pusher: login(p.Pusher),
	}
	if p.HeadCommit != nil && p.HeadCommit.ID == p.After {
		c.message, c.at = p.HeadCommit.Message, p.HeadCommit.Timestamp
		if a := p.HeadCommit.Author; a != nil {
			c.author = cmp.Or(a.UserName, a.Name)
		}
	}
	for _, other := range p.Commits {
		if other.ID != p.After && isHash(other.ID) {
			c.others = append(c.others, other.ID)
		}
		c.files = append(append(c.files, other.Added...), other.Modified...)
	}
	if err := h.detectReset(ctx, &c); err != nil {
		return nil, err
	}
	if c.repository == h.repos.Fleet && branch == names.MainBranch {
		return fleetCommit(ctx, h.repos, c, h.poller)
	}
	return []tracedb.Draft{c.draft(h.repos)}, nil
}

// detectReset notes that a push reset its branch to a commit at which it had been before: then the log's newest
// record of where it came from is newer than that of where it goes. A push that is delivered twice, or that
// GiteaPoller found first, goes from the older to the newer.
func (h *giteaWebhooks) detectReset(ctx context.Context, c *commit) error {
	if !isHash(c.before) {
		return nil
	}
	to, err := h.lastAt(ctx, *c)
	if err != nil || to < 0 {
		return err
	}
	from := *c
	from.hash = c.before
	came, err := h.lastAt(ctx, from)
	if err != nil || came <= to {
		return err
	}
	// The commit is old; that the branch went back to it isn't.
	c.again, c.at = came, h.now()
	return nil
}

// lastAt is the newest record that a branch was set to a commit, -1 if there is none.
func (h *giteaWebhooks) lastAt(ctx context.Context, c commit) (int64, error) {
	page, err := h.Log.Search(ctx, tracedb.Query{
		Kinds: []tracedb.Kind{tracedb.KindCommit}, Limit: tracedb.MaxPage,
		Refs: []tracedb.Ref{ref(tracedb.RefRepository, c.repository), h.repos.commit(c.repository, c.hash)},
	})
	if err != nil {
		return 0, fmt.Errorf("when %s of %s was there: %w", c.branch, c.repository, err)
	}
	for _, e := range page.Entries { // newest first
		if e.Writer == h.identity.Name && (e.ID == c.id() || strings.HasPrefix(e.ID, c.id()+"/")) {
			return e.Seq, nil
		}
	}
	return -1, nil
}

func login(u *gitea.User) string {
	if u == nil {
		return ""
	}
	return u.UserName
}

// person is the actor's name of one of Gitea's users.
func person(login string) string {
	if login == "" {
		return ""
	}
	return "gitea:" + login
}

// review is the record of a review from the webhook alone: Gitea doesn't say its id there, nor which
// commit was reviewed, which is the branch's newest unless somebody pushed meanwhile.
func (p pullEvent) review(repos Repositories, event string) ([]tracedb.Draft, error) {
	if p.Review == nil {
		return nil, tracedb.ErrInvalid.Says("the event carries no review").At("review")
	}
	v := review{state: strings.TrimPrefix(event, "pull_request_review_"), reviewer: login(p.Sender), body: p.Review.Content, commit: p.Pull.Head.Sha}
	if p.Pull.Updated != nil {
		v.at = *p.Pull.Updated
	}
	v.id = "text-" + hash(v.reviewer, v.state, v.commit, v.body)
	d, ok := v.draft(repos, p.Repository.FullName, p.Pull)
	if !ok {
		return nil, fmt.Errorf("review of %s: %w", p.Repository.FullName, tracedb.ErrInvalid.Says("%q is no review", v.state))
	}
	return []tracedb.Draft{d}, nil
}
