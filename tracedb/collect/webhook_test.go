package collect

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/wire"
)

const secret = "golden-secret"

func hmacOf(key, body string) string {
	m := hmac.New(sha256.New, []byte(key))
	m.Write([]byte(body))
	return hex.EncodeToString(m.Sum(nil))
}

// post sends a body with headers, given as name and value by turns.
func post(h http.Handler, method, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "/v1/events", strings.NewReader(body))
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestWebhooksRefuse(t *testing.T) {
	_, push := webhook(t, "push-main")
	json1 := []string{"Content-Type", "application/json"}
	with := func(more ...string) []string { return append(append([]string{}, json1...), more...) }
	gitea := func(more ...string) []string { return with(append([]string{"X-Gitea-Event-Type", "push"}, more...)...) }
	huge := `{"x":"` + strings.Repeat("a", maxEvent) + `"}`
	tests := []struct {
		name    string
		method  string
		body    string
		headers []string
		status  int
		code    string
	}{
		{"gitea, as it should be", "POST", push, gitea("X-Gitea-Signature", hmacOf(secret, push)), 202, ""},
		{"gitea, signed in GitHub's header", "POST", push, gitea("X-Hub-Signature-256", "sha256="+hmacOf(secret, push)), 202, ""},
		{"gitea, charset named", "POST", push, []string{"Content-Type", "application/json; charset=utf-8", "X-Gitea-Event-Type", "push", "X-Gitea-Signature", hmacOf(secret, push)}, 202, ""},
		{"gitea, not signed", "POST", push, gitea(), 401, "unauthenticated"},
		{"gitea, empty signature", "POST", push, gitea("X-Gitea-Signature", ""), 401, "unauthenticated"},
		{"gitea, another secret", "POST", push, gitea("X-Gitea-Signature", hmacOf("other", push)), 401, "unauthenticated"},
		{"gitea, another body", "POST", push + " ", gitea("X-Gitea-Signature", hmacOf(secret, push)), 401, "unauthenticated"},
		{"gitea, half a signature", "POST", push, gitea("X-Gitea-Signature", hmacOf(secret, push)[:32]), 401, "unauthenticated"},
		{"gitea, one right and one wrong", "POST", push, gitea("X-Gitea-Signature", hmacOf(secret, push), "X-Hub-Signature-256", "sha256="+hmacOf("other", push)), 401, "unauthenticated"},
		{"gitea, header twice", "POST", push, gitea("X-Gitea-Signature", hmacOf(secret, push), "X-Gitea-Signature", hmacOf("other", push)), 401, "unauthenticated"},
		{"gitea, SHA-1 alone", "POST", push, gitea("X-Hub-Signature", "sha1="+hmacOf(secret, push)), 401, "unauthenticated"},
		{"gitea, no prefix in GitHub's header", "POST", push, gitea("X-Hub-Signature-256", hmacOf(secret, push)), 401, "unauthenticated"},
		{"gitea, GET", "GET", push, gitea("X-Gitea-Signature", hmacOf(secret, push)), 405, "method_not_allowed"},
		{"gitea, a form", "POST", push, []string{"Content-Type", "application/x-www-form-urlencoded", "X-Gitea-Event-Type", "push", "X-Gitea-Signature", hmacOf(secret, push)}, 415, "unsupported_media_type"},
		{"gitea, too large", "POST", huge, gitea("X-Gitea-Signature", hmacOf(secret, huge)), 413, "too_large"},
		{"gitea, no JSON", "POST", "ref=main", gitea("X-Gitea-Signature", hmacOf(secret, "ref=main")), 400, "invalid"},
		{"gitea, another JSON", "POST", `[1]`, gitea("X-Gitea-Signature", hmacOf(secret, `[1]`)), 400, "invalid"},
		{"gitea, no repository", "POST", `{}`, gitea("X-Gitea-Signature", hmacOf(secret, `{}`)), 400, "invalid"},
		{"gitea, no such commit", "POST", badPush, gitea("X-Gitea-Signature", hmacOf(secret, badPush)), 400, "invalid"},
		{"gitea, a review of nothing", "POST", `{"repository":{"full_name":"druppie/x"}}`, with("X-Gitea-Event-Type", "pull_request_review_approved", "X-Gitea-Signature", hmacOf(secret, `{"repository":{"full_name":"druppie/x"}}`)), 400, "invalid"},
		{"gitea, an event of no interest", "POST", `{}`, with("X-Gitea-Event-Type", "issues", "X-Gitea-Signature", hmacOf(secret, `{}`)), 202, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tr := newTrace(t)
			h := Gitea([]byte(secret), Repositories{}, nil, tr.options())
			w := post(h, tt.method, tt.body, tt.headers...)
			if w.Code != tt.status {
				t.Errorf("status %d, want %d: %s", w.Code, tt.status, w.Body)
			}
			if w.Header().Get("Content-Type") != "application/json" {
				t.Errorf("answered with %q", w.Header().Get("Content-Type"))
			}
			if tt.code == "" {
				return
			}
			var e wire.ErrorBody
			if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil || e.Error == nil || e.Error.Code != tt.code || e.Error.Message == "" {
				t.Errorf("answer %s (%v), want code %s", w.Body, err, tt.code)
			}
			if tr.called() != 0 {
				t.Error("something went to the log")
			}
		})
	}
}

// Without a secret nobody may tell us anything: an empty key makes an HMAC that anybody can make.
func TestNoSecret(t *testing.T) {
	tr := newTrace(t)
	w := post(Gitea(nil, Repositories{}, nil, tr.options()), "POST", `{}`, "Content-Type", "application/json", "X-Gitea-Signature", hmacOf("", `{}`))
	if w.Code != http.StatusServiceUnavailable || tr.called() != 0 {
		t.Errorf("status %d", w.Code)
	}
}

// What the log can't take is said to the sender, who may try again, or not.
func TestWebhookWhenTheLogIsFull(t *testing.T) {
	tests := []struct {
		err    error
		status int
	}{
		{tracedb.ErrFull, 507}, {tracedb.ErrUnavailable, 503}, {http.ErrAbortHandler, 500},
	}
	for _, tt := range tests {
		tr := newTrace(t)
		tr.down(tt.err)
		h := Gitea([]byte(secret), Repositories{}, nil, tr.options())
		_, push := webhook(t, "push-main")
		w := post(h, "POST", push, "Content-Type", "application/json", "X-Gitea-Event-Type", "push", "X-Gitea-Signature", hmacOf(secret, push))
		if w.Code != tt.status {
			t.Errorf("%v: status %d, want %d", tt.err, w.Code, tt.status)
		}
		if h.Status().LastError == "" {
			t.Errorf("%v: the status is silent about it", tt.err)
		}
	}
}

const badPush = `{"ref":"refs/heads/main","after":"HEAD; rm","repository":{"full_name":"druppie/x"}}`
