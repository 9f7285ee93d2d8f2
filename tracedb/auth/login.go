package auth

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/redact"
	"github.com/druppie/druppie-up/tracedb/wire"
)

const (
	// loginLife is how long somebody may take to log in at Gitea.
	loginLife = 10 * time.Minute
	giteaWait = 10 * time.Second
	// maxExchanges bounds what made-up codes can make us ask of Gitea.
	maxExchanges = 16
)

// LoginOptions say where people log in.
type LoginOptions struct {
	PublicURL    string // of Gitea, as browsers reach it; also the issuer of its id tokens
	URL          string // of Gitea, as this service reaches it
	RedirectURL  string // of this service: https://…/login/callback
	ClientID     *File
	ClientSecret *File
	HTTP         *http.Client // trusts the platform's CA
	Sessions     *Sessions
	// Fail answers an error to a browser; nil: as JSON.
	Fail func(w http.ResponseWriter, r *http.Request, err error)
}

// Login lets people in with their Gitea account: OpenID Connect's authorization code flow, with PKCE
// (RFC 7636), a state that works once, and a nonce in the id token.
type Login struct {
	o       LoginOptions
	keys    oidc.KeySet
	guard   *http.CrossOriginProtection
	limiter chan struct{}
	used    *replayCache // states that somebody logged in with
}

// NewLogin checks the addresses.
func NewLogin(o LoginOptions) (*Login, error) {
	o.PublicURL, o.URL = strings.TrimSuffix(o.PublicURL, "/"), strings.TrimSuffix(o.URL, "/")
	for _, a := range []struct{ name, value string }{{"publicURL", o.PublicURL}, {"url", o.URL}, {"redirectURL", o.RedirectURL}} {
		u, err := url.Parse(a.value)
		if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil {
			return nil, fmt.Errorf("%s: %q is no https address without a user", a.name, redact.Value(a.value))
		}
	}
	if !strings.HasSuffix(o.RedirectURL, "/login/callback") {
		return nil, fmt.Errorf("redirectURL: %q doesn't end in /login/callback, where this service listens", o.RedirectURL)
	}
	if o.Fail == nil {
		o.Fail = func(w http.ResponseWriter, _ *http.Request, err error) { wire.Error(w, err) }
	}
	return &Login{
		o:       o,
		keys:    oidc.NewRemoteKeySet(oidc.ClientContext(context.Background(), o.HTTP), o.URL+"/login/oauth/keys"),
		guard:   http.NewCrossOriginProtection(),
		limiter: make(chan struct{}, maxExchanges),
		used:    newReplayCache(o.Sessions.now),
	}, nil
}

// attempt is what the browser keeps, encrypted, while its user is at Gitea.
type attempt struct {
	State    string    `json:"state"`
	Nonce    string    `json:"nonce"`
	Verifier string    `json:"verifier"`
	Next     string    `json:"next"`
	Until    time.Time `json:"until"`
}

func (l *Login) config() (*oauth2.Config, error) {
	id, err := l.o.ClientID.Value()
	if err != nil {
		return nil, err
	}
	secret, err := l.o.ClientSecret.Value()
	if err != nil {
		return nil, err
	}
	return &oauth2.Config{
		ClientID: id, ClientSecret: secret, RedirectURL: l.o.RedirectURL,
		Endpoint: oauth2.Endpoint{
			AuthURL:   l.o.PublicURL + "/login/oauth/authorize",
			TokenURL:  l.o.URL + "/login/oauth/access_token",
			AuthStyle: oauth2.AuthStyleInHeader,
		},
		// Gitea gives a token without scopes of its own all rights of its user; this one only reads
		// who that is, and is thrown away unused.
		Scopes: []string{oidc.ScopeOpenID, "profile", "read:user"},
	}, nil
}

// Start is GET /login: it sends the browser to Gitea, and says where to go on afterwards (?next=).
func (l *Login) Start(w http.ResponseWriter, r *http.Request) {
	next, err := local(r.URL.Query().Get("next"))
	if err != nil {
		l.o.Fail(w, r, err)
		return
	}
	config, err := l.config()
	if err != nil {
		l.o.Fail(w, r, fmt.Errorf("read the OAuth client: %w", err))
		return
	}
	a := attempt{State: rand.Text(), Nonce: rand.Text(), Verifier: oauth2.GenerateVerifier(), Next: next, Until: l.o.Sessions.now().Add(loginLife)}
	encrypted, err := l.o.Sessions.encrypt(loginCookie, a)
	if err != nil {
		l.o.Fail(w, r, fmt.Errorf("encrypt the login: %w", err))
		return
	}
	set(w, loginCookie, encrypted, loginLife)
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, r, config.AuthCodeURL(a.State, oidc.Nonce(a.Nonce), oauth2.S256ChallengeOption(a.Verifier)), http.StatusSeeOther)
}

// Callback is GET /login/callback, where Gitea sends the browser back to.
func (l *Login) Callback(w http.ResponseWriter, r *http.Request) {
	next, user, err := l.finish(r)
	drop(w, loginCookie)
	if err == nil {
		err = l.o.Sessions.begin(w, user)
	}
	if err != nil {
		l.o.Fail(w, r, err)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, r, next, http.StatusSeeOther)
}

var errLogin = tracedb.ErrUnauthenticated.WithHint("begin again at /login")

