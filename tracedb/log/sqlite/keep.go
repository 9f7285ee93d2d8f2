package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Rebuild drops the projections, whose triggers go with them, and makes them anew. Readers see the old
// ones until tx commits.
func (e *engine) Rebuild(ctx context.Context, tx *sql.Tx, fill func() error) error {
	for _, table := range []string{"records", "refs", "facts"} {
		if _, err := tx.ExecContext(ctx, "DROP TABLE IF EXISTS "+table); err != nil {
			return err
		}
	}
	if err := makeProjections(ctx, tx); err != nil {
		return err
	}
	return fill()
}

// Inspect asks SQLite to look at every page, and whether tables and indexes say the same.
func (e *engine) Inspect(ctx context.Context) ([]string, error) {
	rows, err := e.read.QueryContext(ctx, "PRAGMA integrity_check(100)")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			return nil, err
		}
		if line != "ok" {
			out = append(out, line)
		}
	}
	return out, rows.Err()
}

// Forget moves what is in the write-ahead log into the file, where deleted rows are overwritten with
// zeros, and empties it. While somebody reads an older state that isn't possible; the next one does it.
func (e *engine) Forget(ctx context.Context) error {
	_, err := e.write.ExecContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)")
	return err
}

// Backup writes a copy with VACUUM INTO, which reads at one moment while the log goes on. The copy has
// its name only when it is whole and on the disk.
func (e *engine) Backup(ctx context.Context, path string) error {
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("back up: %s is there already", path)
	}
	part := path + ".part"
	if err := os.Remove(part); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("back up: %w", err)
	}
	if _, err := e.read.ExecContext(ctx, "VACUUM INTO $1", part); err != nil {
		return errors.Join(e.Explain(fmt.Errorf("back up: %w", err)), remove(part))
	}
	if err := Sync(part); err != nil {
		return errors.Join(fmt.Errorf("back up: %w", err), remove(part))
	}
	if err := os.Rename(part, path); err != nil {
		return fmt.Errorf("back up: %w", err)
	}
	return Sync(filepath.Dir(path))
}

func remove(path string) error {
	if err := os.Remove(path); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// Sync writes a file or folder to the disk.
func Sync(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
