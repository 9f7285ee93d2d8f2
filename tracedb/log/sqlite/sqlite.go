// Package sqlite keeps the log in one SQLite file in WAL mode, with a connection that writes and a few
// that read. It owns the file's settings, its migrations and its triggers; it refuses to change or
// delete a row of the log, by triggers in the database itself.
package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"runtime"
	"strings"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/log/store"
)

// The migrations, in the order of their names, and the projections as they are after the last one.
//
//go:embed migrations/*.sql
var migrations embed.FS

// The page caches, in KiB: together they bound what SQLite takes of memory. The operating system
// caches the file besides.
const (
	writeCache = 8 << 10
	readCache  = 1 << 10
)

// Where a connection keeps what it needs for a while. What a statement would have to undo is small, if the
// statement is, and in a file it is a fifth of the work of writing; what is sorted may be large.
const (
	undoInMemory = "temp_store(memory)"
	sortInFile   = "temp_store(file)"
)

// How long a connection waits for others' locks; a checkpoint of the write-ahead log can be tried again.
const (
	busyTimeout       = 10 * time.Second
	checkpointTimeout = 100 * time.Millisecond
)

// engine is a log in an SQLite file.
type engine struct {
	path        string
	write, read *sql.DB
}

// Open opens the file, makes it if it isn't there, and brings its tables up to date. A file opened
// readOnly must exist; nothing is written to it.
func Open(ctx context.Context, path string, readOnly bool) (*store.DB, error) {
	if path == "" {
		return nil, errors.New("open sqlite: no file is named")
	}
	// What is committed is as durable with either, but fsync also waits for the file's timestamps. The
	// driver has one switch for the whole program.
	if _, err := sqlite.Fdatasync(true); err != nil && !errors.Is(err, sqlite.ErrFdatasyncUnavailable) {
		return nil, fmt.Errorf("open sqlite: %w", err)
	}
	e := &engine{path: path}
	if readOnly {
		if _, err := os.Stat(path); err != nil {
			return nil, fmt.Errorf("open sqlite: %w", err)
		}
	} else {
		err := makePrivate(path)
		if err != nil {
			return nil, fmt.Errorf("open sqlite: %w", err)
		}
		if e.write, err = open(path, url.Values{"_txlock": {"immediate"}}, busyTimeout, "synchronous(full)",
			"secure_delete(on)", fmt.Sprintf("cache_size(-%d)", writeCache), "wal_autocheckpoint(1000)", undoInMemory); err != nil {
			return nil, err
		}
		// One connection writes: the second writer waits in the program, not in a busy loop.
		e.write.SetMaxOpenConns(1)
		if err := e.migrate(ctx); err != nil {
			return nil, errors.Join(fmt.Errorf("open %s: %w", path, e.Translate(err)), e.Close())
		}
	}
	var err error
	if e.read, err = open(path, url.Values{"mode": {"ro"}}, busyTimeout, "query_only(on)", fmt.Sprintf("cache_size(-%d)", readCache), sortInFile); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	e.read.SetMaxOpenConns(max(4, runtime.GOMAXPROCS(0)))
	e.read.SetMaxIdleConns(max(4, runtime.GOMAXPROCS(0)))
	if err := e.read.PingContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, e.Translate(err)), e.Close())
	}
	return &store.DB{Engine: e, Read: e.read}, nil
}

// open makes a pool of connections to the file, which wait so long for others' locks. A path may hold
// anything but a NUL.
func open(path string, query url.Values, wait time.Duration, pragmas ...string) (*sql.DB, error) {
	query["_pragma"] = append(pragmas, fmt.Sprintf("busy_timeout(%d)", wait.Milliseconds()), "mmap_size(0)", "trusted_schema(off)")
	dsn := url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: query.Encode()}
	c, err := connect(dsn.String())
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(c), nil
}

// makePrivate makes a file that is its owner's alone, unless it is there. SQLite takes an empty file for a new
// database, and gives the files beside it the same permissions.
func makePrivate(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDONLY, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

// prepare makes the file what it must be before there is a table in it. The driver runs the pragmas of a
// DSN in an order of its own, and the size of pages counts only before the write-ahead log is there.
func (e *engine) prepare(ctx context.Context) error {
	for _, pragma := range []string{"PRAGMA page_size = 8192", "PRAGMA journal_mode = wal"} {
		if _, err := e.write.ExecContext(ctx, pragma); err != nil {
			return err
		}
	}
	return nil
}

func (e *engine) migrate(ctx context.Context) error {
	if err := e.prepare(ctx); err != nil {
		return err
	}
	return store.Migrate(ctx, e.write, migrations, func(tx *sql.Tx) (version int, err error) {
		err = tx.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version)
		return version, err
	}, "PRAGMA user_version = %d")
}

func (e *engine) Begin(ctx context.Context) (*sql.Tx, error) {
	if e.write == nil {
		return nil, tracedb.ErrUnavailable.Says("the log was opened for reading only")
	}
	tx, err := e.write.BeginTx(ctx, nil)
	if err == nil {
		return tx, nil
	}
	// A COMMIT that failed may leave the connection in its transaction, of which the driver says nothing
	// more: it is ended here, or nothing would ever be written again.
	if _, ended := e.write.ExecContext(ctx, "ROLLBACK"); ended != nil {
		return nil, err
	}
	return e.write.BeginTx(ctx, nil)
}

// Watch has nothing to wait for: the file's other users, if any, are looked for now and then.
func (e *engine) Watch(context.Context, func(int64)) {}

// Timeout is unbounded: a file answers, and a busy one says so.
func (e *engine) Timeout() time.Duration { return 0 }

// List is JSON: SQLite has no arrays. A statement for each length of a list would be compiled for each.
func (e *engine) List(items any) (store.List, error) {
	text, err := json.Marshal(items)
	return store.List{Items: string(text), Among: "IN (SELECT value FROM json_each($%d))", Table: "json_each($%d) k"}, err
}

// IndexHint names the index. SQLite would take a row's place alone, and read the row to see the rest.
func (e *engine) IndexHint(index string) string { return " INDEXED BY " + index }

// MultiWriter is false: one program serves a file, and another that writes is an exception.
func (e *engine) MultiWriter() bool { return false }

func (e *engine) Close() error { return store.Close(e.read, e.write) }

// Translate names a full disk and a broken or busy file as such.
func (e *engine) Translate(err error) error {
	var s *sqlite.Error
	if !errors.As(err, &s) {
		return err
	}
	switch s.Code() & 0xff {
	case sqlite3.SQLITE_FULL:
		return fmt.Errorf("%w (%w)", tracedb.ErrFull, err)
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return fmt.Errorf("%w (%w)", tracedb.ErrUnavailable.Says("another program holds the database"), err)
	case sqlite3.SQLITE_INTERRUPT:
		return fmt.Errorf("%w (%w)", tracedb.ErrUnavailable.Says("the reading was interrupted"), err)
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return fmt.Errorf("%w (%w)", store.ErrCorrupt, err)
	case sqlite3.SQLITE_IOERR:
		if strings.Contains(err.Error(), "no space") {
			return fmt.Errorf("%w (%w)", tracedb.ErrFull, err)
		}
	}
	return err
}
