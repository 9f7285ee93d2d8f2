package collect

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"code.gitea.io/sdk/gitea"
	"github.com/google/go-cmp/cmp"

	"github.com/druppie/druppie-up/tracedb"
)

// old is a record's id as it was before ids of merges recorded the commit.
func old(id string) string {
	if strings.HasPrefix(id, "merge/") {
		return id[:strings.LastIndex(id, "/")]
	}
	return id
}

// A log from before has its records under other ids: nothing of it is recorded again.
func TestPollerKnowsOldIDs(t *testing.T) {
	now := newTrace(t)
	if err := newPoller(t, now, &fakeGitea{}).poll(t.Context(), time.Time{}); err != nil {
		t.Fatal(err)
	}
	tr := newTrace(t)
	f := newPoller(t, tr, &fakeGitea{})
	olds := 0
	for _, r := range now.records() {
		d := tracedb.Draft{ID: old(r.ID), Kind: r.Kind, Actor: r.Actor, At: r.At, Outcome: r.Outcome, Refs: r.Refs, Payload: r.Payload}
		if d.ID != r.ID {
			olds++
		}
		if _, err := tr.sink(t.Context(), f.identity, []tracedb.Draft{d}); err != nil {
			t.Fatal(err)
		}
	}
	before := tr.ids()
	if err := f.poll(t.Context(), time.Time{}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, tr.ids()); diff != "" || olds == 0 {
		t.Errorf("%d old ids; records (-before +after):\n%s", olds, diff)
	}
}

// The repository is made anew, and its first pull request is another one.
func TestPollerSecondFirstPull(t *testing.T) {
	tr := newTrace(t)
	fake := &fakeGitea{}
	f := newPoller(t, tr, fake)
	merges := func() (out []string) {
		for _, r := range tr.records() {
			if m := payload[tracedb.Merge](t, r.Payload); r.Kind == tracedb.KindMerge && m.Repository == "druppie/drone-service" {
				out = append(out, m.Commit)
			}
		}
		return out
	}
	anew := func(data []byte) []byte { return bytes.ReplaceAll(data, []byte(mergedCommit), []byte(hashA)) }
	for range 2 {
		if err := f.poll(t.Context(), time.Time{}); err != nil {
			t.Fatal(err)
		}
		deliverAll(t, newHook(tr, f), "pull-merged")
		fake.edit = func(_ string, body []byte) []byte { return anew(body) }
	}
	if diff := cmp.Diff([]string{mergedCommit, hashA}, merges()); diff != "" {
		t.Errorf("merges (-want +got):\n%s", diff)
	}
}

// history is a Gitea with one repository of many commits.
type history struct {
	commits []string // oldest first
	grow    bool     // somebody pushes while it is looked at
}

func (g *history) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	answer := func(v any) { _ = json.NewEncoder(w).Encode(v) }
	switch q := r.URL.Query(); {
	case strings.HasSuffix(r.URL.Path, "/repos"):
		answer([]any{map[string]any{"full_name": "druppie/x"}})
	case strings.HasSuffix(r.URL.Path, "/commits"):
		line := g.commits
		if i := slices.Index(line, q.Get("sha")); i >= 0 {
			line = line[:i+1]
		}
		page, _ := strconv.Atoi(q.Get("page"))
		until := len(line) - (page-1)*pageSize
		from := max(0, until-pageSize)
		if from > 0 {
			w.Header().Set("Link", fmt.Sprintf(`<http://%s%s?page=%d>; rel="next"`, r.Host, r.URL.Path, page+1))
		}
		out := []any{}
		for _, hash := range slices.Backward(line[from:until]) {
			out = append(out, map[string]any{"sha": hash, "commit": map[string]any{"message": "m", "committer": map[string]any{"date": noon}}})
		}
		if g.grow {
			g.commits = append(g.commits, fmt.Sprintf("%040x", len(g.commits)+1))
		}
		answer(out)
	default:
		answer([]any{})
	}
}

// A whole history is recorded, oldest first, also when the log or the service fails on the way.
func TestPollerLongHistory(t *testing.T) {
	tests := []struct {
		name string
		fail int // the log takes no more than this at first; 0: everything
		grow bool
	}{
		{"at once", 0, false},
		{"in two polls", 300, false},
		{"while it grows", 0, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tr := newTrace(t)
			g := &history{grow: tt.grow}
			for n := range 620 {
				g.commits = append(g.commits, fmt.Sprintf("%040x", n+1))
			}
			want := slices.Clone(g.commits)
			if tt.fail > 0 {
				tr.failing(func([]tracedb.Draft) error {
					if tr.called() > tt.fail {
						return errors.New("a cable is out")
					}
					return nil
				})
				if err := newPoller(t, tr, g).poll(t.Context(), time.Time{}); err == nil {
					t.Fatal("it didn't fail")
				}
				tr.up()
			}
			if err := newPoller(t, tr, g).poll(t.Context(), time.Time{}); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, r := range tr.records() {
				got = append(got, payload[tracedb.Commit](t, r.Payload).Commit)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("commits (-want +got):\n%s", diff)
			}
		})
	}
}

// A list without end is read so far, and that is said.
func TestPollerEndlessList(t *testing.T) {
	tr := newTrace(t)
	f := newPoller(t, tr, &fakeGitea{})
	var out bytes.Buffer
	f.Logger = slog.New(slog.NewTextHandler(&out, nil))
	pages := 0
	err := f.pages(t.Context(), "stars", func(o gitea.ListOptions) (*gitea.Response, error) {
		pages = o.Page
		return &gitea.Response{NextPage: o.Page + 1}, nil
	})
	if err != nil || pages != maxPages || !strings.Contains(out.String(), "list=stars") {
		t.Errorf("%d pages, %v, said %q", pages, err, out.String())
	}
}

