package publish_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/log"
	"github.com/druppie/druppie-up/tracedb/log/logtest"
	"github.com/druppie/druppie-up/tracedb/publish"
)

const token = "trace-token"

// forge answers as Gitea's contents API does, for druppie/trace.
type forge struct {
	t *testing.T

	mu      sync.Mutex
	content []byte // of the checkpoint; nil: there is no file
	readme  []byte
	commits []string // that changed the checkpoint
	message string   // of the last commit
	dated   time.Time
	onRead  func() // called once, when the checkpoint is read
	down    bool
	hidden  bool
}

func sha(content []byte) string { return fmt.Sprintf("%x", sha256.Sum256(content))[:40] }

func (f *forge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fail := func(status int) {
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"message":%q}`, http.StatusText(status))
	}
	switch {
	case f.down:
		fail(http.StatusServiceUnavailable)
	case r.Header.Get("Authorization") != "token "+token:
		fail(http.StatusUnauthorized)
	case f.hidden:
		fail(http.StatusNotFound)
	case r.URL.Path == "/api/v1/repos/druppie/trace":
		fmt.Fprint(w, `{"full_name":"druppie/trace"}`)
	case r.URL.Path == "/api/v1/repos/druppie/trace/commits":
		if r.URL.Query().Get("path") != "checkpoint" || r.URL.Query().Get("sha") != "main" {
			f.t.Errorf("asked for the commits of %s", r.URL.RawQuery)
		}
		json.NewEncoder(w).Encode([]map[string]any{{"sha": "0123", "created": f.dated}})
	case r.URL.Path == "/api/v1/repos/druppie/trace/contents/README.md":
		f.file(w, r, &f.readme, fail)
	case r.URL.Path == "/api/v1/repos/druppie/trace/contents/checkpoint":
		if f.file(w, r, &f.content, fail) {
			f.commits, f.dated = append(f.commits, f.message), time.Now()
		} else if f.onRead != nil {
			f.onRead()
			f.onRead = nil
		}
	default:
		f.t.Errorf("%s %s", r.Method, r.URL)
		fail(http.StatusNotFound)
	}
}

// file reads or writes a file, and says whether it was written.
func (f *forge) file(w http.ResponseWriter, r *http.Request, content *[]byte, fail func(int)) bool {
	if r.Method != http.MethodGet {
		return f.write(w, r, content, fail)
	}
	if *content == nil {
		fail(http.StatusNotFound)
		return false
	}
	encoded := base64.StdEncoding.EncodeToString(*content)
	json.NewEncoder(w).Encode(map[string]any{"type": "file", "sha": sha(*content), "encoding": "base64", "content": encoded})
	return false
}

func (f *forge) write(w http.ResponseWriter, r *http.Request, file *[]byte, fail func(int)) bool {
	var body struct{ Message, Branch, SHA, Content string }
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		f.t.Error(err)
	}
	if body.Branch != "main" {
		f.t.Errorf("branch %q", body.Branch)
	}
	switch {
	case r.Method == http.MethodPost && *file != nil, r.Method == http.MethodPut && (*file == nil || body.SHA != sha(*file)):
		fail(http.StatusUnprocessableEntity)
		return false
	}
	content, err := base64.StdEncoding.DecodeString(body.Content)
	if err != nil {
		f.t.Error(err)
	}
	*file, f.message = content, body.Message
	w.WriteHeader(http.StatusCreated)
	fmt.Fprint(w, `{}`)
	return true
}

func setup(t *testing.T, l publish.Log) (*forge, *publish.Publisher) {
	t.Helper()
	f := &forge{t: t}
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	return f, &publish.Publisher{
		Log: l, Verifier: logtest.Verifier(t), URL: server.URL, HTTP: server.Client(),
		Token: func() (string, error) { return token, nil }, Repository: "druppie/trace",
	}
}

func grow(t *testing.T, l *log.Log, n int, who string) {
	t.Helper()
	for i := range n {
		_, err := l.Append(context.Background(), who, []log.Prepared{{Draft: tracedb.Draft{
			ID: fmt.Sprint(who, "/", l.Size(), "/", i), Kind: tracedb.KindIncident, Payload: json.RawMessage(`{"summary":"x"}`),
		}}})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestPublish(t *testing.T) {
	ctx := context.Background()
	l := logtest.New(t)
	f, p := setup(t, l)
	steps := []struct {
		name    string
		do      func()
		commits int
		wantErr string
	}{
		{"an empty log has nothing to publish", func() {}, 0, ""},
		{"the first", func() { grow(t, l, 3, "a") }, 1, ""},
		{"nothing new", func() {}, 1, ""},
		{"it grew", func() { grow(t, l, 300, "a") }, 2, ""},
		{"Gitea is away", func() { grow(t, l, 1, "a"); f.down = true }, 2, "checkpoint of druppie/trace"},
		{"and back", func() { f.down = false }, 3, ""},
		{"the repository is gone", func() { f.hidden = true }, 3, "find the repository druppie/trace"},
		{"and there again", func() { f.hidden = false }, 3, ""},
	}
	for _, s := range steps {
		s.do()
		err := p.Once(ctx)
		if (err == nil) != (s.wantErr == "") || err != nil && !strings.Contains(err.Error(), s.wantErr) {
			t.Fatalf("%s: %v", s.name, err)
		}
		if len(f.commits) != s.commits || (p.Status().LastError == "") != (err == nil) || p.Status().Rewritten {
			t.Fatalf("%s: %d commits %v, status %+v", s.name, len(f.commits), f.commits, p.Status())
		}
	}
	size, _, err := log.ParseCheckpoint(f.content, logtest.Verifier(t))
	if err != nil || size != l.Size() || p.Status().Size != size || p.Status().Published != 3 {
		t.Errorf("published %d of %d records, status %+v, %v", size, l.Size(), p.Status(), err)
	}
	if f.commits[0] != "Checkpoint at 3 records" {
		t.Errorf("commits %v", f.commits)
	}
}

// Two replicas publish one log: the slower one doesn't take the other's head for another history, and
// together they commit no more often than one would.
func TestReplicas(t *testing.T) {
	l := logtest.New(t)
	f, p := setup(t, l)
	other := &publish.Publisher{Log: l, Verifier: p.Verifier, URL: p.URL, HTTP: p.HTTP, Token: p.Token, Repository: p.Repository}
	grow(t, l, 3, "a")
	if err := p.Once(t.Context()); err != nil {
		t.Fatal(err)
	}
	grow(t, l, 1, "a")
	// While the other replica asks for the checkpoint, the log grows and this one publishes that.
	f.onRead = func() { grow(t, l, 1, "a") }
	if err := other.Once(t.Context()); err != nil || other.Status().Rewritten || other.Status().Size != 5 {
		t.Fatalf("%v, status %+v", err, other.Status())
	}
	for _, tt := range []struct {
		name    string
		age     time.Duration // of what is there
		commits int
	}{{"young", 0, 2}, {"old", time.Hour, 3}, {"from a time to come", -time.Hour, 4}} {
		grow(t, l, 1, "a")
		f.dated = time.Now().Add(-tt.age)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		before := p.Status().LastSuccess
		go func() { done <- p.Run(ctx) }()
		for p.Status().LastSuccess.Equal(before) {
			time.Sleep(time.Millisecond)
		}
		cancel()
		if err := <-done; err != nil || len(f.commits) != tt.commits {
			t.Errorf("%s: %d commits, want %d; %v, status %+v", tt.name, len(f.commits), tt.commits, err, p.Status())
		}
	}
	// The last one, before the service ends, waits for nobody.
	grow(t, l, 1, "a")
	if err := p.Once(t.Context()); err != nil || len(f.commits) != 5 {
		t.Errorf("%d commits, %v", len(f.commits), err)
	}
}

func TestReadMe(t *testing.T) {
	l := logtest.New(t)
	f, p := setup(t, l)
	f.readme = []byte("# trace\n") // as Gitea makes it with the repository
	p.Key = logtest.VerifierKey()
	for range 2 {
		grow(t, l, 1, "a")
		if err := p.Once(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if !strings.Contains(string(f.readme), logtest.VerifierKey()) || !strings.Contains(string(f.readme), "Controlepunten") || len(f.commits) != 2 {
		t.Errorf("after %d commits the README says:\n%s", len(f.commits), f.readme)
	}
	// Somebody's correction isn't fought over.
	f.readme = []byte("corrected")
	grow(t, l, 1, "a")
	if err := p.Once(t.Context()); err != nil || string(f.readme) != "corrected" {
		t.Errorf("%v, README %q", err, f.readme)
	}
}

// What was published is taken out of the repository: that is told, and put right.
func TestLost(t *testing.T) {
	tests := []struct {
		name string
		back func(f *forge, older []byte)
	}{
		{"an older one is there", func(f *forge, older []byte) { f.content = older }},
		{"the repository was made anew", func(f *forge, _ []byte) { f.content = nil }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := logtest.New(t)
			f, p := setup(t, l)
			grow(t, l, 3, "a")
			if err := p.Once(t.Context()); err != nil {
				t.Fatal(err)
			}
			older := f.content
			grow(t, l, 3, "a")
			if err := p.Once(t.Context()); err != nil || p.Status().Lost != 0 {
				t.Fatalf("%v, status %+v", err, p.Status())
			}
			tt.back(f, older)
			if err := p.Once(t.Context()); err != nil || p.Status().Lost != 1 || p.Status().Size != 6 {
				t.Errorf("%v, status %+v", err, p.Status())
			}
			if size, _, err := log.ParseCheckpoint(f.content, logtest.Verifier(t)); err != nil || size != 6 {
				t.Errorf("the repository holds a checkpoint of %d, %v", size, err)
			}
			if err := p.Once(t.Context()); err != nil || p.Status().Lost != 1 {
				t.Errorf("told again: %v, status %+v", err, p.Status())
			}
		})
	}
}

// Whoever has the database file in hand may write another history with valid signatures. What was
// published shows it, and stays.
func TestRewrittenHistoryIsNotPublished(t *testing.T) {
	ctx := context.Background()
	tests := []struct {
		name  string
		other int // records of the other history
		spoil func(f *forge)
		want  string
	}{
		{"another history of the same length", 10, nil, "different roots"},
		{"a longer one", 20, nil, "aren't those that were published"},
		{"a shorter one", 5, nil, "10 records were published and the log has 5"},
		{"a checkpoint that this log never signed", 10, func(f *forge) { f.content[len(f.content)-8] ^= 1 }, "isn't signed by this log"},
		{"no checkpoint at all", 10, func(f *forge) { f.content = []byte("hello\n") }, "isn't signed by this log"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := logtest.New(t)
			f, p := setup(t, l)
			grow(t, l, 10, "honest")
			if err := p.Once(ctx); err != nil {
				t.Fatal(err)
			}
			other := logtest.New(t, logtest.At(filepath.Join(t.TempDir(), "other.db")))
			grow(t, other, tt.other, "forger")
			if tt.spoil != nil {
				tt.spoil(f)
			}
			before := string(f.content)
			p.Log = other
			err := p.Once(ctx)
			if !errors.Is(err, publish.ErrRewritten) || !strings.Contains(err.Error(), tt.want) || !p.Status().Rewritten {
				t.Errorf("got %v, status %+v", err, p.Status())
			}
			if string(f.content) != before || len(f.commits) != 1 {
				t.Error("what was published was overwritten")
			}
		})
	}
}

func TestRunPublishesUntilItEnds(t *testing.T) {
	l := logtest.New(t)
	f, p := setup(t, l)
	p.Every = 5 * time.Millisecond
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- p.Run(ctx) }()
	for want := 1; want <= 3; want++ {
		grow(t, l, 1, "a")
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
			f.mu.Lock()
			n := len(f.commits)
			f.mu.Unlock()
			if n >= want {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%d commits, want %d; status %+v", n, want, p.Status())
			}
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
