package log_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/log"
	"github.com/druppie/druppie-up/tracedb/log/logtest"
	"github.com/druppie/druppie-up/tracedb/log/postgres"
	"github.com/druppie/druppie-up/tracedb/log/postgres/server"
)

// The child of testKilled is this program again, told by its environment which log to write to and
// with which key.
const (
	childDSN   = "TRACEDB_TEST_CHILD_DSN"
	childKey   = "TRACEDB_TEST_CHILD_KEY"
	childRound = "TRACEDB_TEST_CHILD_ROUND"
)

func TestMain(m *testing.M) {
	if dsn := os.Getenv(childDSN); dsn != "" {
		if err := child(dsn); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		return
	}
	m.Run()
}

// child appends until it is killed, and says what was acknowledged.
func child(dsn string) error {
	signer, err := note.NewSigner(os.Getenv(childKey))
	if err != nil {
		return err
	}
	l, err := log.Open(context.Background(), log.Options{DSN: dsn, Origin: logtest.Origin, Signer: signer})
	if err != nil {
		return err
	}
	var out sync.Mutex
	errs := make(chan error)
	for w := range 4 {
		go func() {
			for i := 0; ; i++ {
				id := fmt.Sprintf("%s-%d-%d", os.Getenv(childRound), w, i)
				receipts, err := l.Append(context.Background(), "child", []log.Prepared{draft(id, about(tracedb.RefCommit, "c")), draft(id+"+", unique(id))})
				if err != nil {
					errs <- err
					return
				}
				out.Lock()
				for j, r := range receipts {
					fmt.Printf("%s%s %d %s\n", id, []string{"", "+"}[j], r.Seq, r.Leaf)
				}
				out.Unlock()
			}
		}()
	}
	return <-errs
}

// acknowledged is a receipt as the child printed it.
type acknowledged struct {
	id   string
	seq  int64
	leaf string
}

