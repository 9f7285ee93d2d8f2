// Package authtest plays those that authenticate callers: Gitea's OAuth2 provider and the cluster's
// reviews of tokens, each a server in the test's own process that keeps the rules of the real one. It
// owns nothing that outlives the test, and refuses what the real ones refuse.
package authtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Gitea is Gitea's OAuth2 provider (RFC 6749, RFC 7636, OpenID Connect Core), as far as a login goes.
// Fields may be changed between requests.
type Gitea struct {
	URL          string
	Client       *http.Client // trusts it
	CA           []byte       // PEM: what Client trusts
	ClientID     string
	ClientSecret string
	RedirectURL  string
	User         string // who is logged in at Gitea; empty: the login is declined
	// Claims changes an id token's claims before it is signed.
	Claims func(map[string]any)
	Now    func() time.Time

	key   *ecdsa.PrivateKey
	mu    sync.Mutex
	codes map[string]grant
}

type grant struct{ challenge, nonce, user, redirect string }

// NewGitea starts a Gitea that knows one application.
func NewGitea(t testing.TB, redirectURL string) *Gitea {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	g := &Gitea{ClientID: "trace-client", ClientSecret: "trace-secret", RedirectURL: redirectURL, User: "auditor", Now: time.Now, key: key, codes: map[string]grant{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /login/oauth/authorize", g.authorize)
	mux.HandleFunc("POST /login/oauth/access_token", g.token)
	mux.HandleFunc("GET /login/oauth/keys", g.keys)
	server := httptest.NewTLSServer(mux)
	t.Cleanup(server.Close)
	g.URL, g.Client = server.URL, server.Client()
	g.CA = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	return g
}

func (g *Gitea) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if q.Get("client_id") != g.ClientID || q.Get("redirect_uri") != g.RedirectURL || q.Get("response_type") != "code" {
		http.Error(w, "unknown application", http.StatusBadRequest)
		return
	}
	back := url.Values{"state": {q.Get("state")}}
	switch {
	case g.User == "":
		back.Set("error", "access_denied")
	case q.Get("code_challenge_method") != "S256" || q.Get("code_challenge") == "":
		back.Set("error", "invalid_request")
	default:
		code := rand.Text()
		g.mu.Lock()
		g.codes[code] = grant{challenge: q.Get("code_challenge"), nonce: q.Get("nonce"), user: g.User, redirect: q.Get("redirect_uri")}
		g.mu.Unlock()
		back.Set("code", code)
	}
	http.Redirect(w, r, g.RedirectURL+"?"+back.Encode(), http.StatusFound)
}

func (g *Gitea) token(w http.ResponseWriter, r *http.Request) {
	id, secret, _ := r.BasicAuth()
	if id != g.ClientID || secret != g.ClientSecret {
		refuse(w, "invalid_client")
		return
	}
	g.mu.Lock()
	given, ok := g.codes[r.FormValue("code")]
	delete(g.codes, r.FormValue("code"))
	g.mu.Unlock()
	sum := sha256.Sum256([]byte(r.FormValue("code_verifier")))
	if !ok || given.redirect != r.FormValue("redirect_uri") || base64.RawURLEncoding.EncodeToString(sum[:]) != given.challenge {
		refuse(w, "invalid_grant")
		return
	}
	claims := map[string]any{
		"iss": g.URL, "aud": g.ClientID, "sub": "7", "exp": g.Now().Add(time.Hour).Unix(), "iat": g.Now().Unix(),
		"nonce": given.nonce, "preferred_username": given.user,
	}
	if g.Claims != nil {
		g.Claims(claims)
	}
	answer(w, http.StatusOK, map[string]any{
		"access_token": rand.Text(), "token_type": "bearer", "expires_in": 3600, "id_token": g.sign(claims),
	})
}

func (g *Gitea) sign(claims map[string]any) string {
	signer := must(jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: g.key}, (&jose.SignerOptions{}).WithHeader("kid", "1")))
	signed := must(signer.Sign(must(json.Marshal(claims))))
	return must(signed.CompactSerialize())
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// NewKey makes Gitea sign with another key from now on, which it doesn't publish.
func (g *Gitea) NewKey(t testing.TB) {
	t.Helper()
	published := g.key.PublicKey
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key.PublicKey, g.key = published, key
}

func (g *Gitea) keys(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &g.key.PublicKey, KeyID: "1", Algorithm: "ES256", Use: "sig"}}})
}

func refuse(w http.ResponseWriter, code string) {
	answer(w, http.StatusBadRequest, map[string]string{"error": code, "error_description": "refused"})
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}
