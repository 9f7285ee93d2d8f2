package pages

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
	"golang.org/x/net/html"

	"github.com/druppie/druppie-up/internal/text"
	"github.com/druppie/druppie-up/tracedb"
)

// englishWords are words that Dutch hasn't.
var englishWords = regexp.MustCompile(`(?i)\b(the|this|isn't|doesn't|must|which|nobody|give|whole)\b`)

// inEnglish names what the main part of a page says in English without saying that it is.
func inEnglish(t testing.TB, page string) (said, marked []string) {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	var walk func(n *html.Node, main, english bool)
	walk = func(n *html.Node, main, english bool) {
		main = main || n.Data == "main"
		for _, a := range n.Attr {
			if a.Key == "lang" && n.Data != "html" {
				english = a.Val == "en"
			}
		}
		if n.Type == html.TextNode && main && strings.TrimSpace(n.Data) != "" {
			switch {
			case english:
				marked = append(marked, n.Data)
			case englishWords.MatchString(n.Data):
				said = append(said, n.Data)
			}
		}
		for c := range n.ChildNodes() {
			walk(c, main, english)
		}
	}
	walk(doc, false, false)
	return said, marked
}

// TestDutch reads in Dutch what may go wrong: there is no English in it, and an English page has some.
func TestDutch(t *testing.T) {
	w := newWorld(t, story(t)...)
	secret, _ := fixedKeys(t)
	ours, err := note.NewSigner(secret)
	if err != nil {
		t.Fatal(err)
	}
	old := func(size int64) string {
		return url.QueryEscape(string(forged(t, ours.Name(), size, tlog.Hash{1}, ours)))
	}
	for _, tt := range []struct {
		who  tracedb.Identity
		path string
	}{
		{tracedb.Identity{}, "/search"}, {tracedb.Identity{Name: "gitea:user"}, "/search"}, {auditor, "/nothing"}, {auditor, "/service/nobody/nothing"},
		{auditor, "/register/alg-nothere1"}, {auditor, "/record/x"}, {auditor, "/record/99999"}, {auditor, "/refusals?what=x"}, {auditor, "/search?before=x"},
		{auditor, "/why?q=nothing"}, {auditor, "/why?q=abcdef1"}, {auditor, "/why?q=alg-nothere1"}, {auditor, "/search?actor=%00"}, {auditor, "/search?about=%3F&from=x&kind=x"},
		{auditor, "/verify?seq=x"}, {auditor, "/verify?seq=99999"}, {auditor, "/verify?old=x"}, {auditor, "/verify?old=" + old(20)}, {auditor, "/verify?old=" + old(9999)},
	} {
		if said, marked := inEnglish(t, w.get(tt.who, tt.path, "Accept-Language", "nl").Body.String()); len(said)+len(marked) > 0 {
			t.Errorf("%s as %q is told in English: %q %q", tt.path, tt.who.Name, said, marked)
		}
		if said, _ := inEnglish(t, w.get(tt.who, tt.path, "Accept-Language", "en").Body.String()); len(said) == 0 {
			t.Errorf("%s as %q: nothing of the English page is known as English", tt.path, tt.who.Name)
		}
	}
	for name, lie := range map[string]cheat{
		"payload": {payload: func(p json.RawMessage) json.RawMessage { return append(p, ' ') }}, "path": {proof: func(p *tracedb.Proof) { p.Hashes = p.Hashes[:2] }},
		"hash": {proof: func(p *tracedb.Proof) { p.Hashes[1] = "x" }}, "root": {checkpoint: func(c *tracedb.Checkpoint) { c.Root[0]++ }},
		"signature": {checkpoint: func(c *tracedb.Checkpoint) { c.Note = []byte("x") }},
	} {
		lie.Reader = w.log
		w.site.o.Reader = lie
		body := w.get(auditor, "/verify?seq=3", "Accept-Language", "nl").Body.String()
		if said, marked := inEnglish(t, body); !strings.Contains(body, "Het klopt niet") || len(said)+len(marked) > 0 {
			t.Errorf("a log that lies about the %s is told of in English: %q %q", name, said, marked)
		}
	}
}

