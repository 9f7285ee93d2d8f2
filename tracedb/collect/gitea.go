package collect

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/druppie/druppie-up/internal/names"
	"github.com/druppie/druppie-up/tracedb"
)

// GiteaHook takes Gitea's webhooks. Its exported fields are set before its first use.
type GiteaHook struct {
	// Repositories says what is what; its zero value is the platform's own.
	Repositories Repositories
	// Poller answers what a webhook leaves out: a review's id and commit, and what a file of the fleet
	// says. Without it a review's id follows from its text, and a promotion from the commit's message.
	Poller *GiteaPoller
	// Log spares the sink what it has; may be nil.
	Log    tracedb.Reader
	Logger *slog.Logger

	secret []byte
	sink   Sink
	health health
	start  sync.Once
	rec    *recorder
	repos  Repositories
}

// Gitea takes Gitea's webhooks (push, pull_request, pull_request_review), signed with secret. It answers
// 202 when the log has what was told, 4xx where nothing else could be answered the next time. Gitea
// sends a webhook once: what the log couldn't take then, GiteaPoller finds later.
func Gitea(secret []byte, sink Sink) *GiteaHook {
	return &GiteaHook{secret: secret, sink: sink}
}

// giteaKinds are the kinds of record that Gitea's events become.
var giteaKinds = []tracedb.Kind{tracedb.KindCommit, tracedb.KindReview, tracedb.KindMerge, tracedb.KindPromotion}

func (h *GiteaHook) ready() {
	h.start.Do(func() {
		h.repos = h.Repositories.whole()
		h.rec = newRecorder("gitea", h.sink, h.Log, h.Logger, &h.health, giteaKinds...)
	})
}

// Status is how it goes with the webhooks.
func (h *GiteaHook) Status() Status { return h.health.read("gitea") }

// ServeHTTP takes one webhook.
func (h *GiteaHook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.ready()
	body, err := readEvent(w, r, h.secret,
		signature{"X-Gitea-Signature", ""}, signature{"X-Hub-Signature-256", "sha256="})
	if err != nil {
		answer(w, err)
		return
	}
	drafts, err := h.read(r.Context(), giteaEvent(r.Header), body)
	if err == nil {
		err = h.rec.tryPut(r.Context(), drafts)
	}
	switch {
	case err == nil:
		h.health.ok("webhook", h.rec.now())
	case !permanent(err):
		h.health.failing("webhook", h.rec.now(), err)
	}
	answer(w, err)
}

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

// read turns an event into drafts: none for what isn't recorded.
func (h *GiteaHook) read(ctx context.Context, event string, body []byte) ([]tracedb.Draft, error) {
	switch event {
	case "push":
		var p pushEvent
		if err := decode(body, &p); err != nil {
			return nil, err
		}
		return h.push(ctx, p)
	case "pull_request":
		var p pullEvent
		if err := decode(body, &p); err != nil {
			return nil, err
		}
		if err := p.check(); err != nil {
			return nil, err
		}
		if !h.repos.ours(p.Repository.FullName) || p.Action != "closed" || !p.Pull.Merged {
			return nil, nil
		}
		return h.repos.merged(p.Repository.FullName, p.Pull), nil
	case "pull_request_review_approved", "pull_request_review_rejected", "pull_request_review_comment":
		var p pullEvent
		if err := decode(body, &p); err != nil {
			return nil, err
		}
		if err := p.check(); err != nil {
			return nil, err
		}
		if !h.repos.ours(p.Repository.FullName) {
			return nil, nil
		}
		if h.Poller != nil {
			return h.Poller.reviews(ctx, p.Repository.FullName, p.Pull)
		}
		return p.review(h.repos, event)
	}
	return nil, nil
}

// decode reads an event. Gitea adds fields with every release, so unknown ones are no error.
func decode(body []byte, into any) error {
	if err := json.Unmarshal(body, into); err != nil {
		return tracedb.ErrInvalid.Says("the event isn't the JSON it should be: %s", tracedb.Clip(err.Error(), 200))
	}
	return nil
}

// The parts of Gitea's payloads that are read (code.gitea.io/gitea/modules/structs, hook.go and
// pull.go, of 1.26).
type (
	giteaUser struct {
		Login string `json:"login"`
	}
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
		Pusher     *giteaUser       `json:"pusher"`
	}
	giteaBranch struct {
		Ref string `json:"ref"`
		SHA string `json:"sha"`
	}
	giteaPull struct {
		Number      int64        `json:"number"`
		User        *giteaUser   `json:"user"`
		Title       string       `json:"title"`
		Body        string       `json:"body"`
		Merged      bool         `json:"merged"`
		MergedAt    *time.Time   `json:"merged_at"`
		MergeCommit *string      `json:"merge_commit_sha"`
		MergedBy    *giteaUser   `json:"merged_by"`
		Base        *giteaBranch `json:"base"`
		Head        *giteaBranch `json:"head"`
		UpdatedAt   *time.Time   `json:"updated_at"`
	}
	pullEvent struct {
		Action     string           `json:"action"`
		Pull       *giteaPull       `json:"pull_request"`
		Repository *giteaRepository `json:"repository"`
		Sender     *giteaUser       `json:"sender"`
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
	case p.Pull == nil || p.Pull.Number <= 0:
		return tracedb.ErrInvalid.Says("the event names no pull request").At("pull_request.number")
	case p.Pull.Head == nil || p.Pull.Base == nil:
		return tracedb.ErrInvalid.Says("the pull request has no branches").At("pull_request")
	}
	return nil
}

