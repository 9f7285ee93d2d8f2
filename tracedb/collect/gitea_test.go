package collect

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/druppie/druppie-up/internal/giteaclient"
	"github.com/druppie/druppie-up/tracedb"
)

// The files in testdata/gitea were sent and answered by Gitea 1.26.0: a service's branch with two
// commits, three reviews, a merge; its promotion in the fleet; pushes elsewhere.
func readGolden(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// deliveries are the webhooks in the order in which Gitea sent them.
var deliveries = []string{
	"pull-opened", "push-branch", "review-comment", "pull-sync", "review-rejected", "review-approved", "pull-merged", "push-main",
	"fleet-push-branch", "fleet-review-approved", "fleet-pull-merged", "fleet-push-main", "platform-push", "trace-push", "push-tag",
	"push-many", "push-force", "pull-closed",
}

// webhook reads a recorded webhook: its headers, names and values by turns, and its body. The signatures are
// over the body without the newline that the archive ends it with.
func webhook(t testing.TB, name string) (headers []string, body string) {
	t.Helper()
	for _, f := range txtar.Parse(readGolden(t, "gitea/"+name+".txtar")).Files {
		if f.Name != "header" {
			body = strings.TrimSuffix(string(f.Data), "\n")
			continue
		}
		for line := range strings.Lines(string(f.Data)) {
			if k, v, ok := strings.Cut(strings.TrimSpace(line), ": "); ok && k != "Host" && k != "Content-Length" {
				headers = append(headers, k, v)
			}
		}
	}
	return headers, body
}

// deliver sends a webhook as Gitea sent it, headers and all.
func deliver(t *testing.T, h http.Handler, name string) int {
	t.Helper()
	headers, body := webhook(t, name)
	return post(h, "POST", body, headers...).Code
}

func deliverAll(t *testing.T, h http.Handler, names ...string) {
	t.Helper()
	for _, name := range names {
		if code := deliver(t, h, name); code != http.StatusAccepted {
			t.Errorf("%s: status %d", name, code)
		}
	}
}

// fakeGitea answers what Gitea answered.
type fakeGitea struct {
	mu    sync.Mutex
	down  bool
	asked []string
	edit  func(path string, body []byte) []byte // nil: as it was
}

func (f *fakeGitea) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, r.URL.Path)
	if f.down {
		http.Error(w, `{"message":"later"}`, http.StatusBadGateway)
		return
	}
	if r.Header.Get("Authorization") != "token t" {
		http.Error(w, `{"message":"token is required"}`, http.StatusUnauthorized)
		return
	}
	path := strings.TrimPrefix(r.URL.Path, "/api/v1")
	name := ""
	parts := strings.Split(strings.Trim(path, "/"), "/")
	switch {
	case path == "/users/druppie/repos":
		name = "repos"
	case len(parts) == 4 && parts[0] == "repos" && (parts[3] == "pulls" || parts[3] == "commits"):
		name = parts[2] + "-" + parts[3]
	case len(parts) == 5 && parts[3] == "pulls":
		name = parts[2] + "-" + parts[4] + "-pull"
	case len(parts) == 6 && parts[3] == "pulls" && parts[5] == "reviews":
		name = parts[2] + "-" + parts[4] + "-reviews"
	case len(parts) == 6 && parts[3] == "issues" && parts[5] == "timeline":
		name = parts[2] + "-" + parts[4] + "-timeline"
	case strings.HasSuffix(path, "/raw/tenants/drones/drone-service/kustomization.yaml"):
		_, _ = w.Write([]byte(serviceYAML))
		return
	}
	body, err := os.ReadFile(filepath.Join("testdata", "gitea", "api", name+".json"))
	if err != nil {
		http.Error(w, `{"message":"not found"}`, http.StatusNotFound)
		return
	}
	if page := r.URL.Query().Get("page"); page != "" && page != "1" {
		body = []byte("[]")
	}
	if f.edit != nil {
		body = f.edit(path, body)
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body)
}

const (
	mergedCommit = "90dd5a0a38cdd34c65126c75ebaa0892248b31a8"
	imageX       = "sha256:2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
	serviceYAML  = `apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
commonAnnotations:
  druppie.io/commit: ` + mergedCommit + `
  druppie.io/repository: druppie/drone-service
images:
- name: registry.foundry.svc.cluster.local:5000/druppie/drone-service
  digest: ` + imageX + `
resources:
- deploy
`
)

func newPoller(t *testing.T, tr *trace, fake http.Handler) *GiteaPoller {
	t.Helper()
	s := httptest.NewServer(fake)
	t.Cleanup(s.Close)
	c, err := giteaclient.New(t.Context(), giteaclient.Options{URL: s.URL, HTTP: s.Client(), Token: giteaclient.Token("t")})
	if err != nil {
		t.Fatal(err)
	}
	f := NewGiteaPoller(c, Repositories{}, tr.options())
	f.interval = time.Millisecond
	withTestClock(f.recorder)
	return f
}

