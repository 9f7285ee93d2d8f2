package pages

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/why/whytest"
)

// cheat is a log that lies in one way.
type cheat struct {
	tracedb.Reader
	entry      func(*tracedb.Entry)
	payload    func(json.RawMessage) json.RawMessage
	proof      func(*tracedb.Proof)
	checkpoint func(*tracedb.Checkpoint)
}

func (c cheat) Entries(ctx context.Context, seqs ...int64) ([]tracedb.Entry, error) {
	out, err := c.Reader.Entries(ctx, seqs...)
	for i := range out {
		if c.entry != nil {
			c.entry(&out[i])
		}
	}
	return out, err
}

func (c cheat) Payload(ctx context.Context, seq int64) (json.RawMessage, error) {
	out, err := c.Reader.Payload(ctx, seq)
	if c.payload != nil {
		out = c.payload(out)
	}
	return out, err
}

func (c cheat) Payloads(ctx context.Context, seqs ...int64) (map[int64]json.RawMessage, error) {
	out, err := c.Reader.Payloads(ctx, seqs...)
	for seq, payload := range out {
		if c.payload != nil {
			out[seq] = c.payload(payload)
		}
	}
	return out, err
}

func (c cheat) Prove(ctx context.Context, seq, size int64) (tracedb.Proof, error) {
	out, err := c.Reader.Prove(ctx, seq, size)
	if c.proof != nil {
		c.proof(&out)
	}
	return out, err
}

func (c cheat) Checkpoint(ctx context.Context) (tracedb.Checkpoint, error) {
	out, err := c.Reader.Checkpoint(ctx)
	if c.checkpoint != nil {
		c.checkpoint(&out)
	}
	return out, err
}

// forged is a checkpoint of another tree, signed with another key or with none.
func forged(t testing.TB, origin string, size int64, root tlog.Hash, signer note.Signer) []byte {
	t.Helper()
	n := &note.Note{Text: fmt.Sprintf("%s\n%d\n%s\n", origin, size, base64.StdEncoding.EncodeToString(root[:]))}
	raw, err := note.Sign(n, signer)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// TestVerifyFinds shows that the page finds every lie of a log, and believes one that doesn't lie.
func TestVerifyFinds(t *testing.T) {
	w := newWorld(t, story(t)...)
	other, _, err := note.GenerateKey(nil, "druppie.io/trace/test")
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := note.NewSigner(other)
	if err != nil {
		t.Fatal(err)
	}
	secret, _ := fixedKeys(t)
	ours, err := note.NewSigner(secret)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name  string
		cheat cheat
		finds string
	}{
		{"honest", cheat{}, ""},
		{"another actor", cheat{entry: func(e *tracedb.Entry) { e.Actor = "somebody else" }}, "another root"},
		{"another outcome", cheat{entry: func(e *tracedb.Entry) { e.Outcome = tracedb.Approved }}, "another root"},
		{"another payload", cheat{payload: func(p json.RawMessage) json.RawMessage {
			return bytes.Replace(p, []byte("builder"), []byte("nobody!"), 1)
		}}, "isn&#39;t the one that was recorded"},
		{"a path that was cut", cheat{proof: func(p *tracedb.Proof) { p.Hashes = p.Hashes[:2] }}, "ends below the root"},
		{"a path that was stretched", cheat{proof: func(p *tracedb.Proof) { p.Hashes = append(p.Hashes, p.Hashes[0]) }}, "longer than a tree"},
		{"another path", cheat{proof: func(p *tracedb.Proof) { p.Hashes[0] = p.Hashes[1] }}, "another root"},
		{"no hash", cheat{proof: func(p *tracedb.Proof) { p.Hashes[1] = "x" }}, "Hash 1 of the proof isn&#39;t a hash"},
		{"another root", cheat{checkpoint: func(c *tracedb.Checkpoint) { c.Root[0]++ }}, "another root"},
		{"a smaller tree", cheat{checkpoint: func(c *tracedb.Checkpoint) { c.Size-- }}, "another root"},
		{"a note of another tree", cheat{checkpoint: func(c *tracedb.Checkpoint) {
			c.Note = forged(t, "druppie.io/trace/test", c.Size, tlog.Hash{1}, ours)
		}}, "about another tree"},
		{"another key", cheat{checkpoint: func(c *tracedb.Checkpoint) {
			c.Note = forged(t, "druppie.io/trace/test", c.Size, c.Root, stranger)
		}}, "isn&#39;t signed with this log&#39;s key"},
		{"no signature", cheat{checkpoint: func(c *tracedb.Checkpoint) { c.Note = []byte("druppie.io/trace/test\n") }}, "isn&#39;t signed with this log&#39;s key"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.cheat.Reader = w.log
			w.site.o.Reader = tt.cheat
			defer func() { w.site.o.Reader = w.log }()
			got := w.get(auditor, "/verify?seq=3", "Accept-Language", "en")
			body := got.Body.String()
			if tt.name == "honest" {
				if !strings.Contains(body, "It holds") || strings.Contains(body, "It doesn&#39;t hold") {
					t.Errorf("an honest log isn't believed: %d", got.Code)
				}
				return
			}
			if strings.Contains(body, "It holds") || !strings.Contains(body, "It doesn&#39;t hold") || !strings.Contains(body, tt.finds) {
				t.Errorf("the lie wasn't found, or not named %q", tt.finds)
			}
		})
	}
}