// push turns a push to a branch into a commit, and into promotions where the fleet's main now holds
// other images. Tags and branches that went away are no commits.
func (h *GiteaHook) push(ctx context.Context, p pushEvent) ([]tracedb.Draft, error) {
	if p.Repository == nil || p.Repository.FullName == "" {
		return nil, tracedb.ErrInvalid.Says("the event names no repository").At("repository.full_name")
	}
	branch, isBranch := strings.CutPrefix(p.Ref, "refs/heads/")
	if !h.repos.ours(p.Repository.FullName) || !isBranch {
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
		c.message, c.at, c.author = p.HeadCommit.Message, p.HeadCommit.Timestamp, p.HeadCommit.Author.who()
	}
	for _, other := range p.Commits {
		if other.ID != p.After && isHash(other.ID) {
			c.others = append(c.others, other.ID)
		}
		c.files = append(append(c.files, other.Added...), other.Modified...)
	}
	if err := h.setBack(ctx, &c); err != nil {
		return nil, err
	}
	if c.repository == h.repos.Fleet && branch == names.MainBranch {
		return accepted(ctx, h.repos, c, h.Poller)
	}
	return []tracedb.Draft{c.draft(h.repos)}, nil
}

// setBack notes that a push set its branch to a commit at which it had stood before: then the log's newest
// record of where it came from is newer than that of where it goes. A push that is told twice, or that
// GiteaPoller found first, goes from the older to the newer.
func (h *GiteaHook) setBack(ctx context.Context, c *commit) error {
	if h.Log == nil || !isHash(c.before) {
		return nil
	}
	to, err := h.stood(ctx, *c)
	if err != nil || to < 0 {
		return err
	}
	from := *c
	from.hash = c.before
	came, err := h.stood(ctx, from)
	if err != nil || came <= to {
		return err
	}
	// The commit is old; that the branch went back to it isn't.
	c.again, c.at = came, h.rec.now()
	return nil
}

// stood is the newest record that a branch came to stand at a commit, -1 if there is none.
func (h *GiteaHook) stood(ctx context.Context, c commit) (int64, error) {
	page, err := h.Log.Search(ctx, tracedb.Query{
		Kinds: []tracedb.Kind{tracedb.KindCommit}, Limit: tracedb.MaxPage,
		Refs: []tracedb.Ref{ref(tracedb.RefRepository, c.repository), h.repos.commit(c.repository, c.hash)},
	})
	if err != nil {
		return 0, fmt.Errorf("where %s of %s stood: %w", c.branch, c.repository, err)
	}
	for _, e := range page.Entries { // newest first
		if e.Writer == h.rec.identity().Name && (e.ID == c.id() || strings.HasPrefix(e.ID, c.id()+"/")) {
			return e.Seq, nil
		}
	}
	return -1, nil
}

func (s *giteaSignature) who() string {
	switch {
	case s == nil:
		return ""
	case s.UserName != "":
		return s.UserName
	}
	return s.Name
}

func login(u *giteaUser) string {
	if u == nil {
		return ""
	}
	return u.Login
}

// person is the actor's name of one of Gitea's users.
func person(login string) string {
	if login == "" {
		return ""
	}
	return "gitea:" + login
}

// review is the record of a review from the webhook alone: Gitea doesn't say its id there, nor which
// commit was judged, which is the branch's newest unless somebody pushed meanwhile.
func (p pullEvent) review(repos Repositories, event string) ([]tracedb.Draft, error) {
	if p.Review == nil {
		return nil, tracedb.ErrInvalid.Says("the event carries no review").At("review")
	}
	v := review{state: strings.TrimPrefix(event, "pull_request_review_"), reviewer: login(p.Sender), body: p.Review.Content, commit: p.Pull.Head.SHA}
	if p.Pull.UpdatedAt != nil {
		v.at = *p.Pull.UpdatedAt
	}
	v.id = "text-" + hash(v.reviewer, v.state, v.commit, v.body)
	d, ok := v.draft(repos, p.Repository.FullName, p.Pull)
	if !ok {
		return nil, fmt.Errorf("review of %s: %w", p.Repository.FullName, tracedb.ErrInvalid.Says("%q is no review", v.state))
	}
	return []tracedb.Draft{d}, nil
}
