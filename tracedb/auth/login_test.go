package auth_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/auth"
	"github.com/druppie/druppie-up/tracedb/auth/authtest"
)

const (
	site     = "https://trace.druppie.localhost:8443"
	callback = site + "/login/callback"
)

// browser keeps cookies and goes where it is sent, one step at a time.
type browser struct {
	t       *testing.T
	inner   http.Handler // without authentication
	service http.Handler
	gitea   *authtest.Gitea
	cookies map[string]*http.Cookie
}

func newBrowser(t *testing.T, now *clock) *browser {
	t.Helper()
	g := authtest.NewGitea(t, callback)
	g.Now = now.Now
	sessions, err := auth.NewSessions(secret(t, strings.Repeat("k", 43)), []string{"Auditor"}, now.Now)
	if err != nil {
		t.Fatal(err)
	}
	login, err := auth.NewLogin(auth.LoginOptions{
		PublicURL: g.URL + "/", URL: g.URL, RedirectURL: callback,
		ClientID: secret(t, g.ClientID), ClientSecret: secret(t, g.ClientSecret), HTTP: g.Client, Sessions: sessions,
	})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /login", login.Start)
	mux.HandleFunc("GET /login/callback", login.Callback)
	mux.HandleFunc("POST /logout", login.Logout)
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		id := auth.From(r.Context())
		w.Header().Set("X-Who", id.Name)
		if id.Has(tracedb.RoleAuditor) {
			w.Header().Set("X-Role", "auditor")
		}
	})
	a := auth.New(auth.Options{Sessions: sessions})
	return &browser{t: t, inner: mux, service: a.Middleware(mux), gitea: g, cookies: map[string]*http.Cookie{}}
}

// do asks the service with the cookies that it has, and keeps those that it gets.
func (b *browser) do(method, address string, header ...string) *httptest.ResponseRecorder {
	b.t.Helper()
	r := httptest.NewRequest(method, address, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	for _, c := range b.cookies {
		r.AddCookie(&http.Cookie{Name: c.Name, Value: c.Value})
	}
	w := httptest.NewRecorder()
	b.service.ServeHTTP(w, r)
	for _, c := range w.Result().Cookies() {
		if !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" || !strings.HasPrefix(c.Name, "__Host-") {
			b.t.Errorf("the cookie %s isn't kept to this host and to TLS: %+v", c.Name, c)
		}
		b.cookies[c.Name] = c
		if c.MaxAge < 0 {
			delete(b.cookies, c.Name)
		}
	}
	return w
}

// atGitea goes to Gitea, and gives the address that it sends the browser back to.
func (b *browser) atGitea(address string) string {
	b.t.Helper()
	client := *b.gitea.Client
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := client.Get(address)
	if err != nil {
		b.t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusFound {
		b.t.Fatalf("Gitea answered %s to %s", resp.Status, address)
	}
	return resp.Header.Get("Location")
}

// begin starts a login and comes back from Gitea with the answer's address.
func (b *browser) begin(next string) string {
	b.t.Helper()
	w := b.do("GET", site+"/login?next="+url.QueryEscape(next))
	if w.Code != http.StatusSeeOther {
		b.t.Fatalf("login: %d %s", w.Code, w.Body)
	}
	return b.atGitea(w.Header().Get("Location"))
}

func (b *browser) who() [2]string {
	b.t.Helper()
	w := b.do("GET", site+"/")
	return [2]string{w.Header().Get("X-Who"), w.Header().Get("X-Role")}
}

func TestLogin(t *testing.T) {
	now := newClock()
	b := newBrowser(t, now)
	w := b.do("GET", b.begin("/service/druppie/drones?lang=nl"))
	if w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/service/druppie/drones?lang=nl" {
		t.Fatalf("callback: %d to %q: %s", w.Code, w.Header().Get("Location"), w.Body)
	}
	if got := b.who(); got != [2]string{"gitea:auditor", "auditor"} {
		t.Errorf("logged in as %v", got)
	}
	if len(b.cookies) != 1 {
		t.Errorf("after the login the browser keeps %d cookies", len(b.cookies))
	}
	now.Add(auth.SessionLife - time.Second)
	if got := b.who(); got[0] != "gitea:auditor" {
		t.Errorf("just before the session ends: %v", got)
	}
	now.Add(2 * time.Second)
	if got := b.who(); got != [2]string{} {
		t.Errorf("after the session: %v", got)
	}
	if len(b.cookies) != 0 {
		t.Error("the cookie of a session that is over stays in the browser")
	}
}

func TestLoginOfOthers(t *testing.T) {
	b := newBrowser(t, newClock())
	b.gitea.User = "visitor"
	b.do("GET", b.begin("/"))
	if got := b.who(); got != [2]string{"gitea:visitor", ""} {
		t.Errorf("a user who is no auditor is %v", got)
	}
}

