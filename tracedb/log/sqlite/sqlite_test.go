package sqlite

import (
	"database/sql"
	"path/filepath"
	"strings"
	"testing"

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
		{"deleted payloads are overwritten", e.write, "secure_delete", "1"},
		{"the writer's cache is bounded", e.write, "cache_size", "-16384"},
		{"no mapped memory", e.write, "mmap_size", "0"},
		{"readers can't write", e.read, "query_only", "1"},
		{"readers' caches are bounded", e.read, "cache_size", "-2048"},
		{"readers map no memory", e.read, "mmap_size", "0"},
		{"readers wait", e.read, "busy_timeout", "10000"},
	}
	for _, tt := range tests {
		var got string
		if err := tt.db.QueryRowContext(t.Context(), "PRAGMA "+tt.pragma).Scan(&got); err != nil || got != tt.want {
			t.Errorf("%s: %s is %q, want %q (%v)", tt.name, tt.pragma, got, tt.want, err)
		}
	}
	if _, err := e.read.ExecContext(t.Context(), "DELETE FROM leaves"); err == nil || !strings.Contains(err.Error(), "readonly") {
		t.Errorf("a reader wrote: %v", err)
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