// TestOldCheckpoint compares the log of now with what somebody kept of it.
func TestOldCheckpoint(t *testing.T) {
	parts := story(t)
	w := newWorld(t, parts[:20]...)
	kept, err := w.log.Checkpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w.add(parts[20:]...)
	now, err := w.log.Checkpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	secret, _ := fixedKeys(t)
	ours, err := note.NewSigner(secret)
	if err != nil {
		t.Fatal(err)
	}
	another := kept.Root
	another[3]++
	tests := []struct{ name, old, says string }{
		{"kept", string(kept.Note), "It holds: the first 20 records"},
		{"as a browser sends it", strings.ReplaceAll(string(kept.Note), "\n", "\r\n"), "It holds: the first 20 records"},
		{"without the last line's end", strings.TrimSpace(string(kept.Note)), "It holds: the first 20 records"},
		{"of now", string(now.Note), "It holds"},
		{"history was rewritten", string(forged(t, ours.Name(), kept.Size, another, ours)), "history was rewritten"},
		{"now was rewritten", string(forged(t, ours.Name(), now.Size, another, ours)), "history was rewritten"},
		{"records were removed", string(forged(t, ours.Name(), now.Size+5, another, ours)), "records were removed"},
		{"changed by hand", strings.Replace(string(kept.Note), "\n20\n", "\n19\n", 1), "isn&#39;t signed"},
		{"nothing", "nothing", "isn&#39;t signed"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			body := w.get(auditor, "/verify?old="+url.QueryEscape(tt.old), "Accept-Language", "en").Body.String()
			if !strings.Contains(body, tt.says) {
				t.Errorf("the page doesn't say %q", tt.says)
			}
			if holds := strings.Contains(body, "It holds"); holds != strings.HasPrefix(tt.says, "It holds") {
				t.Errorf("holds = %v", holds)
			}
		})
	}
}

// TestDisposed shows what is left of a record whose payload's term is over.
func TestDisposed(t *testing.T) {
	w := newWorld(t, story(t)...)
	// Terms are counted by the log's own time.
	w.later = 8 * 365 * 24 * time.Hour
	w.tell("collector:pods", tracedb.KindIncident, "kubelet", "", tracedb.Incident{Namespace: "dikes", Object: "Pod/x", Summary: "years later"}, "namespace", "dikes")
	if _, err := w.log.Dispose(t.Context(), now.Add(w.later)); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"/record/3": "was disposed of after its term", "/verify?seq=3": "It holds", "/service/" + whytest.Repository: "was disposed of after its term", "/refusals": "Refusals",
	} {
		got := w.get(auditor, path, "Accept-Language", "en")
		if got.Code != http.StatusOK || !strings.Contains(got.Body.String(), want) {
			t.Errorf("%s: %d, without %q", path, got.Code, want)
		}
		if strings.Contains(got.Body.String(), "the margins are tested") {
			t.Errorf("%s: the payload is still told", path)
		}
	}
}

var (
	recordLink = regexp.MustCompile(`class="line-title"><a href="/record/(\d+)"|<h3><a href="/record/(\d+)"`)
	nextLink   = regexp.MustCompile(`<a href="([^"]+)" rel="next">`)
)

