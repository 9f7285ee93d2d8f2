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

// Cluster is a Kubernetes API that reviews tokens, and knows nothing else.
type Cluster struct {
	Config *rest.Config

	mu      sync.Mutex
	tokens  map[string]Token
	reviews int
	down    bool
	// noAudiences makes it an authenticator that knows nothing of audiences.
	noAudiences bool
}

// NewCluster starts a cluster for a test.
func NewCluster(t testing.TB, tokens map[string]Token) *Cluster {
	t.Helper()
	c, stop := StartCluster(tokens)
	t.Cleanup(stop)
	return c
}

// StartCluster starts a cluster that lives until it is stopped.
func StartCluster(tokens map[string]Token) (c *Cluster, stop func()) {
	c = &Cluster{tokens: tokens}
	server := httptest.NewServer(http.HandlerFunc(c.serve))
	c.Config = &rest.Config{Host: server.URL}
	return c, server.Close
}

// Reviews is how many tokens it reviewed.
func (c *Cluster) Reviews() int { c.mu.Lock(); defer c.mu.Unlock(); return c.reviews }

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
	c.reviews++
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
	review.APIVersion, review.Kind = "authentication.k8s.io/v1", "TokenReview"
	answer(w, http.StatusCreated, review)
}