// TestLoginRefused breaks a login in each way that one can be broken.
func TestLoginRefused(t *testing.T) {
	with := func(address, name, value string) string {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		q := u.Query()
		q.Set(name, value)
		u.RawQuery = q.Encode()
		return u.String()
	}
	claim := func(name string, value any) func(*browser, *clock) {
		return func(b *browser, _ *clock) { b.gitea.Claims = func(c map[string]any) { c[name] = value } }
	}
	tests := []struct {
		name   string
		before func(*browser, *clock)                        // the login begins
		after  func(*browser, *clock, string) (again string) // Gitea's answer is on its way
		want   tracedb.Error                                 // code and field
	}{
		{"wrong state", nil, func(b *browser, _ *clock, back string) string { return with(back, "state", "x") }, tracedb.Error{Code: "unauthenticated", Field: "state"}},
		{"no state", nil, func(b *browser, _ *clock, back string) string { return with(back, "state", "") }, tracedb.Error{Code: "unauthenticated", Field: "state"}},
		{"another browser", nil, func(b *browser, _ *clock, back string) string { clear(b.cookies); return back }, tracedb.Error{Code: "unauthenticated"}},
		{"another login's answer", nil, func(b *browser, _ *clock, back string) string { b.begin("/"); return back }, tracedb.Error{Code: "unauthenticated", Field: "state"}},
		{"too late", nil, func(b *browser, now *clock, back string) string { now.Add(11 * time.Minute); return back }, tracedb.Error{Code: "unauthenticated"}},
		{"wrong code", nil, func(b *browser, _ *clock, back string) string { return with(back, "code", "x") }, tracedb.Error{Code: "unauthenticated", Field: "code"}},
		{"replayed answer", nil, func(b *browser, _ *clock, back string) string {
			kept := *b.cookies["__Host-tracedb-login"]
			if w := b.do("GET", back); w.Code != http.StatusSeeOther {
				t.Fatalf("the first time: %d", w.Code)
			}
			b.do("POST", site+"/logout", "Sec-Fetch-Site", "same-origin")
			b.cookies[kept.Name] = &kept
			return back
		}, tracedb.Error{Code: "unauthenticated", Field: "state"}},
		{"replayed code in a new login", nil, func(b *browser, _ *clock, back string) string {
			b.do("GET", back)
			b.do("POST", site+"/logout", "Sec-Fetch-Site", "same-origin")
			old, err := url.Parse(back)
			if err != nil {
				t.Fatal(err)
			}
			return with(b.begin("/"), "code", old.Query().Get("code"))
		}, tracedb.Error{Code: "unauthenticated", Field: "code"}},
		{"tampered cookie", nil, func(b *browser, _ *clock, back string) string {
			c := b.cookies["__Host-tracedb-login"]
			c.Value = flip(c.Value)
			return back
		}, tracedb.Error{Code: "unauthenticated"}},
		{"declined", func(b *browser, _ *clock) { b.gitea.User = "" }, nil, tracedb.Error{Code: "unauthenticated"}},
		{"wrong secret", func(b *browser, _ *clock) { b.gitea.ClientSecret = "changed" }, nil, tracedb.Error{Code: "unauthenticated", Field: "code"}},
		{"id token of another login", claim("nonce", "x"), nil, tracedb.Error{Code: "unauthenticated"}},
		{"id token for another client", claim("aud", "x"), nil, tracedb.Error{Code: "unauthenticated"}},
		{"id token of another issuer", claim("iss", "https://evil.example"), nil, tracedb.Error{Code: "unauthenticated"}},
		{"id token that is over", claim("exp", 1), nil, tracedb.Error{Code: "unauthenticated"}},
		{"id token for nobody", claim("preferred_username", ""), nil, tracedb.Error{Code: "unauthenticated"}},
		{"id token of another key", func(b *browser, _ *clock) { b.gitea.NewKey(b.t) }, nil, tracedb.Error{Code: "unauthenticated"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			now := newClock()
			b := newBrowser(t, now)
			b.t = t
			if tt.before != nil {
				tt.before(b, now)
			}
			back := b.begin("/")
			if tt.after != nil {
				back = tt.after(b, now, back)
			}
			w := b.do("GET", back)
			if w.Code != http.StatusUnauthorized {
				t.Fatalf("status %d: %s", w.Code, w.Body)
			}
			got := errorOf(t, w)
			if diff := cmp.Diff(tt.want, tracedb.Error{Code: got.Code, Field: got.Field}); diff != "" {
				t.Errorf("error (-want +got):\n%s\n%s", diff, w.Body)
			}
			if got := b.who(); got != [2]string{} {
				t.Errorf("and yet logged in as %v", got)
			}
		})
	}
}

// flip changes one letter in the middle.
func flip(s string) string {
	b := []byte(s)
	if i := len(b) / 2; b[i] == 'A' {
		b[i] = 'B'
	} else {
		b[i] = 'A'
	}
	return string(b)
}

