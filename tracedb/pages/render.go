package pages

import (
	"bytes"
	"cmp"
	"embed"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"net/url"
	"strings"

	"github.com/druppie/druppie-up/internal/text"
	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/why"
)

//go:embed templates
var templateFiles embed.FS

// view is what every page is made of.
type view struct {
	prefs
	Title    string // empty: the text <page>.title
	Name     string // of the platform
	Path     string // of the page, without the reader's choices
	Kept     []param
	Who      tracedb.Identity
	SignedIn bool
	Auditor  bool
	LoginURL string
	Langs    []choice
	Nav      []choice
	Crumbs   []choice // behind the start page
	Subjects string   // refs that the page is about, for live updates
	Live     bool     // new records change this page
	Data     any
}

// choice is a link among others.
type choice struct {
	Key, Href string
	Text      string // instead of the text under Key
	Current   bool
}

// shared are the templates that are part of every page.
var shared = []string{"templates/layout.html", "templates/flow.html", "templates/record-parts.html"}

// parse makes the templates of every page in both languages.
func parse(table map[string]text.Text, assets *assets) (map[string]*template.Template, error) {
	out := map[string]*template.Template{}
	names, err := fs.Glob(templateFiles, "templates/page-*.html")
	if err != nil {
		return nil, err
	}
	for _, lang := range languages() {
		base, err := template.New("layout.html").Option("missingkey=error").Funcs(funcs(words{lang, table}, assets)).ParseFS(templateFiles, shared...)
		if err != nil {
			return nil, fmt.Errorf("parse templates: %w", err)
		}
		for _, name := range names {
			page, err := template.Must(base.Clone()).ParseFS(templateFiles, name)
			if err != nil {
				return nil, fmt.Errorf("parse templates: %w", err)
			}
			page.Funcs(funcs(words{lang, table}, assets))
			short := strings.TrimSuffix(strings.TrimPrefix(name, "templates/page-"), ".html")
			out[lang+"/"+short] = page
		}
	}
	return out, nil
}

// funcs are what templates may call.
func funcs(w words, assets *assets) template.FuncMap {
	return template.FuncMap{
		"t":     w.T,
		"count": w.Count,
		"has":   w.has,
		"lang":  func() string { return w.lang },
		"num":   func(n any) string { return w.Number(toInt(n)) },
		"when":  w.time,
		"day":   w.Day,
		"pick":  w.pick,
		"title": func(l why.Link) string { return w.pick(l.TitleNL, l.Title) },
		"say":   func(p *problem) (string, error) { return w.T(p.key, p.args...) },
		// foreign is the language of what a record says, where it is known and not the page's.
		"foreign": func(d why.Detail) string {
			if d.Lang == w.lang || w.lang == text.Dutch && d.ValueNL != "" {
				return ""
			}
			return d.Lang
		},
		"asset": assets.path,
		"short": short,
		"bad":   tracedb.Outcome.Bad,
		"subject": func(r tracedb.Ref) string {
			return "/why?q=" + url.QueryEscape(r.String())
		},
		"kindKey": func(k tracedb.Kind) string { return "kind." + string(k) },
		"outcome": func(o string) string {
			en, nl := why.OutcomeName(tracedb.Outcome(o))
			return cmp.Or(w.pick(nl, en), o)
		},
		"account": why.Account,
		"add": func(n ...int) (sum int) {
			for _, v := range n {
				sum += v
			}
			return sum
		},
		"list": func(s ...string) []string { return s },
	}
}

func toInt(n any) int64 {
	switch n := n.(type) {
	case int:
		return int64(n)
	case int64:
		return n
	}
	return 0
}

// short is enough of a hash or digest to tell it from others; what is neither stays whole.
func short(s string) string {
	prefix, hash, ok := strings.Cut(s, ":")
	if !ok {
		prefix, hash = "", s
	}
	if len(hash) < 40 || strings.Trim(hash, "0123456789abcdef") != "" {
		return s
	}
	if prefix != "" {
		prefix += ":"
	}
	return prefix + hash[:12] + "…"
}