// Nobody is told by Gitea that main's protection is gone, and nobody may have to be told twice.
func TestPollerFindsWhatIsntProtected(t *testing.T) {
	tr := newTrace(t)
	branch := func(protected bool, approvals int) string {
		return fmt.Sprintf(`{"name":"main","protected":%v,"required_approvals":%d}`, protected, approvals)
	}
	state := map[string]string{}
	gitea := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if strings.HasSuffix(r.URL.Path, "/repos") {
			fmt.Fprint(w, `[{"full_name":"druppie/drone-service"},{"full_name":"druppie/platform"},{"full_name":"druppie/empty"}]`)
		} else if s, ok := state[r.URL.Path]; ok {
			fmt.Fprint(w, s)
		} else {
			http.Error(w, `{"message":"not found"}`, http.StatusNotFound)
		}
	})
	const service, platform = "/api/v1/repos/druppie/drone-service/branches/main", "/api/v1/repos/druppie/platform/branches/main"
	var want []string
	for _, step := range []struct {
		name              string
		service, platform string
		want              []string
	}{
		{"all is well", branch(true, 1), branch(true, 0), nil},
		{"no approval", branch(true, 0), branch(true, 0), []string{"failed druppie/drone-service no approval is required"}},
		{"still none", branch(true, 0), branch(true, 0), nil},
		{"and no protection there either", branch(true, 0), branch(false, 0), []string{"failed druppie/platform not protected: whoever may write can push"}},
		{"back", branch(true, 1), branch(true, 0), []string{
			"undone druppie/drone-service protected, with an approval of somebody else", "undone druppie/platform protected",
		}},
	} {
		state[service], state[platform] = step.service, step.platform
		// One that was made anew knows no more than the log.
		if err := newPoller(t, tr, gitea).protections(t.Context()); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		want = append(want, step.want...)
		var got []string
		for _, r := range tr.records() {
			repository := ""
			for _, ref := range r.Refs {
				if ref.Type == tracedb.RefRepository {
					repository = ref.Value
				}
			}
			got = append(got, fmt.Sprintf("%s %s %s", r.Outcome, repository, payload[tracedb.Drift](t, r.Payload).Got))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%s: records (-want +got):\n%s", step.name, diff)
		}
	}
}

// TestPollerSetBack sets main back while no webhook is delivered: the poller finds that, once, and again when it happens
// again.
func TestPollerSetBack(t *testing.T) {
	tr := newTrace(t)
	fake := &history{}
	for i := range 5 {
		fake.commits = append(fake.commits, fmt.Sprintf("%040x", i+1))
	}
	f := newPoller(t, tr, fake)
	poll := func(line ...string) []string {
		t.Helper()
		fake.commits = line
		before := len(tr.records())
		for range 2 {
			if err := f.poll(t.Context(), time.Time{}); err != nil {
				t.Fatal(err)
			}
		}
		var out []string
		for _, r := range tr.records()[before:] {
			c := payload[tracedb.Commit](t, r.Payload)
			out = append(out, strings.TrimLeft(c.Before, "0")+">"+strings.TrimLeft(c.Commit, "0"))
		}
		return out
	}
	line := fake.commits
	for _, step := range []struct {
		line []string
		want []string
	}{
		{line, []string{">1", ">2", ">3", ">4", ">5"}},
		{line[:3], []string{"5>3"}},
		{line[:3], nil},
		{line, nil}, // what came on top is known, and nothing is lost
		{line[:2], []string{"3>2"}},
		{append(slices.Clone(line[:2]), fmt.Sprintf("%040x", 9)), []string{">9"}},
	} {
		if diff := cmp.Diff(step.want, poll(step.line...)); diff != "" {
			t.Errorf("at %d commits (-want +got):\n%s", len(step.line), diff)
		}
	}
}

// TestPollerDismissed tells a review that somebody dismissed from one that a newer took the place of, which Gitea calls
// dismissed, too.
func TestPollerDismissed(t *testing.T) {
	tr := newTrace(t)
	fake := &fakeGitea{edit: func(path string, body []byte) []byte {
		switch {
		case strings.HasSuffix(path, "/reviews"):
			return bytes.ReplaceAll(body, []byte(`"dismissed": false`), []byte(`"dismissed": true`))
		case strings.HasSuffix(path, "/timeline"):
			return bytes.Replace(body, []byte("[\n"), []byte(`[{"id": 14, "type": "dismiss_review", "review_id": 7, "user": {"login": "druppie-admin"}, "created_at": "2026-11-24T03:34:50Z", "body": "Looked again."},`), 1)
		}
		return body
	}}
	f := newPoller(t, tr, fake)
	for range 2 {
		if err := f.poll(t.Context(), time.Time{}); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for _, r := range tr.records() {
		if p := payload[tracedb.Review](t, r.Payload); r.Kind == tracedb.KindReview && r.Outcome == tracedb.Undone {
			got = append(got, fmt.Sprintf("%s of %s by %s at %s: %s", p.Repository, p.Reviewer, r.Actor, r.At.Format("15:04:05"), p.Reason))
		}
	}
	if diff := cmp.Diff([]string{"druppie/drone-service of reviewer by gitea:druppie-admin at 03:34:50: Looked again."}, got); diff != "" {
		t.Errorf("dismissals (-want +got):\n%s", diff)
	}
}