func newHook(tr *trace, f *GiteaPoller) *Webhook {
	h := Gitea([]byte(secret), Repositories{}, f, tr.options())
	withTestClock(h.recorder)
	return h
}

// ids are those of all records, sorted.
func (tr *trace) ids() []string {
	tr.t.Helper()
	var out []string
	for _, r := range tr.records() {
		out = append(out, r.ID)
	}
	slices.Sort(out)
	return out
}

func TestGitea(t *testing.T) {
	tr := newTrace(t)
	deliverAll(t, newHook(tr, newPoller(t, tr, &fakeGitea{})), deliveries...)
	tr.golden("gitea.golden")
}

// Without the API a webhook says less; what it says is recorded all the same.
func TestGiteaWithoutPoller(t *testing.T) {
	tr := newTrace(t)
	deliverAll(t, newHook(tr, nil), deliveries...)
	tr.golden("gitea-alone.golden")
}

func TestGiteaTwice(t *testing.T) {
	for _, withPoller := range []bool{true, false} {
		tr := newTrace(t)
		hook := func() *Webhook {
			if withPoller {
				return newHook(tr, newPoller(t, tr, &fakeGitea{}))
			}
			return newHook(tr, nil)
		}
		h := hook()
		deliverAll(t, h, deliveries...)
		want := tr.ids()
		deliverAll(t, h, deliveries...)      // a replay
		deliverAll(t, hook(), deliveries...) // after a restart
		if diff := cmp.Diff(want, tr.ids()); diff != "" {
			t.Errorf("with poller %v: records (-once +thrice):\n%s", withPoller, diff)
		}
	}
}

// What the webhooks recorded, polls don't record again; what they didn't, polls find.
func TestPollerFindsWhatIsMissing(t *testing.T) {
	fake := &fakeGitea{}
	all := newTrace(t)
	deliverAll(t, newHook(all, newPoller(t, all, fake)), deliveries...)
	if err := newPoller(t, all, fake).poll(t.Context(), time.Time{}); err != nil {
		t.Fatal(err)
	}
	recorded := all.ids()

	t.Run("nothing doubles", func(t *testing.T) {
		for _, id := range recorded {
			hash := id[strings.LastIndex(id, "/")+1:]
			n := 0
			for _, other := range recorded {
				if strings.HasPrefix(other, "commit/") && strings.HasSuffix(other, hash) {
					n++
				}
			}
			if strings.HasPrefix(id, "commit/") && n > 1 {
				t.Errorf("commit %s was recorded %d times", hash, n)
			}
		}
		count := len(recorded)
		for range 2 { // another poll, and one after a restart
			if err := newPoller(t, all, fake).poll(t.Context(), time.Time{}); err != nil {
				t.Fatal(err)
			}
		}
		if n := len(all.ids()); n != count {
			t.Errorf("%d records, were %d", n, count)
		}
	})

	t.Run("all webhooks lost", func(t *testing.T) {
		tr := newTrace(t)
		f := newPoller(t, tr, fake)
		if err := f.poll(t.Context(), time.Time{}); err != nil {
			t.Fatal(err)
		}
		tr.golden("gitea-poller.golden")
		// They come at last: what was found stays as it is, pushes to branches are news.
		deliverAll(t, newHook(tr, f), deliveries...)
		for _, id := range recorded {
			if !slices.Contains(tr.ids(), id) {
				t.Errorf("%s is missing", id)
			}
		}
		for _, id := range tr.ids() {
			if !strings.HasPrefix(id, "commit/") && !slices.Contains(recorded, id) {
				t.Errorf("%s is recorded under two ids", id)
			}
		}
	})

	t.Run("some webhooks lost", func(t *testing.T) {
		for i := range deliveries {
			tr := newTrace(t)
			f := newPoller(t, tr, fake)
			deliverAll(t, newHook(tr, f), slices.Delete(slices.Clone(deliveries), i, i+1)...)
			f = newPoller(t, tr, fake) // a restart in the middle
			if err := f.poll(t.Context(), time.Time{}); err != nil {
				t.Fatal(err)
			}
			got := tr.ids()
			for _, id := range recorded {
				// Branches that aren't main have no list of pushes; their commits are in the merge.
				branch := strings.Contains(id, "/fix-battery/") || strings.Contains(id, "/many/") || strings.Contains(id, "/promote/")
				if !branch && !slices.Contains(got, id) {
					t.Errorf("without %s: %s is missing", deliveries[i], id)
				}
			}
		}
	})
}

