package sqlite

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/druppie/druppie-up/tracedb/log/store"
)

// TestSettings holds the settings that durability, memory and secrecy rest on.
func TestSettings(t *testing.T) {
	path := filepath.Join(t.TempDir(), "trace.db")
	db, err := Open(t.Context(), path, false)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	e := db.Engine.(*engine)
	tests := []struct {
		name   string
		db     *sql.DB
		pragma string
		want   string
	}{
		{"writes wait for the disk", e.write, "synchronous", "2"},
		{"writes go to a log first", e.write, "journal_mode", "wal"},
		{"pages have the size of what is written at once", e.write, "page_size", "8192"},
		{"deleted payloads are overwritten", e.write, "secure_delete", "1"},
		{"the writer's cache is bounded", e.write, "cache_size", "-8192"},
		{"statements are undone from memory", e.write, "temp_store", "2"},
		{"no mapped memory", e.write, "mmap_size", "0"},
		{"readers can't write", e.read, "query_only", "1"},
		{"readers' caches are bounded", e.read, "cache_size", "-1024"},
		{"readers map no memory", e.read, "mmap_size", "0"},
		{"readers sort in a file", e.read, "temp_store", "1"},
		{"readers wait", e.read, "busy_timeout", "10000"},
	}
	for _, tt := range tests {
		var got string
		if err := tt.db.QueryRowContext(t.Context(), "PRAGMA "+tt.pragma).Scan(&got); err != nil || got != tt.want {
			t.Errorf("%s: %s is %q, want %q (%v)", tt.name, tt.pragma, got, tt.want, err)
		}
	}
	if err := db.Backup(t.Context(), path+".backup"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{path, path + "-wal", path + "-shm", path + ".backup"} {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("others may read %s: %v, %v", filepath.Base(name), info.Mode(), err)
		}
	}
	if _, err := e.read.ExecContext(t.Context(), "DELETE FROM leaves"); err == nil || !strings.Contains(err.Error(), "readonly") {
		t.Errorf("a reader wrote: %v", err)
	}
}

// TestForget empties the write-ahead log, unless somebody writes or reads an older state, and waits for
// neither.
func TestForget(t *testing.T) {
	path := filepath.Join(t.TempDir(), "trace.db")
	db, err := Open(t.Context(), path, false)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	write := func(t *testing.T) *sql.Tx {
		tx, err := db.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.ExecContext(t.Context(), "INSERT INTO heads (size, root, time) SELECT coalesce(max(size), 0) + 1, zeroblob(32), 0 FROM heads"); err != nil {
			t.Fatal(err)
		}
		return tx
	}
	read := func(t *testing.T) *sql.Tx {
		tx, err := db.Read.BeginTx(t.Context(), nil)
		if err == nil {
			_, err = store.LastHead(t.Context(), tx)
		}
		if err != nil {
			t.Fatal(err)
		}
		return tx
	}
	for _, tt := range []struct {
		name string
		with func(*testing.T) *sql.Tx
		want bool
	}{
		{"while somebody writes", write, false},
		{"while somebody reads an older state", func(t *testing.T) *sql.Tx {
			tx := read(t)
			if err := write(t).Commit(); err != nil {
				t.Fatal(err)
			}
			return tx
		}, false},
		{"alone", func(t *testing.T) *sql.Tx {
			tx := write(t)
			if err := tx.Commit(); err != nil {
				t.Fatal(err)
			}
			return tx
		}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tx := tt.with(t)
			defer tx.Rollback()
			// Whoever waited for a lock would wait for ten seconds at least; for the one connection that
			// writes, for ever.
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			done, err := db.EraseDeleted(ctx)
			if err != nil || done != tt.want {
				t.Errorf("forgotten: %t, %v, want %t", done, err, tt.want)
			}
			if info, err := os.Stat(path + "-wal"); err != nil || info.Size() == 0 != tt.want {
				t.Errorf("what was written first still has %d bytes, %v", info.Size(), err)
			}
		})
	}
}

// TestNewer refuses a file that a newer program made.
func TestNewer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "trace.db")
	db, err := Open(t.Context(), path, false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Engine.(*engine).write.ExecContext(t.Context(), "PRAGMA user_version = 999"); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), path, false); err == nil || !strings.Contains(err.Error(), "a newer one made it") {
		t.Errorf("opened: %v", err)
	}
}

// TestLeftOver begins a transaction on a connection that a COMMIT, which failed, left in one.
func TestLeftOver(t *testing.T) {
	db, err := Open(t.Context(), filepath.Join(t.TempDir(), "trace.db"), false)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Engine.(*engine).write.ExecContext(t.Context(), "BEGIN; INSERT INTO log VALUES (1, 'left over', 0)"); err != nil {
		t.Fatal(err)
	}
	tx, err := db.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	if origin, err := store.Origin(t.Context(), tx); err != nil || origin != "" {
		t.Errorf("the log is named %q, %v: what was left over was kept", origin, err)
	}
}
