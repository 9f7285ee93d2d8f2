package pages

import (
	stdcmp "cmp"
	"flag"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/druppie/druppie-up/internal/text"
	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/why/whytest"
)

var update = flag.Bool("update", false, "write the golden files")

// assetHash changes with every change of the style, which is no change of the page.
var assetHash = regexp.MustCompile(`/static/[0-9a-f]{12}/`)

func TestGolden(t *testing.T) {
	w := newWorld(t, story(t)...)
	tests := []struct {
		name, path, lang string
		who              tracedb.Identity
		from, to         string // the part of the page that is looked at; empty: all between the head and the foot
	}{
		{"home-public-nl", "/", text.Dutch, tracedb.Identity{}, "", ""},
		{"home-auditor-en", "/", text.English, auditor, "", ""},
		{"service-answer-nl", "/service/" + whytest.Repository, text.Dutch, auditor, `data-part="answer"`, "</section>"},
		{"service-denied-nl", "/service/" + whytest.Repository, text.Dutch, auditor, `id="F7b"`, `id="F8"`},
		{"step-nl", "/service/" + whytest.Repository + "?step=F3b", text.Dutch, auditor, "", ""},
		{"why-refused-en", "/why?q=" + whytest.Refused, text.English, auditor, `data-part="answer"`, "</section>"},
		{"register-nl", "/register", text.Dutch, tracedb.Identity{}, "", ""},
		{"entry-public-nl", "/register/" + whytest.Algorithm, text.Dutch, tracedb.Identity{}, "", ""},
		{"refusals-en", "/refusals", text.English, auditor, "", ""},
		{"search-nl", "/search?kind=review", text.Dutch, auditor, "", ""},
		{"verify-en", "/verify?seq=7", text.English, auditor, "", ""},
		{"record-nl", "/record/9", text.Dutch, auditor, "", ""},
		{"error-en", "/service/nobody/nothing", text.English, auditor, "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			page := assetHash.ReplaceAllString(w.get(tt.who, tt.path, "Accept-Language", tt.lang).Body.String(), "/static/hash/")
			_, got, ok := strings.Cut(page, stdcmp.Or(tt.from, "<main"))
			got, _, end := strings.Cut(got, stdcmp.Or(tt.to, "</main>"))
			if !ok || !end {
				t.Fatalf("the page has no part from %q to %q", tt.from, tt.to)
			}
			file := filepath.Join("testdata", tt.name+".golden.html")
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
				t.Errorf("the page changed; look at it, then -update:\n%s", diff)
			}
		})
	}
}

func TestOutside(t *testing.T) {
	for s, want := range map[string]string{
		"https://waterschap.example/a?b=c": "https://waterschap.example/a?b=c",
		"http://waterschap.example":        "http://waterschap.example",
		"javascript:alert(1)":              "", "JavaScript://x/%0aalert(1)": "", "data:text/html,x": "", "//evil.example/": "", "/login": "",
		"https:evil.example": "", "https://user:word@evil.example/": "", "mailto:a@b.example": "", "just words": "", "": "", "https://x\x00.example": "",
	} {
		if got := outside(s); got != want {
			t.Errorf("outside(%q) = %q, want %q", s, got, want)
		}
	}
}

func TestShort(t *testing.T) {
	hash := strings.Repeat("0a", 32)
	for s, want := range map[string]string{
		"sha256:" + hash: "sha256:0a0a0a0a0a0a…", hash[:40]: "0a0a0a0a0a0a…", "SHA256:" + hash: "SHA256:0a0a0a0a0a0a…",
		"druppie/drone-service": "druppie/drone-service", "foundry/run:" + hash[:20]: "foundry/run:" + hash[:20], "": "",
		strings.Repeat("z", 64): strings.Repeat("z", 64),
	} {
		if got := short(s); got != want {
			t.Errorf("short(%q) = %q, want %q", s, got, want)
		}
	}
}