func (l *Login) finish(r *http.Request) (next, user string, err error) {
	q := r.URL.Query()
	cookie, err := r.Cookie(loginCookie)
	if err != nil {
		return "", "", errLogin.Says("this browser began no login, or took too long")
	}
	var a attempt
	if err := l.o.Sessions.decrypt(loginCookie, cookie.Value, &a); err != nil || !l.o.Sessions.current(a.Until, loginLife) {
		return "", "", errLogin.Says("this login is over")
	}
	if state := q.Get("state"); state == "" || subtle.ConstantTimeCompare([]byte(state), []byte(a.State)) != 1 {
		return "", "", errLogin.Says("this answer isn't to the login that this browser began").At("state")
	}
	if l.used.has(a.State) {
		return "", "", errUsed
	}
	if code := q.Get("error"); code != "" {
		// RFC 6749, section 4.1.2.1. The description is anybody's text and isn't repeated.
		if code == "access_denied" {
			return "", "", errLogin.Says("the login was declined at Gitea")
		}
		return "", "", fmt.Errorf("%w (gitea answered %.40q)", errLogin.Says("Gitea refused the login"), code)
	}
	if user, err = l.exchange(r, a); err != nil {
		return "", "", err
	}
	// Gitea refuses a code that was used too; this holds without its help. Only who logged in is
	// remembered: anybody can begin logins without end, and must not fill the memory.
	fresh, err := l.used.add(a.State, a.Until)
	if err == nil && !fresh {
		err = errUsed
	}
	return a.Next, user, err
}

var errUsed = errLogin.Says("this login was used already").At("state")

// exchange asks Gitea whose the code is.
func (l *Login) exchange(r *http.Request, a attempt) (user string, err error) {
	config, err := l.config()
	if err != nil {
		return "", fmt.Errorf("read the OAuth client: %w", err)
	}
	ctx, cancel := context.WithTimeout(oidc.ClientContext(r.Context(), l.o.HTTP), giteaWait)
	defer cancel()
	select {
	case l.limiter <- struct{}{}:
		defer func() { <-l.limiter }()
	case <-ctx.Done():
		return "", tracedb.ErrTooMany.Says("too many logins wait for Gitea")
	}
	token, err := config.Exchange(ctx, r.URL.Query().Get("code"), oauth2.VerifierOption(a.Verifier))
	var refused *oauth2.RetrieveError
	switch {
	case errors.As(err, &refused) && refused.Response.StatusCode/100 == 4:
		return "", fmt.Errorf("%w (%s)", errLogin.Says("Gitea doesn't know this code, or it was used").At("code"), refused.ErrorCode)
	case err != nil:
		return "", fmt.Errorf("%w (%w)", tracedb.ErrUnavailable.Says("Gitea can't be asked who this is"), err)
	}
	return l.userOf(ctx, config.ClientID, a.Nonce, token)
}

// userOf reads the id token, which says who logged in, when and for whom.
func (l *Login) userOf(ctx context.Context, clientID, nonce string, token *oauth2.Token) (string, error) {
	raw, _ := token.Extra("id_token").(string)
	verifier := oidc.NewVerifier(l.o.PublicURL, l.keys, &oidc.Config{
		ClientID: clientID, Now: l.o.Sessions.now,
		SupportedSigningAlgs: []string{oidc.RS256, oidc.RS384, oidc.RS512, oidc.ES256, oidc.ES384, oidc.ES512, oidc.EdDSA},
	})
	id, err := verifier.Verify(ctx, raw)
	if err != nil {
		return "", fmt.Errorf("%w (%w)", errLogin.Says("Gitea's id token doesn't hold"), err)
	}
	if subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(nonce)) != 1 {
		return "", errLogin.Says("Gitea's id token is of another login")
	}
	var claims struct {
		Name string `json:"preferred_username"`
	}
	if err := id.Claims(&claims); err != nil || claims.Name == "" {
		return "", errLogin.Says("Gitea's id token names nobody")
	}
	return claims.Name, nil
}

// Logout is POST /logout: it ends the session, in this browser and wherever its cookie was copied to.
// Another site can't make it: the cookie is SameSite, and a browser says where a POST comes from
// (http.CrossOriginProtection).
func (l *Login) Logout(w http.ResponseWriter, r *http.Request) {
	if err := l.guard.Check(r); err != nil {
		l.o.Fail(w, r, fmt.Errorf("%w (%w)", tracedb.ErrForbidden.Says("another site asked for this"), err))
		return
	}
	drop(w, sessionCookie)
	if err := l.o.Sessions.end(r); err != nil {
		l.o.Fail(w, r, err)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// local is a path of this service to go on with after a login; anything else would let a link to us
// end at somebody else's pages.
func local(next string) (string, error) {
	if next == "" {
		return "/", nil
	}
	refused := tracedb.ErrInvalid.Says("not a path of this service").At("next")
	if len(next) > 2048 || next[0] != '/' || strings.HasPrefix(next, "//") || strings.ContainsFunc(next, func(c rune) bool { return c < ' ' || c == 0x7f || c == '\\' }) {
		return "", refused
	}
	u, err := url.Parse(next)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || strings.HasPrefix(u.Path, "//") {
		return "", refused
	}
	return next, nil
}
