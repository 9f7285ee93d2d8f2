// Package store is what every database under the log has in common: the rows of a batch, the queries
// that only read, and what an engine must do for itself. It owns the SQL that both engines understand;
// it refuses to decide what goes into the log, and knows nothing of the tree but its stored hashes.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/druppie/druppie-up/tracedb"
)

// ErrCorrupt says that the database itself finds its files damaged.
var ErrCorrupt = errors.New("the database's files are damaged")

// Row is one record on its way into the database.
type Row struct {
	tracedb.Entry
	Leaf    []byte
	Hash    tlog.Hash
	Payload []byte
	Unique  string // digest of an attestation, or empty
	Facts   []tracedb.Fact
}

// Node is the root of a complete subtree of 256^Level leaves, the Index-th of its level. Level 0, the
// leaf hashes, is kept beside the leaves.
type Node struct {
	Level int
	Index int64
	Hash  tlog.Hash
}

// Head is the tree after a batch. Time is the log time of its last record.
type Head struct {
	Size int64
	Root tlog.Hash
	Time time.Time
}

// Disposed is a payload that goes, and the record that says so.
type Disposed struct{ Seq, By int64 }

// Batch is what one transaction adds.
type Batch struct {
	Rows     []Row
	Nodes    []Node
	Head     Head
	Disposed []Disposed
}

// Engine is what SQLite and PostgreSQL do differently.
type Engine interface {
	// Begin starts a transaction that is the only one to write until it ends, also if other programs have the
	// database open. It ends when its Commit or Rollback was called.
	Begin(ctx context.Context) (*sql.Tx, error)
	// Insert writes the batch.
	Insert(ctx context.Context, tx *sql.Tx, b *Batch) error
	// Project writes what is derived from rows that are in the log: columns, refs and facts.
	Project(ctx context.Context, tx *sql.Tx, rows []Row) error
	// Rebuild takes the projections away, has fill make them anew with Project, and puts those in
	// their place when tx commits.
	Rebuild(ctx context.Context, tx *sql.Tx, fill func() error) error
	// Inspect asks the engine whether its own files are sound, and returns what it complains about.
	Inspect(ctx context.Context) ([]string, error)
	// EraseDeleted makes the engine overwrite what was deleted, as far as it can; false if it can't now. Nobody
	// who writes waits for it.
	EraseDeleted(ctx context.Context) (bool, error)
	// Backup writes a copy of the database, as it is at one moment, to a new file.
	Backup(ctx context.Context, path string) error
	// Timeout is how long a batch's transaction may take, and looking for what others wrote, before the
	// database counts as gone; 0: as long as it likes.
	Timeout() time.Duration
	// List makes a parameter of a slice of strings or numbers.
	List(items any) (List, error)
	// IndexHint is what follows a table's name for an index of it to be used, empty where the planner finds
	// it. Measured on SQLite: without the hint, finding a spec's two records of a kind read the rows of all hundred
	// of its sessions, each on a page of its own.
	IndexHint(index string) string
	// MultiWriter says whether others are expected to write to the same log.
	MultiWriter() bool
	// Watch calls seen with the log's size when somebody has written, until ctx ends. It may miss some.
	Watch(ctx context.Context, seen func(size int64))
	// Translate turns the engine's own errors into those of tracedb where there is one.
	Translate(err error) error
	Close() error
}

// List is a parameter that holds many values.
type List struct {
	Items any
	// Among is the condition on a column, after its name, that its value is one of them; Table is them as a
	// table k with the column value. Both have %d for the parameter's number.
	Among, Table string
}

// As is the condition, with the parameter's number.
func (l List) As(n int) string { return fmt.Sprintf(l.Among, n) }

// From is the table, with the parameter's number.
func (l List) From(n int) string { return fmt.Sprintf(l.Table, n) }

// DB is an open database.
type DB struct {
	Engine
	Read *sql.DB // never writes
}

// Querier is a connection, a transaction or a pool.
type Querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// Close closes the pools that are open.
func Close(pools ...*sql.DB) error {
	var errs []error
	for _, db := range pools {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(errs...)
}