// TestRoles asks for every page as nobody, as somebody without a role, and as an auditor.
func TestRoles(t *testing.T) {
	w := newWorld(t, story(t)...)
	nobody, user := tracedb.Identity{}, tracedb.Identity{Name: "gitea:user"}
	writer := tracedb.Identity{Name: "system:serviceaccount:foundry:step-record", Roles: []tracedb.Role{tracedb.RoleWriter, tracedb.RoleAdmission}}
	for _, path := range w.paths() {
		public := path == "/" || strings.HasPrefix(path, "/register") || path == "/nothing"
		for _, tt := range []struct {
			who  tracedb.Identity
			want int
		}{{nobody, http.StatusUnauthorized}, {user, http.StatusForbidden}, {writer, http.StatusForbidden}} {
			got := w.get(tt.who, path)
			if !public && got.Code != tt.want {
				t.Errorf("%s as %q: %d, want %d", path, tt.who.Name, got.Code, tt.want)
			}
			for _, secret := range []string{whytest.Commit, whytest.Image, "reviewer", "kyverno", whytest.Pod} {
				if strings.Contains(got.Body.String(), secret) && !strings.Contains(path, secret) {
					t.Errorf("%s tells %q about %s", path, tt.who.Name, secret)
				}
			}
		}
		if len(w.reads.seen) != 0 {
			t.Fatalf("%s: a read was recorded of who may not read: %v", path, w.reads.seen)
		}
	}
	// Control: the auditor sees what the others don't.
	if got := w.get(auditor, "/service/"+whytest.Repository).Body.String(); !strings.Contains(got, whytest.Commit) || !strings.Contains(got, "kyverno") {
		t.Error("the auditor doesn't see the story")
	}
}

// TestReads looks that what an auditor sees was recorded first, and isn't shown when it can't be.
func TestReads(t *testing.T) {
	w := newWorld(t, story(t)...)
	public := map[string]bool{"/register": true, "/why": true, "/nothing": true}
	for _, path := range w.paths() {
		before := len(w.reads.seen)
		got := w.get(auditor, path)
		if recorded := len(w.reads.seen) - before; recorded != 1 && !public[path] {
			t.Errorf("%s: %d reads recorded", path, recorded)
		}
		if got.Code != http.StatusOK && path != "/nothing" {
			t.Errorf("%s: %d: %s", path, got.Code, got.Body)
		}
	}
	w.reads.fails = tracedb.ErrUnavailable
	for _, path := range w.paths() {
		got := w.get(auditor, path)
		if !public[path] && got.Code != http.StatusServiceUnavailable {
			t.Errorf("%s: %d while reads can't be recorded", path, got.Code)
		}
	}
}

func TestHeaders(t *testing.T) {
	w := newWorld(t, story(t)...)
	css, err := w.site.assets.path("app.css")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range append(w.paths(), css, "/static/nothing", "/service/a/b/c") {
		for _, who := range []tracedb.Identity{{}, auditor} {
			h := w.get(who, path).Header()
			csp := h.Get("Content-Security-Policy")
			for _, part := range []string{"default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "require-trusted-types-for 'script'"} {
				if !strings.Contains(csp, part) {
					t.Errorf("%s: the policy lacks %s", path, part)
				}
			}
			if strings.Contains(csp, "unsafe") || strings.Contains(csp, "http") || strings.Contains(csp, "*") {
				t.Errorf("%s: the policy is open: %s", path, csp)
			}
			if h.Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("%s: sniffing isn't off", path)
			}
			if path != css && h.Get("Cache-Control") != "no-store" {
				t.Errorf("%s: may be kept: %s", path, h.Get("Cache-Control"))
			}
		}
	}
}

// TestNothingFromElsewhere looks for what the policy would refuse: scripts and styles in the page, and
// addresses of others.
func TestNothingFromElsewhere(t *testing.T) {
	w := newWorld(t, story(t)...)
	for _, path := range w.paths() {
		body := w.get(auditor, path).Body.String()
		for _, no := range []string{"<style", " style=", "javascript:", " onclick=", " onload=", "<script>", "src=\"http", "@import"} {
			if strings.Contains(body, no) {
				t.Errorf("%s has %s", path, no)
			}
		}
	}
}