// TestDoorInDutch reads a refusal whose reason was recorded in both languages, and one of which only the
// English is known.
func TestDoorInDutch(t *testing.T) {
	w := newWorld(t)
	a := tracedb.Admission{Namespace: "drones", Resource: "Pod/x", Images: []string{}, Policy: "register", Reason: "the register has no entry", Remedy: "let the pipeline release it"}
	w.tell("tracedb", tracedb.KindAdmission, "tracedb", tracedb.Denied, a, "namespace", "drones")
	a.ReasonNL, a.RemedyNL = "het register kent het niet", "laat de pijplijn het uitbrengen"
	w.tell("tracedb", tracedb.KindAdmission, "tracedb", tracedb.Denied, a, "namespace", "drones")
	for _, tt := range []struct {
		path, lang string
		says, not  []string
	}{
		{"/record/0", text.Dutch, []string{`<dd lang="en">the register has no entry</dd>`, `<dd lang="en">let the pipeline`}, nil},
		{"/record/0", text.English, []string{`<dd>the register has no entry</dd>`}, []string{`<dd lang`}},
		{"/record/1", text.Dutch, []string{`<dd>het register kent het niet</dd>`, `<dd>laat de pijplijn`, "“het register kent het niet”"}, []string{`<dd lang`, `<dd>the register`}},
		{"/record/1", text.English, []string{`<dd>the register has no entry</dd>`, "“the register has no entry”"}, []string{"<dd>het register kent", "“het register kent"}},
		{"/refusals", text.Dutch, []string{`<dd>laat de pijplijn`, `<dd lang="en">let the pipeline`}, nil},
	} {
		body := w.get(auditor, tt.path, "Accept-Language", tt.lang).Body.String()
		for _, s := range tt.says {
			if !strings.Contains(body, s) {
				t.Errorf("%s in %s doesn't say %s", tt.path, tt.lang, s)
			}
		}
		for _, s := range tt.not {
			if strings.Contains(body, s) {
				t.Errorf("%s in %s says %s", tt.path, tt.lang, s)
			}
		}
	}
}

// TestAfterLogin looks at the page that a login ends with when it fails: no link of it leads back into
// the failure, and none repeats what works once.
func TestAfterLogin(t *testing.T) {
	w := newWorld(t)
	for _, tt := range []struct {
		path string
		err  error
		says string
	}{
		{"/login/callback?error=access_denied&state=s3cret&code=c0de", tracedb.ErrUnauthenticated.Says("the login was declined at Gitea"), "Het inloggen is niet gelukt"},
		{"/login?next=//evil.example&state=s3cret", tracedb.ErrInvalid.At("next"), "In het adres staat iets"},
		{"/login/callback?code=c0de", fmt.Errorf("%w (%w)", tracedb.ErrUnavailable, errors.New("dial")), "waarmee u inlogt"},
		{"/logout", tracedb.ErrForbidden, "U bent niet uitgelogd"},
	} {
		rec := httptest.NewRecorder()
		w.site.Fail(rec, httptest.NewRequest(http.MethodGet, tt.path, nil), tt.err)
		body := rec.Body.String()
		for _, s := range []string{`href="/login?next=%2F"`, `href="/?lang=en"`, `action="/"`, tt.says} {
			if !strings.Contains(body, s) {
				t.Errorf("%s: the page lacks %s", tt.path, s)
			}
		}
		for _, s := range []string{"s3cret", "c0de", "evil", "callback", `aria-current="page">Start`} {
			if strings.Contains(body, s) {
				t.Errorf("%s: the page repeats %s", tt.path, s)
			}
		}
	}
	// Control: the page of another failure leads back to itself.
	if body := w.get(tracedb.Identity{}, "/search?kind=run").Body.String(); !strings.Contains(body, `href="/login?next=%2Fsearch%3Fkind%3Drun"`) {
		t.Error("after the login the page that was asked for isn't shown")
	}
}

// TestFailedSearch has no list of what wasn't found.
func TestFailedSearch(t *testing.T) {
	w := newWorld(t, story(t)...)
	for path, listed := range map[string]bool{"/search": true, "/search?from=2030-01-01": true, "/search?from=x": false, "/search?actor=%00": false} {
		if got := strings.Contains(w.get(auditor, path).Body.String(), "Gevonden"); got != listed {
			t.Errorf("%s: a list is headed: %v", path, got)
		}
	}
}
