package sqlite

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	"github.com/druppie/druppie-up/tracedb/log/store"
)

// TestMemory deletes far more than may be in memory at once. SQLite's is outside of Go's heap.
func TestMemory(t *testing.T) {
	const payloads, size, most = 200, 200 << 10, 20 << 20
	db, err := Open(t.Context(), filepath.Join(t.TempDir(), "trace.db"), false)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	e := db.Engine.(*engine)
	count := fmt.Sprintf("WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < %d) ", payloads-1)
	for _, statement := range []string{
		count + fmt.Sprintf("INSERT INTO payloads SELECT i, randomblob(%d) FROM n", size),
		"INSERT INTO records VALUES (1000000, 0, 'd', 'disposal', '', '', 0, '', x'', 0)",
		count + "INSERT INTO disposals SELECT i, 1000000 FROM n",
		count + fmt.Sprintf("INSERT INTO facts SELECT 'large', i, i, hex(randomblob(%d)), 0 FROM n", size/2),
	} {
		if _, err := e.write.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	gone := make([]store.Disposed, payloads)
	for i := range gone {
		gone[i] = store.Disposed{Seq: int64(i), By: 1_000_000}
	}
	for _, tt := range []struct {
		name   string
		delete func(context.Context) error
	}{
		{"disposing", func(ctx context.Context) error {
			tx, err := e.Begin(ctx)
			if err != nil {
				return err
			}
			defer tx.Rollback()
			if err := deletePayloads(ctx, tx, gone); err != nil {
				return err
			}
			return tx.Commit()
		}},
		{"rebuilding", func(ctx context.Context) error {
			tx, err := e.Begin(ctx)
			if err != nil {
				return err
			}
			defer tx.Rollback()
			if err := e.Rebuild(ctx, tx, func() error { return nil }); err != nil {
				return err
			}
			return tx.Commit()
		}},
	} {
		// 5 forgets the most that was ever in memory (proc(5), clear_refs).
		if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil {
			t.Fatal(err)
		}
		before := resident(t)
		if err := tt.delete(t.Context()); err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		if grown := resident(t) - before; grown > most {
			t.Errorf("%s %d MiB took %d MiB, want at most %d", tt.name, payloads*size>>20, grown>>20, most>>20)
		}
	}
	var left, secure int
	if err := e.write.QueryRowContext(t.Context(), "SELECT (SELECT count(*) FROM payloads) + (SELECT count(*) FROM facts)").Scan(&left); err != nil || left != 0 {
		t.Errorf("%d rows are left, %v", left, err)
	}
	if err := e.write.QueryRowContext(t.Context(), "PRAGMA secure_delete").Scan(&secure); err != nil || secure != 1 {
		t.Errorf("secure_delete is %d, %v", secure, err)
	}
}

var mostResident = regexp.MustCompile(`VmHWM:\s+(\d+) kB`)

// resident is the most that was in memory, in bytes.
func resident(t *testing.T) int64 {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	kb, err := strconv.ParseInt(string(mostResident.FindSubmatch(status)[1]), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return kb << 10
}