func TestErrors(t *testing.T) {
	w := newWorld(t, story(t)...)
	tests := []struct {
		name, method, path string
		want               int
		says               []string
	}{
		{"no such page", "GET", "/nothing", 404, []string{"Nothing is known about this", "See whether the address", "not_found"}},
		{"not with this method", "POST", "/search", 405, []string{"method_not_allowed"}},
		{"no such record", "GET", "/record/99999", 404, []string{"not_found"}},
		{"not a number", "GET", "/record/x", 400, []string{"The address holds something"}},
		{"below zero", "GET", "/record/-1", 400, []string{"The address holds something"}},
		{"too large a number", "GET", "/record/99999999999999999999", 400, []string{"The address holds something"}},
		{"unknown service", "GET", "/service/nobody/nothing", 404, []string{"not_found"}},
		{"not a service", "GET", "/service/a%20b/c", 404, []string{"not_found"}},
		{"path traversal", "GET", "/service/..%2f..%2fetc/passwd", 404, nil},
		{"unknown subject", "GET", "/why?q=" + strings.Repeat("ab", 20), 404, []string{"The log knows nothing about this", "What you can name"}},
		{"not a subject", "GET", "/why?q=%00", 400, []string{"isn&#39;t the name of anything", "What you can name"}},
		{"a part of a hash", "GET", "/why?q=abcdef1", 400, []string{"the whole is needed"}},
		{"no such entry", "GET", "/register/alg-nothere1", 404, []string{"not_found"}},
		{"no such list", "GET", "/refusals?what=x", 400, []string{"The address holds something"}},
		{"no such page of results", "GET", "/search?before=x", 400, []string{"The address holds something"}},
		{"not a day", "GET", "/search?from=yesterday", 400, []string{"Write the day as", "yesterday"}},
		{"not a subject to search for", "GET", "/search?about=%3F", 400, []string{"no subject that the log knows"}},
		{"no such kind", "GET", "/search?kind=nothing", 400, []string{"Choose something from the list."}},
		{"nobody's name", "GET", "/search?actor=%00", 400, []string{"stands on one line"}},
		{"no such record to verify", "GET", "/verify?seq=99999", 404, []string{"no record of this number", "Number of the record"}},
		{"no number to verify", "GET", "/verify?seq=x", 400, []string{"whole number from 0"}},
		{"not a checkpoint", "GET", "/verify?old=nothing", 200, []string{"This doesn&#39;t hold", "isn&#39;t signed"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := w.ask(auditor, tt.method, tt.path, "Accept-Language", "en")
			if got.Code != tt.want {
				t.Errorf("%d, want %d", got.Code, tt.want)
			}
			for _, s := range tt.says {
				if !strings.Contains(got.Body.String(), s) {
					t.Errorf("doesn't say %q", s)
				}
			}
			if !strings.Contains(got.Body.String(), "</html>") {
				t.Error("isn't a page")
			}
		})
	}
}

func TestPrefsAreKept(t *testing.T) {
	w := newWorld(t)
	got := w.get(tracedb.Identity{}, "/register?lang=en&theme=dark")
	cookies := map[string]string{}
	for _, c := range got.Result().Cookies() {
		cookies[c.Name] = c.Value
		if !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" {
			t.Errorf("cookie %s is open: %v", c.Name, c)
		}
	}
	if diff := cmp.Diff(map[string]string{"lang": "en", "theme": "dark"}, cookies); diff != "" {
		t.Error(diff)
	}
	for _, s := range []string{`<html lang="en" data-theme="dark">`, "Algorithm register", `href="/register?lang=nl"`} {
		if !strings.Contains(got.Body.String(), s) {
			t.Errorf("the page lacks %s", s)
		}
	}
	next := w.get(tracedb.Identity{}, "/", "Cookie", "lang=en; theme=dark")
	if !strings.Contains(next.Body.String(), `<html lang="en" data-theme="dark">`) {
		t.Error("the next page forgot the choices")
	}
	if n := len(next.Result().Cookies()); n != 0 {
		t.Errorf("%d cookies are set without a choice", n)
	}
}