// TestPaging turns all pages of a long list, and meets every record once, the newest first.
func TestPaging(t *testing.T) {
	w := newWorld(t)
	var want []string
	for i := range 130 {
		w.tell("collector:kyverno", tracedb.KindAdmission, "kyverno", tracedb.Denied, tracedb.Admission{Namespace: "drones", Policy: "signature", Reason: fmt.Sprint(i)}, "namespace", "drones")
		want = append([]string{fmt.Sprint(i)}, want...)
	}
	for _, first := range []string{"/search?kind=admission", "/search", "/refusals", "/refusals?what=door"} {
		t.Run(first, func(t *testing.T) {
			var got []string
			pages := 0
			for path := first; path != ""; pages++ {
				body := w.get(auditor, path).Body.String()
				for _, m := range recordLink.FindAllStringSubmatch(body, -1) {
					got = append(got, m[1]+m[2])
				}
				m := nextLink.FindStringSubmatch(body)
				if path = ""; m != nil && pages < 20 {
					path = strings.ReplaceAll(m[1], "&amp;", "&")
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			if pages < 3 {
				t.Errorf("all on %d pages", pages)
			}
		})
	}
}

func TestSearch(t *testing.T) {
	w := newWorld(t, story(t)...)
	tests := []struct {
		name, query string
		want        int
	}{
		{"by outcome", "outcome=rejected", 1},
		{"by kind", "kind=register", 2},
		{"by actor", "actor=kyverno", 3},
		{"by service and kind", "about=" + whytest.Repository + "&kind=merge", 1},
		{"by algorithm", "about=" + whytest.Algorithm + "&outcome=denied", 2},
		{"by pod, which looks like a service", "about=" + whytest.Pod, 3},
		{"by run, which looks like a service", "about=foundry/release-drone-service-b4d5e", 1},
		{"from a day after all", "from=2030-01-01", 0},
		{"until a day before all", "until=2020-01-01", 0},
		{"on the day", "from=2026-02-02&until=2026-02-02&kind=review", 3},
		{"nothing of both", "kind=spec&outcome=denied", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := w.get(auditor, "/search?"+tt.query, "Accept-Language", "en")
			if n := len(recordLink.FindAllString(got.Body.String(), -1)); n != tt.want || got.Code != http.StatusOK {
				t.Errorf("%d found with %d, want %d", n, got.Code, tt.want)
			}
			if empty := strings.Contains(got.Body.String(), "Leave a condition out"); empty != (tt.want == 0) {
				t.Errorf("help for an empty result: %v", empty)
			}
		})
	}
}

// TestLargePayload shows only the beginning of what is too long to read.
func TestLargePayload(t *testing.T) {
	w := newWorld(t)
	long := strings.Repeat("é", maxBody)
	w.tell("x", tracedb.KindIncident, "x", "", tracedb.Incident{Namespace: "drones", Object: "Pod/x", Summary: "long", Detail: long}, "namespace", "drones", "repository", "druppie/long")
	for _, path := range []string{"/record/0", "/why?q=druppie/long"} {
		got := w.get(auditor, path, "Accept-Language", "en")
		if got.Code != http.StatusOK || got.Body.Len() > maxBody+100<<10 {
			t.Errorf("%s: %d with %d bytes", path, got.Code, got.Body.Len())
		}
		if strings.Contains(got.Body.String(), "\uFFFD") {
			t.Errorf("%s: a letter was cut in two", path)
		}
	}
	if !strings.Contains(w.get(auditor, "/record/0", "Accept-Language", "en").Body.String(), "Only the beginning is shown") {
		t.Error("the page doesn't say that something is missing")
	}
}

// TestEmptyLog shows every page before anything was recorded.
func TestEmptyLog(t *testing.T) {
	w := newWorld(t)
	for _, path := range []string{"/", "/register", "/refusals", "/search", "/verify", "/why"} {
		got := w.get(auditor, path, "Accept-Language", "en")
		if got.Code != http.StatusOK {
			t.Errorf("%s: %d", path, got.Code)
		}
		if slices.Contains([]string{"/", "/register", "/refusals", "/search"}, path) && !strings.Contains(got.Body.String(), `class="empty"`) {
			t.Errorf("%s says nothing about being empty", path)
		}
	}
}