// An edited review is recorded anew, and what was said first stays.
func TestPollerEditedReview(t *testing.T) {
	tr := newTrace(t)
	fake := &fakeGitea{}
	f := newPoller(t, tr, fake)
	if err := f.poll(t.Context(), time.Time{}); err != nil {
		t.Fatal(err)
	}
	before := tr.ids()
	fake.edit = func(path string, body []byte) []byte {
		return []byte(strings.Replace(string(body), "A test is missing.", "All is well.", 1))
	}
	if err := f.poll(t.Context(), time.Time{}); err != nil {
		t.Fatal(err)
	}
	var news []string
	for _, r := range tr.records() {
		if !slices.Contains(before, r.ID) {
			news = append(news, string(r.Kind)+" "+string(r.Outcome)+" "+string(r.Payload))
		}
	}
	if len(news) != 1 || !strings.Contains(news[0], "review rejected") || !strings.Contains(news[0], "All is well.") {
		t.Errorf("news = %q, want the edited review", news)
	}
}

func TestPollerWhenGiteaIsDown(t *testing.T) {
	tr := newTrace(t)
	fake := &fakeGitea{down: true}
	f := newPoller(t, tr, fake)
	h := newHook(tr, f)
	if code := deliver(t, h, "review-approved"); code != http.StatusServiceUnavailable {
		t.Errorf("a review that can't be asked about: status %d, want 503", code)
	}
	if code := deliver(t, h, "fleet-push-main"); code != http.StatusServiceUnavailable {
		t.Errorf("a promotion that can't be read: status %d, want 503", code)
	}
	if n := len(tr.records()); n != 0 {
		t.Errorf("%d records of half an event", n)
	}
	stop := runs(t, f.Run)
	eventually(t, "the failure shows", func() bool { return f.Status().LastError != "" })
	fake.mu.Lock()
	fake.down = false
	fake.mu.Unlock()
	eventually(t, "it recovers", func() bool { return f.Status().LastError == "" && !f.Status().LastSuccess.IsZero() })
	stop()
	reviewed, promoted := false, false
	for _, r := range tr.records() {
		reviewed = reviewed || (r.Kind == tracedb.KindReview && r.Outcome == tracedb.Approved)
		promoted = promoted || r.Kind == tracedb.KindPromotion
	}
	if !reviewed || !promoted {
		t.Errorf("what was lost wasn't found: review %v, promotion %v", reviewed, promoted)
	}
}

// A poll goes back no further than it must.
func TestPollerStopsAtWhatIsOld(t *testing.T) {
	tr := newTrace(t)
	fake := &fakeGitea{}
	f := newPoller(t, tr, fake)
	if err := f.poll(t.Context(), time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)); err != nil {
		t.Fatal(err)
	}
	for _, path := range fake.asked {
		if strings.HasSuffix(path, "/reviews") {
			t.Errorf("asked for %s of an old pull request", path)
		}
		if strings.Contains(path, "/druppie/trace/") {
			t.Errorf("looked at the log's own repository: %s", path)
		}
	}
}

func TestPromotions(t *testing.T) {
	repos := Repositories{}.withDefaults()
	body := "tenants/drones/x: 2d711642b726 from commit 90dd5a0a38cd\n\nService: druppie/x\nCommit: " + mergedCommit + "\nImage: registry.foundry.svc.cluster.local:5000/druppie/x@" + imageX + "\nPipeline run: \n"
	tests := []struct {
		name, message string
		files         []string
		want          []string
	}{
		{"as promote writes it", body, []string{"tenants/drones/x/kustomization.yaml", "tenants/drones/kustomization.yaml", "tenants/drones/x/deploy/d.yaml"}, []string{"druppie/x " + mergedCommit + " " + imageX + " drones"}},
		{"nothing of a service", body, []string{"README.md", "tenants/drones/kustomization.yaml"}, nil},
		{"no digest", "Service: druppie/x", []string{"tenants/drones/x/kustomization.yaml"}, nil},
		{"a path that leaves", body, []string{"tenants/../x/kustomization.yaml"}, nil},
		{"half a hash", strings.Replace(body, mergedCommit, "90dd5a0", 1), []string{"tenants/drones/x/kustomization.yaml"}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			drafts, err := fleetCommit(context.Background(), repos, commit{repository: repos.Fleet, branch: "main", hash: hashA, message: tt.message, files: tt.files}, nil)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, d := range drafts[1:] {
				p := payload[tracedb.Promotion](t, d.Payload)
				got = append(got, p.Repository+" "+p.Commit+" "+p.Digest+" "+p.Tenant)
				if p.Revision != hashA || !slices.Contains(d.Refs, ref(tracedb.RefRevision, hashA)) {
					t.Errorf("the revision is missing: %+v", d)
				}
			}
			if tt.name == "half a hash" && !slices.Contains(drafts[0].Refs, ref(tracedb.RefImage, imageX)) {
				t.Errorf("the commit isn't about the image that came with it: %v", drafts[0].Refs)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("promotions (-want +got):\n%s", diff)
			}
		})
	}
}
