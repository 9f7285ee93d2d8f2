package authtest

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	"k8s.io/client-go/rest"
)

// Token is a token that the cluster knows.
type Token struct {
	User      string
	Audiences []string // that it was made for
}

// Cluster is a Kubernetes API that judges tokens, and knows nothing else.
type Cluster struct {
	Config *rest.Config

	mu     sync.Mutex
	tokens map[string]Token
	asked  int
	down   bool
	// noAudiences makes it an authenticator that knows nothing of audiences.
	noAudiences bool
}

// NewCluster starts a cluster.
func NewCluster(t testing.TB, tokens map[string]Token) *Cluster {
	t.Helper()
	c := &Cluster{tokens: tokens}
	server := httptest.NewServer(http.HandlerFunc(c.serve))
	t.Cleanup(server.Close)
	// JSON is what this server reads; the real one takes protobuf too.
	c.Config = &rest.Config{Host: server.URL, ContentConfig: rest.ContentConfig{ContentType: "application/json", AcceptContentTypes: "application/json"}}
	return c
}

// Asked is how many tokens it judged.
func (c *Cluster) Asked() int { c.mu.Lock(); defer c.mu.Unlock(); return c.asked }

// Down makes it fail, or work again.
func (c *Cluster) Down(down bool) { c.mu.Lock(); defer c.mu.Unlock(); c.down = down }

// Forget takes a token back.
func (c *Cluster) Forget(token string) { c.mu.Lock(); defer c.mu.Unlock(); delete(c.tokens, token) }

// NoAudiences makes it leave audiences out of its answers, as old authenticators do.
func (c *Cluster) NoAudiences() { c.mu.Lock(); defer c.mu.Unlock(); c.noAudiences = true }

func (c *Cluster) serve(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost || r.URL.Path != "/apis/authentication.k8s.io/v1/tokenreviews" {
		http.NotFound(w, r)
		return
	}
	var review authenticationv1.TokenReview
	if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked++
	if c.down {
		http.Error(w, "etcd is away", http.StatusInternalServerError)
		return
	}
	token, ok := c.tokens[review.Spec.Token]
	// As in Kubernetes: a token is only valid for the audiences that it and the question have in common.
	var common []string
	for _, a := range review.Spec.Audiences {
		if slices.Contains(token.Audiences, a) {
			common = append(common, a)
		}
	}
	switch {
	case c.noAudiences && ok:
		review.Status = authenticationv1.TokenReviewStatus{Authenticated: true, User: authenticationv1.UserInfo{Username: token.User}}
	case ok && len(common) > 0:
		review.Status = authenticationv1.TokenReviewStatus{Authenticated: true, User: authenticationv1.UserInfo{Username: token.User}, Audiences: common}
	default:
		review.Status = authenticationv1.TokenReviewStatus{Error: "[invalid bearer token, token audiences don't match]"}
	}
	answer(w, http.StatusCreated, review)
}
