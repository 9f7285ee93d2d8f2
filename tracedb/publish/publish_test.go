package publish_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/log"
	"github.com/druppie/druppie-up/tracedb/log/logtest"
	"github.com/druppie/druppie-up/tracedb/publish"
	"github.com/druppie/druppie-up/tracedb/publish/publishtest"
)

func setup(t *testing.T, l publish.Log) (*publishtest.Gitea, *publish.Publisher) {
	t.Helper()
	f := publishtest.NewGitea(t)
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	return f, &publish.Publisher{
		Log: l, Verifier: logtest.Verifier(t), URL: server.URL, HTTP: server.Client(),
		Token: func() (string, error) { return publishtest.Token, nil }, Repository: publishtest.Repository,
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
		{"Gitea is away", func() { grow(t, l, 1, "a"); f.Down = true }, 2, "checkpoint of druppie/trace"},
		{"and back", func() { f.Down = false }, 3, ""},
		{"the repository is gone", func() { f.Hidden = true }, 3, "find the repository druppie/trace"},
		{"and there again", func() { f.Hidden = false }, 3, ""},
	}
	for _, s := range steps {
		s.do()
		err := p.Once(ctx)
		if (err == nil) != (s.wantErr == "") || err != nil && !strings.Contains(err.Error(), s.wantErr) {
			t.Fatalf("%s: %v", s.name, err)
		}
		if len(f.Commits) != s.commits || (p.Status().LastError == "") != (err == nil) || p.Status().Rewritten {
			t.Fatalf("%s: %d commits %v, status %+v", s.name, len(f.Commits), f.Commits, p.Status())
		}
	}
	cp, err := tracedb.ParseCheckpoint(f.Content, logtest.Verifier(t))
	if err != nil || cp.Size != l.Size() || p.Status().Size != cp.Size || p.Status().Published != 3 {
		t.Errorf("published %d of %d records, status %+v, %v", cp.Size, l.Size(), p.Status(), err)
	}
	if f.Commits[0] != "Checkpoint at 3 records" {
		t.Errorf("commits %v", f.Commits)
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
	f.OnRead = func() { grow(t, l, 1, "a") }
	if err := other.Once(t.Context()); err != nil || other.Status().Rewritten || other.Status().Size != 5 {
		t.Fatalf("%v, status %+v", err, other.Status())
	}
	for _, tt := range []struct {
		name    string
		age     time.Duration // of what is there
		commits int
	}{{"young", 0, 2}, {"young, by a clock that is a little ahead", -5 * time.Second, 2}, {"old", time.Hour, 3}, {"from a time to come", -time.Hour, 4}} {
		grow(t, l, 1, "a")
		f.Dated = time.Now().Add(-tt.age)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		before := p.Status().LastSuccess
		go func() { done <- p.Run(ctx) }()
		for p.Status().LastSuccess.Equal(before) {
			time.Sleep(time.Millisecond)
		}
		cancel()
		if err := <-done; err != nil || len(f.Commits) != tt.commits {
			t.Errorf("%s: %d commits, want %d; %v, status %+v", tt.name, len(f.Commits), tt.commits, err, p.Status())
		}
	}
	// The last one, before the service ends, waits for nobody.
	grow(t, l, 1, "a")
	if err := p.Once(t.Context()); err != nil || len(f.Commits) != 5 {
		t.Errorf("%d commits, %v", len(f.Commits), err)
	}
}

// TestTogether lets two replicas commit at once: who comes second looks again, and has nothing to complain
// about.
func TestTogether(t *testing.T) {
	l := logtest.New(t)
	f, p := setup(t, l)
	note := func() []byte {
		cp, err := l.Checkpoint(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return cp.Note
	}
	for _, tt := range []struct {
		name    string
		other   func() // what the other replica does when this one has looked
		commits int
	}{
		{"the first checkpoint", func() { f.Content = note() }, 0},
		{"a later one", func() { f.Content = note() }, 0},
		{"one that is behind", func() { f.Content = note(); grow(t, l, 1, "b") }, 1},
	} {
		grow(t, l, 1, "a")
		f.OnRead = tt.other
		if err := p.Once(t.Context()); err != nil || p.Status().LastError != "" || p.Status().Size != l.Size() || len(f.Commits) != tt.commits {
			t.Errorf("%s: %d commits, %v, status %+v", tt.name, len(f.Commits), err, p.Status())
		}
	}
}

func TestReadMe(t *testing.T) {
	l := logtest.New(t)
	f, p := setup(t, l)
	f.Readme = []byte("# trace\n") // as Gitea makes it with the repository
	p.Key = logtest.VerifierKey()
	for range 2 {
		grow(t, l, 1, "a")
		if err := p.Once(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if !strings.Contains(string(f.Readme), logtest.VerifierKey()) || !strings.Contains(string(f.Readme), "Controlepunten") || len(f.Commits) != 2 {
		t.Errorf("after %d commits the README says:\n%s", len(f.Commits), f.Readme)
	}
	// Somebody's correction isn't fought over.
	f.Readme = []byte("corrected")
	grow(t, l, 1, "a")
	if err := p.Once(t.Context()); err != nil || string(f.Readme) != "corrected" {
		t.Errorf("%v, README %q", err, f.Readme)
	}
}

// What was published is taken out of the repository: that is told, and put right.
func TestLost(t *testing.T) {
	tests := []struct {
		name string
		back func(f *publishtest.Gitea, older []byte)
	}{
		{"an older one is there", func(f *publishtest.Gitea, older []byte) { f.Content = older }},
		{"the repository was made anew", func(f *publishtest.Gitea, _ []byte) { f.Content = nil }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := logtest.New(t)
			f, p := setup(t, l)
			grow(t, l, 3, "a")
			if err := p.Once(t.Context()); err != nil {
				t.Fatal(err)
			}
			older := f.Content
			grow(t, l, 3, "a")
			if err := p.Once(t.Context()); err != nil || p.Status().Lost != 0 {
				t.Fatalf("%v, status %+v", err, p.Status())
			}
			tt.back(f, older)
			if err := p.Once(t.Context()); err != nil || p.Status().Lost != 1 || p.Status().Size != 6 {
				t.Errorf("%v, status %+v", err, p.Status())
			}
			if cp, err := tracedb.ParseCheckpoint(f.Content, logtest.Verifier(t)); err != nil || cp.Size != 6 {
				t.Errorf("the repository holds a checkpoint of %d, %v", cp.Size, err)
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
		spoil func(f *publishtest.Gitea)
		want  string
	}{
		{"another history of the same length", 10, nil, "different roots"},
		{"a longer one", 20, nil, "aren't those that were published"},
		{"a shorter one", 5, nil, "10 records were published and the log has 5"},
		{"a checkpoint that this log never signed", 10, func(f *publishtest.Gitea) { f.Content[len(f.Content)-8] ^= 1 }, "isn't signed by this log"},
		{"no checkpoint at all", 10, func(f *publishtest.Gitea) { f.Content = []byte("hello\n") }, "isn't signed by this log"},
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
			before := string(f.Content)
			p.Log = other
			err := p.Once(ctx)
			if !errors.Is(err, publish.ErrRewritten) || !strings.Contains(err.Error(), tt.want) || !p.Status().Rewritten {
				t.Errorf("got %v, status %+v", err, p.Status())
			}
			if string(f.Content) != before || len(f.Commits) != 1 {
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
			_, n := f.Checkpoint()
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
