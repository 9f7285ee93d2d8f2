package auth

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/auth/authtest"
)

func TestMemory(t *testing.T) {
	now := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	m := newReplayCache(func() time.Time { return now })
	add := func(name string, fresh bool, code string) {
		t.Helper()
		got, err := m.add(name, now.Add(time.Hour))
		said := ""
		if err != nil {
			said = tracedb.AsError(err).Code
		}
		if got != fresh || said != code {
			t.Errorf("add %s: %t %q, want %t %q", name, got, said, fresh, code)
		}
	}
	add("0", true, "")
	add("0", false, "")
	fill(t, m, now.Add(time.Hour))
	add("one too many", false, "unavailable")
	add("0", false, "") // and who is known still is
	if !m.has("0") || m.has("one too many") {
		t.Error("what is remembered changed when there was no room")
	}
	now = now.Add(time.Hour)
	add("one too many", true, "")
	if m.has("0") || len(m.until) != 1 {
		t.Errorf("%d names are remembered longer than they count", len(m.until)-1)
	}
}

// fill leaves no room.
func fill(t *testing.T, m *replayCache, until time.Time) {
	t.Helper()
	for i := range maxRemembered {
		if _, err := m.add(fmt.Sprint(i), until); err != nil {
			t.Fatal(err)
		}
	}
}

// visitor is a browser at the login of a service, whose inside the test sees.
type visitor struct {
	t        *testing.T
	gitea    *authtest.Gitea
	login    *Login
	sessions *Sessions
}

func newVisitor(t *testing.T) *visitor {
	t.Helper()
	const callback = "https://trace.test/login/callback"
	g := authtest.NewGitea(t, callback)
	secret := func(text string) *File {
		name := filepath.Join(t.TempDir(), "secret")
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := NewFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	sessions, err := NewSessions(secret(strings.Repeat("k", 43)), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	login, err := NewLogin(LoginOptions{
		PublicURL: g.URL, URL: g.URL, RedirectURL: callback, HTTP: g.Client, Sessions: sessions,
		ClientID: secret(g.ClientID), ClientSecret: secret(g.ClientSecret),
	})
	if err != nil {
		t.Fatal(err)
	}
	return &visitor{t, g, login, sessions}
}

// logIn goes to Gitea and comes back; ctx is the callback's.
func (v *visitor) logIn(ctx context.Context) *httptest.ResponseRecorder {
	v.t.Helper()
	begun := httptest.NewRecorder()
	v.login.Start(begun, httptest.NewRequest(http.MethodGet, "https://trace.test/login", nil))
	client := *v.gitea.Client
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := client.Get(begun.Header().Get("Location"))
	if err != nil {
		v.t.Fatal(err)
	}
	resp.Body.Close()
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, resp.Header.Get("Location"), nil)
	for _, c := range begun.Result().Cookies() {
		r.AddCookie(c)
	}
	w := httptest.NewRecorder()
	v.login.Callback(w, r)
	return w
}

// TestStrangersFillNoMemory begins logins that nobody ends: only who logged in is remembered, and who
// finds no room is told to wait.
func TestStrangersFillNoMemory(t *testing.T) {
	v := newVisitor(t)
	v.gitea.User = ""
	if w := v.logIn(t.Context()); w.Code != http.StatusUnauthorized || len(v.login.used.until) != 0 {
		t.Errorf("a declined login: %d, and %d are remembered", w.Code, len(v.login.used.until))
	}
	v.gitea.User = "auditor"
	if w := v.logIn(t.Context()); w.Code != http.StatusSeeOther || len(v.login.used.until) != 1 {
		t.Errorf("a login: %d, and %d are remembered", w.Code, len(v.login.used.until))
	}
	v.login.used = newReplayCache(time.Now)
	fill(t, v.login.used, time.Now().Add(time.Hour))
	if w := v.logIn(t.Context()); w.Code != http.StatusServiceUnavailable {
		t.Errorf("a login that can't be remembered: %d %s", w.Code, w.Body)
	}
}

// TestExchangesAreBounded keeps made-up codes from asking Gitea without end.
func TestExchangesAreBounded(t *testing.T) {
	v := newVisitor(t)
	for range maxExchanges {
		v.login.limiter <- struct{}{}
	}
	gone, leave := context.WithCancel(t.Context())
	leave()
	if w := v.logIn(gone); w.Code != http.StatusTooManyRequests {
		t.Errorf("one exchange more: %d %s", w.Code, w.Body)
	}
	<-v.login.limiter
	for range 2 { // a place that was taken is given back
		if w := v.logIn(t.Context()); w.Code != http.StatusSeeOther {
			t.Errorf("with a place: %d %s", w.Code, w.Body)
		}
	}
}

// A logout that can't be remembered ends the session in its browser, and says that a copy isn't ended.
func TestLogoutWithoutRoom(t *testing.T) {
	v := newVisitor(t)
	fill(t, v.sessions.ended, time.Now().Add(time.Hour))
	r := httptest.NewRequest(http.MethodPost, "https://trace.test/logout", nil)
	for _, c := range v.logIn(t.Context()).Result().Cookies() {
		r.AddCookie(c)
	}
	w := httptest.NewRecorder()
	v.login.Logout(w, r)
	if w.Code != http.StatusServiceUnavailable || len(w.Result().Cookies()) != 1 || w.Result().Cookies()[0].MaxAge >= 0 {
		t.Errorf("%d %v", w.Code, w.Header())
	}
}
