package log_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/log"
	"github.com/druppie/druppie-up/tracedb/log/logtest"
)

// engine is a kind of database that the suite runs on.
type engine struct {
	name string
	// empty makes a database without a log and returns its DSN.
	empty func(t *testing.T) string
	// exec runs statements as somebody who has the database in hand.
	exec func(t *testing.T, dsn, statements string) error
	// unguard are the statements that take a table's triggers away.
	unguard func(table string) string
}

func (e engine) open(t *testing.T, options ...logtest.Option) *log.Log {
	t.Helper()
	return e.openAt(t, e.empty(t), options...)
}

func (e engine) openAt(t *testing.T, dsn string, options ...logtest.Option) *log.Log {
	t.Helper()
	return logtest.New(t, append([]logtest.Option{logtest.With(func(o *log.Options) { o.DSN = dsn })}, options...)...)
}

// suite is what must hold on every engine.
var suite = []struct {
	name string
	run  func(t *testing.T, e engine)
}{
	{"Receipts", testReceipts},
	{"Tree", testTree},
	{"Tiles", testTiles},
	{"Short", testShort},
	{"Once", testOnce},
	{"AllOrNothing", testAllOrNothing},
	{"Facts", testFacts},
	{"Refused", testRefused},
	{"Concurrent", testConcurrent},
	{"Clock", testClock},
	{"Search", testSearch},
	{"Read", testRead},
	{"Follow", testFollow},
	{"AppendOnly", testAppendOnly},
	{"Tampered", testTampered},
	{"Rewritten", testRewritten},
	{"Dispose", testDispose},
	{"DisposeOn", testDisposeOn},
	{"Rebuild", testRebuild},
	{"Reopen", testReopen},
	{"Names", testNames},
	{"Killed", testKilled},
	{"Closed", testClosed},
}

func TestSQLite(t *testing.T) {
	e := engine{
		name:  "sqlite",
		empty: func(t *testing.T) string { return "sqlite:" + filepath.Join(t.TempDir(), "trace.db") },
		exec: func(t *testing.T, dsn, statements string) error {
			db, err := sql.Open("sqlite", strings.TrimPrefix(dsn, "sqlite:")+"?_pragma=busy_timeout(10000)")
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			_, err = db.ExecContext(t.Context(), statements)
			return err
		},
		unguard: func(table string) string {
			var out string
			for _, trigger := range []string{"update", "delete", "replace"} {
				out += fmt.Sprintf("DROP TRIGGER IF EXISTS %s_%s;", table, trigger)
			}
			return out
		},
	}
	for _, tt := range suite {
		t.Run(tt.name, func(t *testing.T) { tt.run(t, e) })
	}
}