func TestSessionCookieRefused(t *testing.T) {
	tests := []struct {
		name   string
		change func(b *browser, c *http.Cookie)
	}{
		{"tampered", func(_ *browser, c *http.Cookie) { c.Value = flip(c.Value) }},
		{"cut", func(_ *browser, c *http.Cookie) { c.Value = c.Value[:8] }},
		{"no base64", func(_ *browser, c *http.Cookie) { c.Value = "%%%" }},
		{"empty", func(_ *browser, c *http.Cookie) { c.Value = "" }},
		{"a login's cookie in its place", func(b *browser, c *http.Cookie) {
			b.begin("/")
			c.Value = b.cookies["__Host-tracedb-login"].Value
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBrowser(t, newClock())
			b.do("GET", b.begin("/"))
			if b.who()[0] == "" {
				t.Fatal("nobody is logged in")
			}
			tt.change(b, b.cookies["__Host-tracedb"])
			if got := b.who(); got != [2]string{} {
				t.Errorf("the cookie counts, as %v", got)
			}
		})
	}
}

// A session that another key sealed says nothing: this is how all sessions are ended.
func TestNewSessionKeyEndsSessions(t *testing.T) {
	now := newClock()
	a, b := newBrowser(t, now), newBrowser(t, now)
	a.do("GET", a.begin("/"))
	b.cookies = a.cookies
	// Both browsers' services have the same key: the control.
	if b.who()[0] == "" {
		t.Fatal("a service with the same key doesn't know the session")
	}
	sessions, err := auth.NewSessions(secret(t, strings.Repeat("K", 43)), nil, now.Now)
	if err != nil {
		t.Fatal(err)
	}
	b.service = auth.New(auth.Options{Sessions: sessions}).Middleware(b.inner)
	if got := b.who(); got[0] != "" {
		t.Errorf("with a new key the old session counts, as %v", got)
	}
	if _, err := auth.NewSessions(secret(t, "short"), nil, nil); err == nil {
		t.Error("a short key was taken")
	}
}

func TestOpenRedirectRefused(t *testing.T) {
	b := newBrowser(t, newClock())
	for _, next := range []string{
		"https://evil.example/", "//evil.example/", `/\evil.example`, `\\evil.example`, "/\t/evil.example", "javascript:alert(1)",
		"evil", "///evil.example", "/%2f/evil.example\n", "http:/evil", "/" + strings.Repeat("a", 3000),
	} {
		w := b.do("GET", site+"/login?next="+url.QueryEscape(next))
		if w.Code != http.StatusBadRequest || errorOf(t, w).Field != "next" {
			t.Errorf("next=%q: %d %s", next, w.Code, w.Header().Get("Location"))
		}
	}
	for _, next := range []string{"", "/", "/register", "/why?subject=a%2Fb#F3a"} {
		if w := b.do("GET", site+"/login?next="+url.QueryEscape(next)); w.Code != http.StatusSeeOther {
			t.Errorf("next=%q: %d", next, w.Code)
		}
	}
}

func TestLogout(t *testing.T) {
	b := newBrowser(t, newClock())
	b.do("GET", b.begin("/"))
	for _, from := range []string{"cross-site", "same-site"} {
		if w := b.do("POST", site+"/logout", "Sec-Fetch-Site", from); w.Code != http.StatusForbidden {
			t.Errorf("from %s: %d", from, w.Code)
		}
	}
	if w := b.do("POST", site+"/logout", "Origin", "https://evil.example"); w.Code != http.StatusForbidden {
		t.Errorf("from another origin: %d", w.Code)
	}
	if b.who()[0] == "" {
		t.Fatal("another site ended the session")
	}
	copied := b.cookies["__Host-tracedb"]
	for range 2 { // also when nobody is logged in any more
		if w := b.do("POST", site+"/logout", "Sec-Fetch-Site", "same-origin"); w.Code != http.StatusSeeOther {
			t.Errorf("logout: %d", w.Code)
		}
		if b.who()[0] != "" {
			t.Error("still logged in")
		}
	}
	b.cookies[copied.Name] = copied
	if b.who()[0] != "" {
		t.Error("a copy of the cookie outlives the logout")
	}
	// Another session of the same person goes on.
	b.do("GET", b.begin("/"))
	if b.who()[0] == "" {
		t.Error("after a logout nobody can log in again")
	}
}

func TestLoginOptions(t *testing.T) {
	tests := []struct{ name, public, url, redirect, want string }{
		{"plain http", "http://gitea", "https://gitea", callback, "publicURL"},
		{"no host", "https://gitea", "https://", callback, "url"},
		{"password", "https://a:b@gitea", "https://gitea", callback, "publicURL"},
		{"elsewhere", "https://gitea", "https://gitea", site + "/", "redirectURL"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := auth.NewLogin(auth.LoginOptions{PublicURL: tt.public, URL: tt.url, RedirectURL: tt.redirect})
			if err == nil || !strings.HasPrefix(err.Error(), tt.want+":") {
				t.Errorf("error %v, want one about %s", err, tt.want)
			}
		})
	}
}

// When Gitea is away a login fails as something that passes.
func TestGiteaAway(t *testing.T) {
	b := newBrowser(t, newClock())
	back := b.begin("/")
	b.gitea.Client.Transport = broken{}
	if w := b.do("GET", back); w.Code != http.StatusServiceUnavailable {
		t.Errorf("status %d: %s", w.Code, w.Body)
	}
	if b.who()[0] != "" {
		t.Error("logged in by nobody")
	}
}

type broken struct{}

func (broken) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("no way there")
}
