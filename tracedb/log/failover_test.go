package log_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/log"
	"github.com/druppie/druppie-up/tracedb/log/logtest"
	"github.com/druppie/druppie-up/tracedb/log/postgres/server"
)

// cluster plays a primary and its standby: two databases, of which one at a time has the name that the
// logs know.
type cluster struct {
	t    *testing.T
	s    *server.Server
	name string
}

func (c cluster) exec(statements ...string) {
	c.t.Helper()
	conn, err := pgx.Connect(c.t.Context(), c.s.DSN("postgres"))
	if err != nil {
		c.t.Fatal(err)
	}
	defer conn.Close(context.Background())
	for _, statement := range statements {
		if _, err := conn.Exec(c.t.Context(), statement); err != nil {
			c.t.Fatalf("%s: %v", statement, err)
		}
	}
}

// alone does something to a database that nobody is connected to.
func (c cluster) alone(name string, statements ...string) {
	c.t.Helper()
	end := fmt.Sprintf(`DO $$ BEGIN
		WHILE EXISTS (SELECT 1 FROM pg_stat_activity WHERE datname = '%[1]s') LOOP
			PERFORM pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '%[1]s'; PERFORM pg_sleep(0.01); PERFORM pg_stat_clear_snapshot();
		END LOOP; END $$`, name)
	c.exec(append([]string{"ALTER DATABASE " + name + " ALLOW_CONNECTIONS false", end}, statements...)...)
}

// copies is a standby that is up to date now, and no more later.
func (c cluster) copies() {
	c.t.Helper()
	c.alone(c.name, "CREATE DATABASE standby TEMPLATE "+c.name, "ALTER DATABASE "+c.name+" ALLOW_CONNECTIONS true")
}

// fails lets the standby take the primary's place.
func (c cluster) fails() {
	c.t.Helper()
	c.alone(c.name, "ALTER DATABASE "+c.name+" RENAME TO gone", "ALTER DATABASE standby RENAME TO "+c.name)
}

// back makes the primary what it was.
func (c cluster) back() {
	c.t.Helper()
	c.alone(c.name, "DROP DATABASE "+c.name, "ALTER DATABASE gone RENAME TO "+c.name, "ALTER DATABASE "+c.name+" ALLOW_CONNECTIONS true")
}

// until tries until the database is there again, and returns what it said then.
func until(t *testing.T, over func(error) bool, try func() error) error {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		if err := try(); over(err) || time.Now().After(deadline) {
			return err
		}
	}
}

// testFailover lets a standby take over that lacks the last record: nothing is written to it and nothing
// signed, whatever others have written meanwhile, until the record is back.
func testFailover(t *testing.T, e engine, s *server.Server) {
	for _, tt := range []struct {
		name   string
		others int // records that another replica writes to the standby
	}{{"shorter", 0}, {"as long", 1}, {"longer", 3}} {
		t.Run(tt.name, func(t *testing.T) {
			dsn := e.empty(t)
			u, err := url.Parse(dsn)
			if err != nil {
				t.Fatal(err)
			}
			c := cluster{t, s, strings.TrimPrefix(u.Path, "/")}
			l := e.openAt(t, dsn)
			add(t, l, drafts("a", 3)...)
			c.copies()
			took := func(id string) error {
				_, err := l.Append(t.Context(), "writer", []log.Prepared{draft(id)})
				return err
			}
			fine := func(err error) bool { return err == nil }
			if err := until(t, fine, func() error { return took("lost") }); err != nil {
				t.Fatal(err)
			}
			c.fails()
			// Whoever starts now can't know better.
			other := e.openAt(t, dsn)
			if tt.others > 0 {
				add(t, other, drafts("other", tt.others)...)
			}
			lost := func(err error) bool {
				return err != nil && strings.Contains(err.Error(), "lacks records that were acknowledged")
			}
			for name, try := range map[string]func() error{
				"append":     func() error { return took("new") },
				"again":      func() error { return took("lost") },
				"checkpoint": func() error { _, err := l.Checkpoint(t.Context()); return err },
			} {
				if err := until(t, lost, try); !lost(err) || !errors.Is(err, tracedb.ErrUnavailable) {
					t.Errorf("%s: %v", name, err)
				}
			}
			if size := checkpoint(t, other).Size; size != int64(3+tt.others) {
				t.Errorf("there are %d records on the standby, want %d", size, 3+tt.others)
			}
			sound(t, other)
			c.back()
			if err := until(t, fine, func() error { return took("new") }); err != nil {
				t.Errorf("append to the server that is back: %v", err)
			}
			// Those who read have connections of their own, to a server that was gone for a while.
			var report log.Report
			if err := until(t, fine, func() (err error) { report, err = l.Check(t.Context()); return err }); err != nil || !report.OK() || report.Size != 5 {
				t.Errorf("the server that is back has %d records, want 5; %v %v", report.Size, report.Faults, err)
			}
		})
	}
}

