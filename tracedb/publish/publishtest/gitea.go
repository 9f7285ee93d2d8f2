// Package publishtest plays the part of Gitea that checkpoints are published to. It owns a repository of
// two files that lives as long as its test, and refuses what Gitea would refuse.
package publishtest

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"
)

// Token is the one that it knows, Repository what it has.
const (
	Token      = "trace-token"
	Repository = "druppie/trace"
)

// Gitea answers as Gitea's contents API does. What it holds may be changed between requests.
type Gitea struct {
	Content []byte // of the checkpoint; nil: there is no file
	Readme  []byte
	Commits []string // that changed the checkpoint
	Dated   time.Time
	OnRead  func() // called once, when the checkpoint was read
	Down    bool
	Hidden  bool
	Others  bool // other questions are answered, with 404, and no mistake

	t       testing.TB
	mu      sync.Mutex
	message string // of the last commit
}

// NewGitea is one whose repository is empty.
func NewGitea(t testing.TB) *Gitea { return &Gitea{t: t} }

// Checkpoint is what it holds now, and how many commits led to it, also during a request.
func (g *Gitea) Checkpoint() ([]byte, int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.Content, len(g.Commits)
}

func sha(content []byte) string { return fmt.Sprintf("%x", sha256.Sum256(content))[:40] }

func (g *Gitea) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	fail := func(status int) {
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"message":%q}`, http.StatusText(status))
	}
	switch {
	case g.Down:
		fail(http.StatusServiceUnavailable)
	case r.Header.Get("Authorization") != "token "+Token:
		fail(http.StatusUnauthorized)
	case g.Hidden:
		fail(http.StatusNotFound)
	case r.URL.Path == "/api/v1/repos/druppie/trace":
		fmt.Fprint(w, `{"full_name":"druppie/trace"}`)
	case r.URL.Path == "/api/v1/repos/druppie/trace/commits":
		if r.URL.Query().Get("path") != "checkpoint" || r.URL.Query().Get("sha") != "main" {
			g.t.Errorf("asked for the commits of %s", r.URL.RawQuery)
		}
		json.NewEncoder(w).Encode([]map[string]any{{"sha": "0123", "created": g.Dated}})
	case r.URL.Path == "/api/v1/repos/druppie/trace/contents/README.md":
		g.file(w, r, &g.Readme, fail)
	case r.URL.Path == "/api/v1/repos/druppie/trace/contents/checkpoint":
		if g.file(w, r, &g.Content, fail) {
			g.Commits, g.Dated = append(g.Commits, g.message), time.Now()
		} else if g.OnRead != nil {
			g.OnRead()
			g.OnRead = nil
		}
	default:
		if !g.Others {
			g.t.Errorf("%s %s", r.Method, r.URL)
		}
		fail(http.StatusNotFound)
	}
}

// file reads or writes a file, and says whether it was written.
func (g *Gitea) file(w http.ResponseWriter, r *http.Request, content *[]byte, fail func(int)) bool {
	if r.Method != http.MethodGet {
		return g.write(w, r, content, fail)
	}
	if *content == nil {
		fail(http.StatusNotFound)
		return false
	}
	encoded := base64.StdEncoding.EncodeToString(*content)
	json.NewEncoder(w).Encode(map[string]any{"type": "file", "sha": sha(*content), "encoding": "base64", "content": encoded})
	return false
}

func (g *Gitea) write(w http.ResponseWriter, r *http.Request, file *[]byte, fail func(int)) bool {
	var body struct{ Message, Branch, SHA, Content string }
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		g.t.Error(err)
	}
	if body.Branch != "main" {
		g.t.Errorf("branch %q", body.Branch)
	}
	switch {
	case r.Method == http.MethodPost && *file != nil, r.Method == http.MethodPut && (*file == nil || body.SHA != sha(*file)):
		fail(http.StatusUnprocessableEntity)
		return false
	}
	content, err := base64.StdEncoding.DecodeString(body.Content)
	if err != nil {
		g.t.Error(err)
	}
	*file, g.message = content, body.Message
	w.WriteHeader(http.StatusCreated)
	fmt.Fprint(w, `{}`)
	return true
}
