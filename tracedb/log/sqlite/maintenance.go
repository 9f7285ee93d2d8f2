package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/druppie/druppie-up/tracedb/log/store"
)

// Rebuild drops the projections, whose triggers go with them, and makes them anew. Readers see the old
// ones until tx commits. What is dropped isn't overwritten: it comes again, and all of it together, which
// can be undone until its statement ends, may not fit into memory.
func (e *engine) Rebuild(ctx context.Context, tx *sql.Tx, fill func() error) error {
	// The end of ctx ends the transaction only between two calls, so in one call, which it can't end, the
	// connection is set again.
	uncut := context.WithoutCancel(ctx)
	const secureDelete = "PRAGMA secure_delete = on"
	if _, err := tx.ExecContext(uncut, "PRAGMA secure_delete = off; DROP TABLE IF EXISTS records; DROP TABLE IF EXISTS refs; DROP TABLE IF EXISTS facts; "+secureDelete); err != nil {
		_, again := tx.ExecContext(uncut, secureDelete)
		return errors.Join(err, again)
	}
	if err := store.MakeProjections(ctx, tx, migrations); err != nil {
		return err
	}
	return fill()
}

// Inspect asks SQLite to look at every page, and whether tables and indexes say the same; and it
// compares tables, indexes and triggers with those that the migrations make.
func (e *engine) Inspect(ctx context.Context) ([]string, error) {
	lines, err := store.Texts(ctx, e.read, "PRAGMA integrity_check(100)")
	if err != nil {
		return nil, err
	}
	lines = slices.DeleteFunc(lines, func(line string) bool { return line == "ok" })
	want, err := freshSchema(ctx)
	if err != nil {
		return lines, err
	}
	have, err := store.Definitions(ctx, e.read, schema)
	return append(lines, store.CompareSchema(want, have, "")...), err
}

// freshSchema is the schema that the migrations make.
func freshSchema(ctx context.Context) (map[string]string, error) {
	c, err := connect(":memory:")
	if err != nil {
		return nil, err
	}
	fresh := &engine{write: sql.OpenDB(c)}
	defer fresh.write.Close()
	fresh.write.SetMaxOpenConns(1)
	if err := fresh.migrate(ctx); err != nil {
		return nil, err
	}
	return store.Definitions(ctx, fresh.write, schema)
}

// schema is the SQL of everything in a database, by type and name.
const schema = "SELECT type || ' ' || name, coalesce(sql, tbl_name) FROM sqlite_schema"

// EraseDeleted moves what is in the write-ahead log into the file, where deleted rows are overwritten with
// zeros, and empties it. While somebody writes or reads an older state that isn't possible. It has a
// connection of its own, since a connection that waits for readers holds the lock that writers need.
func (e *engine) EraseDeleted(ctx context.Context) (bool, error) {
	db, err := open(e.path, url.Values{"mode": {"rw"}}, checkpointTimeout, sortInFile)
	if err != nil {
		return false, err
	}
	var busy, pages, moved int
	err = db.QueryRowContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &pages, &moved)
	return err == nil && busy == 0, errors.Join(err, db.Close())
}

// Backup writes a copy with VACUUM INTO, which reads at one moment while the log goes on. The copy has
// its name only when it is whole and on the disk.
func (e *engine) Backup(ctx context.Context, path string) error {
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("back up: %s is there already", path)
	}
	// An absolute path is never read as an URI.
	path, err := filepath.Abs(path)
	if err != nil {
		return fmt.Errorf("back up: %w", err)
	}
	part := path + ".part"
	if err := os.Remove(part); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("back up: %w", err)
	}
	err = makePrivate(part)
	if err == nil {
		err = e.vacuum(ctx, part)
	}
	if err != nil {
		return errors.Join(e.Translate(fmt.Errorf("back up: %w", err)), remove(part))
	}
	if err := Sync(part); err != nil {
		return errors.Join(fmt.Errorf("back up: %w", err), remove(part))
	}
	if err := os.Rename(part, path); err != nil {
		return fmt.Errorf("back up: %w", err)
	}
	return Sync(filepath.Dir(path))
}

// vacuum uses a connection of its own: the file is only read, but a connection that only queries may not
// make another file either.
func (e *engine) vacuum(ctx context.Context, to string) error {
	db, err := open(e.path, url.Values{"mode": {"ro"}}, busyTimeout, fmt.Sprintf("cache_size(-%d)", readCache), sortInFile)
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, "VACUUM INTO $1", to)
	return errors.Join(err, db.Close())
}

// Used says whether another program has the file open as a database: as long as it has, it holds a lock on
// one of the bytes that SQLite keeps for that (pending, reserved and shared, from 1 GiB on).
func Used(path string) (bool, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	lock := syscall.Flock_t{Type: syscall.F_WRLCK, Whence: io.SeekStart, Start: 1 << 30, Len: 512}
	err = syscall.FcntlFlock(f.Fd(), syscall.F_GETLK, &lock)
	return lock.Type != syscall.F_UNLCK, errors.Join(err, f.Close())
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
