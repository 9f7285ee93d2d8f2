package pages

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/druppie/druppie-up/internal/text"
)

// The names of the reader's choices, as query parameters and as cookies.
const (
	langParam  = "lang"
	themeParam = "theme"
)

// prefs is what the reader chose, or what the browser says of them.
type prefs struct {
	Lang  string // nl or en
	Theme string // light, dark, or empty: as the machine is set
}

// readPrefs reads the choices of a request. What the address says counts before what a cookie
// remembers, and that before what the browser asks for.
func readPrefs(r *http.Request) prefs {
	p := prefs{Lang: text.Dutch}
	if l, ok := text.Accepted(r.Header.Get("Accept-Language")); ok {
		p.Lang = l
	}
	if c, err := r.Cookie(langParam); err == nil && slices.Contains(languages(), c.Value) {
		p.Lang = c.Value
	}
	if c, err := r.Cookie(themeParam); err == nil && (c.Value == "light" || c.Value == "dark") {
		p.Theme = c.Value
	}
	q := r.URL.Query()
	if l := q.Get(langParam); slices.Contains(languages(), l) {
		p.Lang = l
	}
	switch theme := q.Get(themeParam); theme {
	case "light", "dark":
		p.Theme = theme
	case "auto":
		p.Theme = ""
	}
	return p
}

// remember keeps what this request chose for the next ones.
func remember(w http.ResponseWriter, r *http.Request, p prefs) {
	year := 365 * 24 * 60 * 60
	set := func(name, value string) {
		c := &http.Cookie{Name: name, Value: value, Path: "/", MaxAge: year, HttpOnly: true, Secure: r.TLS != nil, SameSite: http.SameSiteLaxMode}
		if value == "" {
			c.MaxAge = -1
		}
		http.SetCookie(w, c)
	}
	q := r.URL.Query()
	if q.Get(langParam) == p.Lang {
		set(langParam, p.Lang)
	}
	if theme := q.Get(themeParam); theme != "" && (theme == p.Theme || theme == "auto") {
		set(themeParam, p.Theme)
	}
}

// here is the request's address with other parameters; an empty value drops one. The reader's choices
// aren't carried on: a cookie does that.
func here(r *http.Request, pairs ...string) string {
	q := r.URL.Query()
	q.Del(langParam)
	q.Del(themeParam)
	for i := 0; i+1 < len(pairs); i += 2 {
		q.Del(pairs[i])
		if pairs[i+1] != "" {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	return address(r.URL.Path, q)
}

// address is a path of this service with parameters. One that starts with two slashes would be another
// host's.
func address(path string, q url.Values) string {
	u := url.URL{Path: "/" + strings.TrimLeft(path, "/"), RawQuery: q.Encode()}
	return u.String()
}

// again is the request that a page's links repeat. What a login or a logout is answered with is no page
// to come back to, and its address holds a code that works once: the links lead to the start instead.
func again(r *http.Request) *http.Request {
	if !ofLogin(r.URL.Path) {
		return r
	}
	start := r.WithContext(r.Context())
	start.URL = &url.URL{Path: "/"}
	return start
}

// ofLogin says whether a path is a step of logging in or out.
func ofLogin(path string) bool {
	return path == "/login" || path == "/logout" || strings.HasPrefix(path, "/login/")
}

// kept lists the request's parameters except the reader's choices, for a form's hidden fields.
func kept(r *http.Request) []param {
	var out []param
	q := r.URL.Query()
	for _, name := range slices.Sorted(maps.Keys(q)) {
		if name == langParam || name == themeParam {
			continue
		}
		for _, v := range q[name] {
			out = append(out, param{name, v})
		}
	}
	return out
}

type param struct{ Name, Value string }
