package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"os"
	"strings"
	"testing"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/auth/authtest"
)

// TestLogin lets a person in through Gitea, as the service is wired, and out again.
func TestLogin(t *testing.T) {
	h := newFixture(t)
	g := authtest.NewGitea(t, "https://trace.test/login/callback")
	h.write("ca.crt", string(g.CA))
	h.write("client-id", g.ClientID)
	h.write("client-secret", g.ClientSecret)
	h.write("session", strings.Repeat("s", 43))
	f, err := os.OpenFile(h.config, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = fmt.Fprintf(f, `
ca: %[1]s/ca.crt
sessionKeyFile: %[1]s/session
gitea: {url: %[2]q, publicURL: %[2]q}
oauth: {clientIDFile: %[1]s/client-id, clientSecretFile: %[1]s/client-secret, redirectURL: "https://trace.test/login/callback", auditors: [auditor]}
`, h.dir, g.URL)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	h.start()
	h.browse(g)
	if err := h.stop(); err != nil {
		t.Error(err)
	}
	for _, secret := range []string{g.ClientSecret, strings.Repeat("s", 43), "code=", "state="} {
		if strings.Contains(h.out.String(), secret) {
			t.Errorf("the service's output has %q", secret)
		}
	}
}

// browse goes through a login as a browser does, following every redirect and keeping cookies.
func (h *fixture) browse(g *authtest.Gitea) {
	h.t.Helper()
	pool := h.pool.Clone()
	if !pool.AppendCertsFromPEM(g.CA) {
		h.t.Fatal("Gitea's certificate can't be read")
	}
	browser := h.browser(pool)
	get := func(path string) (int, string, string) {
		h.t.Helper()
		resp, err := browser.Get("https://trace.test" + path)
		if err != nil {
			h.t.Fatal(err)
		}
		defer resp.Body.Close()
		raw, err := io.ReadAll(resp.Body)
		if err != nil {
			h.t.Fatal(err)
		}
		return resp.StatusCode, resp.Request.URL.Path, string(raw)
	}
	if status, _, body := get("/v1/records"); status != http.StatusUnauthorized || !strings.Contains(body, "/login") {
		h.t.Errorf("before the login: %d %s", status, body)
	}
	if status, path, body := get("/login?next=/register"); status != http.StatusOK || path != "/register" {
		h.t.Errorf("after the login at %s: %d %.200s", path, status, body)
	}
	if status, _, body := get("/v1/records?kind=key"); status != http.StatusOK || !strings.Contains(body, `"kind":"key"`) {
		h.t.Errorf("an auditor's search: %d %.200s", status, body)
	}
	entries, err := h.server.log.Search(h.t.Context(), tracedb.Query{Kinds: []tracedb.Kind{tracedb.KindRead}})
	if err != nil || len(entries.Entries) == 0 || entries.Entries[0].Actor != "gitea:auditor" {
		h.t.Errorf("the read was recorded as %+v, %v", entries.Entries, err)
	}
	// What fails is told on a page, not as JSON.
	if status, _, body := get("/login/callback?state=x&code=y"); status != http.StatusUnauthorized || !strings.Contains(body, "<!doctype html>") {
		h.t.Errorf("an answer out of the blue: %d %.200s", status, body)
	}
	resp, err := browser.Post("https://trace.test/logout", "", nil)
	if err != nil {
		h.t.Fatal(err)
	}
	resp.Body.Close()
	if status, _, _ := get("/v1/records"); status != http.StatusUnauthorized {
		h.t.Errorf("after the logout: %d", status)
	}
	// Another user is known, and sees no more than everybody.
	g.User = "visitor"
	get("/login")
	if status, _, body := get("/v1/records"); status != http.StatusForbidden || !strings.Contains(body, "gitea:visitor") {
		h.t.Errorf("a user who is no auditor: %d %s", status, body)
	}
}

// browser finds the service by its name and everybody else by theirs.
func (h *fixture) browser(pool *x509.CertPool) *http.Client {
	h.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		h.t.Fatal(err)
	}
	t := &http.Transport{
		DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
			if strings.HasPrefix(address, "trace.test:") {
				address = h.server.listener.Addr().String()
			}
			var d net.Dialer
			return d.DialContext(ctx, "tcp", address)
		},
		TLSClientConfig: &tls.Config{RootCAs: pool},
	}
	h.t.Cleanup(t.CloseIdleConnections)
	return &http.Client{Transport: t, Jar: jar}
}