// testKilled kills a process that appends under load, and finds all that it was promised.
func testKilled(t *testing.T, e engine) {
	dsn := e.empty(t)
	if err := e.openAt(t, dsn).Close(); err != nil {
		t.Fatal(err)
	}
	var seen []acknowledged
	var before [][]byte
	for round := range 3 {
		seen = append(seen, killChild(t, dsn, round, 150+100*round)...)
		l := e.openAt(t, dsn)
		before = append(before, checkpoint(t, l).Note)
		found(t, l, seen)
		sound(t, l, before...)
		add(t, l, draft(fmt.Sprint("after round ", round)))
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// killChild starts the child, reads so many of its receipts, and kills it.
func killChild(t *testing.T, dsn string, round, receipts int) []acknowledged {
	t.Helper()
	cmd, lines := startChild(t, dsn, round)
	var out []acknowledged
	for lines.Scan() {
		var a acknowledged
		if _, err := fmt.Sscanf(lines.Text(), "%s %d %s", &a.id, &a.seq, &a.leaf); err != nil {
			break // the last line may be cut off
		}
		if out = append(out, a); len(out) == receipts {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); err == nil || len(out) < receipts {
		t.Fatalf("the child ended by itself after %d receipts: %v", len(out), err)
	}
	return out
}

// startChild starts the child, and gives the lines that it says.
func startChild(t *testing.T, dsn string, round int) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childDSN+"="+dsn, childKey+"="+logtest.SignerKey(), fmt.Sprint(childRound, "=", round))
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, bufio.NewScanner(stdout)
}

// found fails the test unless everything that was acknowledged is where it was said to be.
func found(t *testing.T, l *log.Log, seen []acknowledged) {
	t.Helper()
	lost := 0
	for _, a := range seen {
		entries, err := l.Entries(t.Context(), a.seq)
		if err != nil || entries[0].ID != a.id || entries[0].Hash().String() != a.leaf {
			lost++
			if lost < 4 {
				t.Errorf("%+v was acknowledged; there is %v, %v", a, entries, err)
			}
		}
	}
	if lost > 0 {
		t.Fatalf("%d of %d acknowledged records were lost", lost, len(seen))
	}
}

// replicas is what must hold when several programs serve one PostgreSQL database.
var replicas = []struct {
	name string
	run  func(t *testing.T, e engine, s *server.Server)
}{
	{"Replicas", testReplicas},
	{"Disposers", testDisposers},
	{"Full", testFullPostgres},
	{"Held", testHeld},
	{"ServerKilled", testServerKilled},
	{"Guards", testGuards},
	{"Failover", testFailover},
	{"Silent", testSilent},
}

// testReplicas lets three logs on one database start and append at once.
func testReplicas(t *testing.T, e engine, _ *server.Server) {
	dsn := e.empty(t)
	logs := make([]*log.Log, 3)
	var wait sync.WaitGroup
	for i := range logs {
		wait.Go(func() {
			var err error
			if logs[i], err = log.Open(t.Context(), log.Options{DSN: dsn, Origin: logtest.Origin, Signer: logtest.Signer(t), Verifier: logtest.Verifier(t)}); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if t.Failed() {
		return
	}
	following, err := logs[0].Follow(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	const each = 60
	for i, l := range logs {
		defer l.Close()
		wait.Go(func() {
			for n := range each {
				receipts, err := l.Append(t.Context(), fmt.Sprint("replica-", i), drafts(fmt.Sprint(n), 5))
				if err != nil {
					t.Error(err)
					return
				}
				// What one replica has acknowledged, any other's checkpoint covers.
				cp, err := logs[(i+1)%3].Checkpoint(t.Context())
				if err != nil || cp.Size <= receipts[4].Seq {
					t.Errorf("record %d isn't in another replica's checkpoint of %d: %v", receipts[4].Seq, cp.Size, err)
				}
				// The same from all three: one takes it, the others know.
				if _, err := l.Append(t.Context(), "all", []log.Prepared{draft(fmt.Sprint("shared-", n))}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
	if t.Failed() {
		return // nobody would come to the end of what is followed
	}
	want := int64(3*5*each + each)
	for seq := range want {
		if e := <-following; e.Seq != seq {
			t.Fatalf("followed to %d, want %d", e.Seq, seq)
		}
	}
	for _, l := range logs {
		if cp := checkpoint(t, l); cp.Size != want {
			t.Errorf("a replica sees %d records, want %d", cp.Size, want)
		}
	}
	sound(t, logs[1])
}

// testDisposers lets two replicas dispose at once of payloads that both find to be due, and one of which
// finds more.
func testDisposers(t *testing.T, e engine, _ *server.Server) {
	now := time.Date(2019, 1, 1, 0, 0, 0, 0, time.UTC)
	dsn := e.empty(t)
	l := e.openAt(t, dsn, logtest.Now(func() time.Time { return now }))
	add(t, l, drafts("a", 300)...)
	now = now.Add(time.Hour)
	add(t, l, drafts("b", 200)...)
	later := now.Add(tracedb.Term)
	now = later
	add(t, l, draft("now"))
	ends := []time.Time{later.Add(-time.Minute), later.Add(time.Minute)} // the second finds b, too
	replicas := []*log.Log{e.openAt(t, dsn, logtest.Now(func() time.Time { return later })), e.openAt(t, dsn, logtest.Now(func() time.Time { return later }))}

	// Nobody can write until both have found what is due.
	holding, err := postgres.Open(t.Context(), dsn, false)
	if err != nil {
		t.Fatal(err)
	}
	defer holding.Close()
	tx, err := holding.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	counts := make([]int, 2)
	var wait sync.WaitGroup
	for i, l := range replicas {
		wait.Go(func() {
			receipts, err := l.Dispose(t.Context(), ends[i])
			if err != nil {
				t.Error(err)
			}
			counts[i] = len(receipts)
		})
	}
	for waiting := 0; waiting < 2; {
		if err := holding.Read.QueryRowContext(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'").Scan(&waiting); err != nil {
			t.Fatal(err)
		}
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	wait.Wait()
	// Whoever found more came first, or second with the rest.
	if n := counts[0] + counts[1]; n < 1 || n > 2 || counts[1] != 1 {
		t.Errorf("records of disposal: %v", counts)
	}
	if report := sound(t, replicas[0]); report.Disposed != 500 {
		t.Errorf("%d payloads are gone, want 500", report.Disposed)
	}
}

// testServerKilled kills the database server under load: what was acknowledged is there when it is back,
// and the log goes on by itself.
func testServerKilled(t *testing.T, e engine, s *server.Server) {
	l := e.open(t)
	var mu sync.Mutex
	var seen []acknowledged
	refused := 0
	var wait sync.WaitGroup
	stop := make(chan struct{})
	for w := range 4 {
		wait.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				id := fmt.Sprintf("%d-%d", w, i)
				receipts, err := l.Append(t.Context(), "writer", []log.Prepared{draft(id)})
				mu.Lock()
				if err != nil {
					refused++
				} else {
					seen = append(seen, acknowledged{id, receipts[0].Seq, receipts[0].Leaf})
				}
				mu.Unlock()
			}
		})
	}
	reach := func(n int) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
			mu.Lock()
			have := len(seen)
			mu.Unlock()
			if have >= n {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("only %d records were acknowledged", have)
			}
		}
	}
	reach(200)
	following, err := l.Follow(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Checkpoint(t.Context()); !errors.Is(err, tracedb.ErrUnavailable) {
		t.Errorf("checkpoint without a server: %v", err)
	}
	if err := s.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	n := len(seen)
	mu.Unlock()
	reach(n + 200)
	close(stop)
	wait.Wait()
	found(t, l, seen)
	sound(t, l)
	for seq := range l.Size() {
		if e, ok := <-following; !ok || e.Seq != seq {
			t.Fatalf("who follows came to %d, %t", seq, ok)
		}
	}
	if refused == 0 {
		t.Error("nobody noticed that the server was gone")
	}
}

// testHeld lets a replica hang in the middle of a transaction: the others say so, and go on when the
// server has ended it.
func testHeld(t *testing.T, e engine, _ *server.Server) {
	dsn := e.empty(t)
	l := e.openAt(t, dsn+"&lock_timeout=200ms")
	add(t, l, draft("a"))
	hanging, err := postgres.Open(t.Context(), dsn+"&idle_in_transaction_session_timeout=2s", false)
	if err != nil {
		t.Fatal(err)
	}
	defer hanging.Close()
	tx, err := hanging.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	if _, err := l.Append(t.Context(), "writer", drafts("b", 1)); !errors.Is(err, tracedb.ErrUnavailable) {
		t.Errorf("append while another replica hangs: %v", err)
	}
	if _, err := l.Range(t.Context(), 0, 1); err != nil {
		t.Errorf("read while another replica hangs: %v", err)
	}
	for deadline := time.Now().Add(time.Minute); ; {
		if _, err = l.Append(t.Context(), "writer", drafts("b", 1)); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("append after the server ended what hung: %v", err)
		}
	}
	if _, err := tx.ExecContext(t.Context(), "SELECT 1"); err == nil {
		t.Error("who hung goes on")
	}
	sound(t, l)
}
