package bench

import (
	"database/sql"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/log"
	"github.com/druppie/druppie-up/tracedb/log/logtest"
)

// TestBenchmarks runs every benchmark for a moment, in a process of its own, to see that each reports its figures.
func TestBenchmarks(t *testing.T) {
	keep := filepath.Join(t.TempDir(), "large.db")
	out, err := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$", "-test.bench=.", "-test.benchtime=1x", "-test.short",
		"-records=2000", "-span=20ms", "-keep="+keep, "-tracedb="+buildService(t, t.TempDir())).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{
		`BenchmarkAppend/sqlite/batch=100\S* .* log/plain`, `BenchmarkRecord/sqlite\S* .* records/s`, `BenchmarkLargeLog/sqlite/check\S* .* disk-MiB`,
		`BenchmarkLargeLog/sqlite/start\S* .* peak-MiB`, `BenchmarkLargeLog/sqlite/admission\S* .* p99-ms`, `BenchmarkLargeLog/sqlite/why/library\+proofs\S* .* p99-ms`,
	} {
		if !regexp.MustCompile(want).Match(out) {
			t.Errorf("nothing like %q in:\n%s", want, out)
		}
	}
}

// TestPlain holds what the log is compared with against the log: the same indexes over the same rows, in
// pages of the same size.
func TestPlain(t *testing.T) {
	for _, e := range engines(t) {
		t.Run(e.name, func(t *testing.T) {
			dsn := e.fresh(t)
			l := openLog(t, dsn)
			want := indexes(t, dsn)
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			dsn = e.fresh(t)
			p := openPlain(t, e, dsn)
			if diff := cmp.Diff(want, indexes(t, dsn)); diff != "" || len(want) < 5 {
				t.Errorf("indexes (-log +plain):\n%s", diff)
			}
			if err := p.Close(); err != nil {
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

// TestReleases holds the large log's releases: a chain as a real one, with facts, that the log takes.
func TestReleases(t *testing.T) {
	g := newGenerator(1)
	l := logtest.New(t)
	for n := range 2 {
		for s := range serviceID(3) {
			release, err := g.release(s, n)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := l.Append(t.Context(), writer, release); err != nil {
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
	image := ref(tracedb.RefImage, serviceID(2).Digest(1))
	entries, err := l.ByRefs(t.Context(), []tracedb.Ref{image}, 100)
	if err != nil || len(entries[image]) != 13 {
		t.Errorf("%d records of an image, %v", len(entries[image]), err)
	}
}

// TestDrafts holds the size of what appends are measured with.
func TestDrafts(t *testing.T) {
	a, b := newDrafts(1), newDrafts(2)
	seen := map[string]bool{}
	for _, d := range append(a.next(30), b.next(30)...) {
		if len(d.Payload) != payloadSize || len(d.Refs) != 4 || seen[d.ID] {
			t.Errorf("%s: %d bytes, %d refs", d.ID, len(d.Payload), len(d.Refs))
		}
		seen[d.ID] = true
	}
	l := logtest.New(t)
	if _, err := l.Append(t.Context(), writer, []log.Prepared(a.next(10))); err != nil {
		t.Error(err)
	}
}