func TestPostgres(t *testing.T) {
	// What a process that is killed has written is in the page cache: only a power cut needs more.
	s := logtest.Postgres(t, "fsync = off")
	e := engine{
		name: "postgres",
		empty: func(t *testing.T) string {
			dsn, err := s.Database(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return dsn
		},
		exec: func(t *testing.T, dsn, statements string) error {
			conn, err := pgx.Connect(t.Context(), dsn)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close(context.Background())
			_, err = conn.Exec(t.Context(), statements)
			return err
		},
		unguard: func(table string) string { return "ALTER TABLE " + table + " DISABLE TRIGGER USER;" },
	}
	for _, tt := range suite {
		t.Run(tt.name, func(t *testing.T) { tt.run(t, e) })
	}
	for _, tt := range replicas {
		t.Run(tt.name, func(t *testing.T) { tt.run(t, e, s) })
	}
}

// change is something about a draft.
type change func(*log.Prepared)

func about(kind tracedb.RefType, value string) change {
	return func(p *log.Prepared) { p.Refs = append(p.Refs, tracedb.Ref{Type: kind, Value: value}) }
}

func kind(k tracedb.Kind) change       { return func(p *log.Prepared) { p.Kind = k } }
func outcome(o tracedb.Outcome) change { return func(p *log.Prepared) { p.Outcome = o } }
func actor(name string) change         { return func(p *log.Prepared) { p.Actor = name } }
func payload(json string) change       { return func(p *log.Prepared) { p.Payload = []byte(json) } }
func unique(digest string) change      { return func(p *log.Prepared) { p.Unique = digest } }

func fact(table, key, value string, bound bool) change {
	return func(p *log.Prepared) {
		p.Facts = append(p.Facts, tracedb.Fact{Table: table, Key: key, Value: json.RawMessage(value), Bound: bound})
	}
}

// draft is a commit by anna.
func draft(id string, changes ...change) log.Prepared {
	p := log.Prepared{Draft: tracedb.Draft{
		ID: id, Kind: tracedb.KindCommit, Actor: "anna", At: time.Date(2026, 11, 1, 9, 0, 0, 0, time.UTC),
		Payload: json.RawMessage(fmt.Sprintf(`{"said": %q}`, "payload of "+id)),
	}}
	for _, c := range changes {
		c(&p)
	}
	return p
}

// drafts are n commits.
func drafts(prefix string, n int, changes ...change) []log.Prepared {
	out := make([]log.Prepared, n)
	for i := range out {
		out[i] = draft(fmt.Sprintf("%s-%d", prefix, i), changes...)
	}
	return out
}

func add(t *testing.T, l *log.Log, drafts ...log.Prepared) []tracedb.Receipt {
	t.Helper()
	receipts, err := l.Append(t.Context(), "writer", drafts)
	if err != nil {
		t.Fatal(err)
	}
	return receipts
}

// sound fails the test unless Check finds nothing.
func sound(t *testing.T, l *log.Log, checkpoints ...[]byte) log.Report {
	t.Helper()
	report, err := l.Check(t.Context(), checkpoints...)
	if err != nil {
		t.Fatal(err)
	}
	if !report.OK() {
		t.Fatalf("the log isn't sound: %v", report.Faults)
	}
	return report
}

func checkpoint(t *testing.T, l *log.Log) tracedb.Checkpoint {
	t.Helper()
	cp, err := l.Checkpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return cp
}

// reference is the same tree as tlog keeps it by itself.
type reference struct{ stored []tlog.Hash }

func (r *reference) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		out[i] = r.stored[x]
	}
	return out, nil
}

func (r *reference) add(t *testing.T, n int64, leaf tlog.Hash) {
	t.Helper()
	hashes, err := tlog.StoredHashesForRecordHash(n, leaf, r)
	if err != nil {
		t.Fatal(err)
	}
	r.stored = append(r.stored, hashes...)
}

func (r *reference) root(t *testing.T, n int64) tlog.Hash {
	t.Helper()
	root, err := tlog.TreeHash(n, r)
	if err != nil {
		t.Fatal(err)
	}
	return root
}

func parseHashes(t *testing.T, in []string) []tlog.Hash {
	t.Helper()
	out := make([]tlog.Hash, len(in))
	for i, s := range in {
		h, err := tlog.ParseHash(s)
		if err != nil {
			t.Fatal(err)
		}
		out[i] = h
	}
	return out
}

// TestLooksUp counts what PostgreSQL reads to find whether ids are there already, in a database that grew
// and that it has no statistics of: not more for each record as there are more.
func TestLooksUp(t *testing.T) {
	s := logtest.Postgres(t, "fsync = off", "autovacuum = off")
	dsn, err := s.Database(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	l := logtest.New(t, logtest.With(func(o *log.Options) { o.DSN = dsn }))
	const batches, size = 30, 100
	for i := range batches {
		var drafts []log.Prepared
		for j := range size {
			id := fmt.Sprintf("%d-%d", i, j)
			drafts = append(drafts, draft(id, payload(`{}`), unique("att-"+id), about(tracedb.RefCommit, id)))
		}
		add(t, l, drafts...)
	}
	// Those who leave report what they read.
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	for _, index := range []string{"records_id", "attestations_pkey"} {
		var scans, read int64
		if err := conn.QueryRow(t.Context(), "SELECT idx_scan, idx_tup_read FROM pg_stat_user_indexes WHERE indexrelname = $1", index).Scan(&scans, &read); err != nil {
			t.Fatal(err)
		}
		if scans < batches*size || read > batches*size {
			t.Errorf("%s: %d questions for %d records read %d rows", index, scans, batches*size, read)
		}
	}
}