// outside is s if it is a web address that a page may link to, and empty otherwise: an address comes
// from a file that somebody wrote.
func outside(s string) string {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil {
		return ""
	}
	return u.String()
}

// show writes a page. It is made whole before anything is sent, so that a fault of ours is an error
// and never half a page.
func (s *Site) show(w http.ResponseWriter, r *http.Request, status int, name string, v view) (err error) {
	p := readPrefs(r)
	if v.Title == "" {
		if v.Title, err = s.words(r).T(name + ".title"); err != nil {
			return err
		}
	}
	if len(v.Crumbs) > 0 {
		v.Crumbs = append([]choice{{Key: "nav.start", Href: "/"}}, v.Crumbs...)
	}
	v.prefs, v.Name = p, s.o.Name
	v.Who = s.who(r)
	v.SignedIn, v.Auditor = v.Who.Name != "", v.Who.Has(tracedb.RoleAuditor)
	v.Nav = nav(r.URL.Path, v.Auditor)
	r = again(r)
	v.Path, v.Kept = address(r.URL.Path, nil), kept(r)
	v.LoginURL = "/login?next=" + url.QueryEscape(here(r))
	for _, l := range languages() {
		v.Langs = append(v.Langs, choice{Key: l, Href: here(r, langParam, l), Current: l == p.Lang})
	}
	var b bytes.Buffer
	if err := s.templates[p.Lang+"/"+name].ExecuteTemplate(&b, "layout", v); err != nil {
		s.report(w, r, fmt.Errorf("make page %s: %w", name, err))
		http.Error(w, tracedb.ErrInternal.Message, http.StatusInternalServerError)
		return nil
	}
	page := invisible.Replace(b.String())
	remember(w, r, p)
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Language", p.Lang)
	h.Set("Vary", "Accept-Language, Cookie")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	// A reader who left needs no page.
	_, _ = w.Write([]byte(page))
	return nil
}

// invisible writes out the characters that turn the direction of a text or can't be seen: with them
// a record could read otherwise than it says (CVE-2021-42574). Our own texts have none.
var invisible = strings.NewReplacer(func() []string {
	var pairs []string
	for _, c := range "\u061c\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\ufeff" {
		pairs = append(pairs, string(c), fmt.Sprintf("[U+%04X]", c))
	}
	return pairs
}()...)

// nav is the main menu.
func nav(path string, auditor bool) []choice {
	items := []choice{{Key: "nav.start", Href: "/"}, {Key: "nav.register", Href: "/register"}}
	if auditor {
		items = append(items, choice{Key: "nav.why", Href: "/why"}, choice{Key: "nav.search", Href: "/search"},
			choice{Key: "nav.refusals", Href: "/refusals"}, choice{Key: "nav.verify", Href: "/verify"})
	}
	for i, c := range items {
		items[i].Current = path == c.Href || c.Href != "/" && strings.HasPrefix(path, c.Href+"/")
	}
	return items
}

// failure is an error, and the text that helps readers on.
type failure struct {
	*tracedb.Error
	Help string
}

// fail writes an error as a page: in the reader's own language, where there is a text that helps, and
// otherwise in the words that programs get.
func (s *Site) fail(w http.ResponseWriter, r *http.Request, err error) {
	e := tracedb.AsError(err)
	s.report(w, r, err)
	title, terr := s.words(r).T("error." + e.Code)
	if terr != nil {
		title = e.Message
	}
	help := "help." + e.Code
	switch {
	case r.URL.Path == "/logout":
		help = "help.logout"
	case ofLogin(r.URL.Path) && e.Code == tracedb.ErrUnauthenticated.Code:
		help = "help.login"
	}
	_ = s.show(w, r, e.Status, "error", view{Title: title, Data: failure{e, help}})
}
