package main

import (
	"bytes"
	"database/sql"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/log"
	"github.com/druppie/druppie-up/tracedb/log/logtest"
)

// TestBench runs every measurement for a moment, to see that each prints its table.
func TestBench(t *testing.T) {
	// Not the test's own folder: the PostgreSQL server, which isn't run as root, can't enter that.
	dir, err := os.MkdirTemp("", "tracedb-bench")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	var out, progress bytes.Buffer
	b := bench{dir: dir, keep: filepath.Join(dir, "large.db"), records: 2000, span: 20 * time.Millisecond, progress: &progress}
	if err := b.run(t.Context(), &out, "", nil); err != nil {
		t.Fatalf("%v\n%s", err, progress.String())
	}
	for _, want := range []string{"log/plain", "sqlite", "over HTTP on sqlite", "the large log, on sqlite", "start of the log alone", "inclusion proof", "check of everything"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("nothing about %q in:\n%s", want, out.String())
		}
	}
	if err := b.run(t.Context(), io.Discard, "none", nil); err == nil {
		t.Error("a child that doesn't exist ran")
	}
}

// TestPlain holds what the log is compared with against the log: the same indexes over the same rows, in
// pages of the same size.
func TestPlain(t *testing.T) {
	dir, err := os.MkdirTemp("", "tracedb-bench")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	b := bench{dir: dir, progress: io.Discard}
	engines, done, err := b.engines(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) {
			dsn, err := e.fresh(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			l, err := openLog(t.Context(), dsn)
			if err != nil {
				t.Fatal(err)
			}
			want := indexes(t, dsn)
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			if dsn, err = e.fresh(t.Context()); err != nil {
				t.Fatal(err)
			}
			p, err := e.plain(t.Context(), dsn)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, indexes(t, dsn)); diff != "" || len(want) < 5 {
				t.Errorf("indexes (-log +plain):\n%s", diff)
			}
			if err := p.close(t.Context()); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// indexes are those of the tables that both have, and the size of pages.
func indexes(t *testing.T, dsn string) (out []string) {
	t.Helper()
	path, ok := strings.CutPrefix(dsn, sqliteScheme)
	if !ok {
		conn, err := pgx.Connect(t.Context(), dsn)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(t.Context())
		rows, err := conn.Query(t.Context(), "SELECT indexdef FROM pg_indexes WHERE tablename IN ('payloads', 'records', 'refs') ORDER BY indexname")
		if err == nil {
			out, err = pgx.CollectRows(rows, pgx.RowTo[string])
		}
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.QueryContext(t.Context(), `SELECT sql FROM sqlite_schema WHERE type = 'index' AND tbl_name IN ('payloads', 'records', 'refs') AND sql IS NOT NULL
		UNION ALL SELECT page_size FROM pragma_page_size ORDER BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			t.Fatal(err)
		}
		out = append(out, line)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestStory holds the large log's releases: a chain as a real one, with facts, that the log takes.
func TestStory(t *testing.T) {
	teller := newStoryteller(1)
	l := logtest.New(t)
	for n := range 2 {
		for s := range Service(3) {
			release, err := teller.release(s, n)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := l.Append(t.Context(), plainWriter, release); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, tt := range []struct {
		table string
		want  int
	}{{"image", 6}, {"owner", 3}, {"register", 3}} {
		if facts, err := l.Facts(t.Context(), tt.table); err != nil || len(facts) != tt.want {
			t.Errorf("%d facts of %s, %v, want %d", len(facts), tt.table, err, tt.want)
		}
	}
	entries, err := l.ByRef(t.Context(), ref(tracedb.RefImage, Service(2).Digest(1)), 100)
	if err != nil || len(entries) != 13 {
		t.Errorf("%d records of an image, %v", len(entries), err)
	}
}

// TestRecords holds the size of what appends are measured with.
func TestRecords(t *testing.T) {
	a, b := newRecords(1), newRecords(2)
	seen := map[string]bool{}
	for _, d := range append(a.some(30), b.some(30)...) {
		if len(d.Payload) != payloadSize || len(d.Refs) != 4 || seen[d.ID] {
			t.Errorf("%s: %d bytes, %d refs", d.ID, len(d.Payload), len(d.Refs))
		}
		seen[d.ID] = true
	}
	l := logtest.New(t)
	if _, err := l.Append(t.Context(), plainWriter, []log.Prepared(a.some(10))); err != nil {
		t.Error(err)
	}
}