// wire is a connection to the server that can go dead: then it swallows what it is given, and closes
// nothing.
type wire struct {
	mu     sync.Mutex
	dead   bool
	waits  string // the wire goes dead when the client says this
	opened []net.Conn
}

// dies lets the wire go dead when the client says something; at once if that is nothing.
func (w *wire) dies(when string) { w.mu.Lock(); w.dead, w.waits = when == "", when; w.mu.Unlock() }

func (w *wire) lives() { w.mu.Lock(); w.dead, w.waits = false, ""; w.mu.Unlock() }

// carries says whether the bytes come through.
func (w *wire) carries(b []byte) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.waits != "" && bytes.Contains(b, []byte(w.waits)) {
		w.dead = true
	}
	return !w.dead
}

func (w *wire) carry(to io.Writer, from io.Reader) {
	b := make([]byte, 64<<10)
	for {
		n, err := from.Read(b)
		if err != nil {
			return
		}
		if w.carries(b[:n]) {
			if _, err := to.Write(b[:n]); err != nil {
				return
			}
		}
	}
}

// listen carries connections to the server's socket.
func (w *wire) listen(t *testing.T, socket string) (address string) {
	t.Helper()
	on, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		on.Close()
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, c := range w.opened {
			c.Close()
		}
	})
	go func() {
		for {
			client, err := on.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("unix", socket)
			if err != nil {
				client.Close()
				continue
			}
			w.mu.Lock()
			w.opened = append(w.opened, client, server)
			w.mu.Unlock()
			go w.carry(server, client)
			go w.carry(client, server)
		}
	}()
	return on.Addr().String()
}

// testSilent lets the connection to the server go dead without being closed, as a firewall that forgets
// it does: appending ends and says so, goes on when there is a connection, and closing waits for nobody.
func testSilent(t *testing.T, e engine, _ *server.Server) {
	const silence = 2 * time.Second
	open := func(t *testing.T) (*log.Log, *wire) {
		u, err := url.Parse(e.empty(t))
		if err != nil {
			t.Fatal(err)
		}
		w := &wire{}
		q := u.Query()
		u.Host = w.listen(t, q.Get("host")+"/.s.PGSQL.5432")
		q.Del("host")
		q.Set("sslmode", "disable")
		q.Set("tcp_user_timeout", fmt.Sprint(silence.Milliseconds()))
		q.Set("idle_in_transaction_session_timeout", "1s")
		u.RawQuery = q.Encode()
		l, err := log.Open(t.Context(), log.Options{DSN: u.String(), Origin: logtest.Origin, Signer: logtest.Signer(t), Verifier: logtest.Verifier(t)})
		if err != nil {
			t.Fatal(err)
		}
		return l, w
	}
	// soon is much longer than anything here takes, and far from for ever.
	soon := func(t *testing.T, what string, do func() error) error {
		t.Helper()
		done := make(chan error, 1)
		go func() { done <- do() }()
		select {
		case err := <-done:
			return err
		case <-time.After(20*silence + time.Minute):
			t.Fatalf("%s: still waiting", what)
			return nil
		}
	}
	for _, tt := range []struct {
		name, when, id string
		answered       bool
	}{{"at once", "", "b", false}, {"at the commit", "commit", "b", false}, {"at the end of what changes nothing", "rollback", "a", true}} {
		t.Run(tt.name, func(t *testing.T) {
			l, w := open(t)
			took := func(id string) error {
				_, err := l.Append(t.Context(), "writer", []log.Prepared{draft(id)})
				return err
			}
			fine := func(err error) bool { return err == nil }
			if err := until(t, fine, func() error { return took("a") }); err != nil {
				t.Fatal(err)
			}
			w.dies(tt.when)
			if err := soon(t, "append", func() error { return took(tt.id) }); fine(err) != tt.answered || err != nil && !errors.Is(err, tracedb.ErrUnavailable) {
				t.Errorf("append over a dead connection: %v", err)
			}
			w.lives()
			if err := until(t, fine, func() error { return took("b") }); err != nil {
				t.Fatalf("append over a new connection: %v", err)
			}
			sound(t, l)
			following, err := l.Follow(t.Context(), 0)
			if err != nil {
				t.Fatal(err)
			}
			w.dies("")
			if _, err := l.Checkpoint(t.Context()); !errors.Is(err, tracedb.ErrUnavailable) {
				t.Errorf("checkpoint over a dead connection: %v", err)
			}
			if err := soon(t, "close", l.Close); err != nil {
				t.Errorf("close: %v", err)
			}
			_ = soon(t, "the end of following", func() error {
				for range following {
				}
				return nil
			})
		})
	}
}
