// Package log is the append-only log of the Traceability DB: records in a database, an RFC 6962 tree
// over them that is written in the same transaction, and signed checkpoints of it. It owns order, time,
// durability and proofs; it refuses to change or delete a record, to interpret a payload, and to sign a
// tree that isn't the one its records make.
package log

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
	"k8s.io/utils/lru"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/log/postgres"
	"github.com/druppie/druppie-up/tracedb/log/sqlite"
	"github.com/druppie/druppie-up/tracedb/log/store"
)

// Options say which log to open, and how.
type Options struct {
	// DSN names the database: sqlite:/path/to/trace.db, or postgres://… as libpq reads it.
	DSN string
	// Origin is the log's name in its checkpoints (C2SP tlog-checkpoint). A database keeps the one it
	// was made with, and isn't opened under another. Empty: whatever the database says.
	Origin string
	// Signer signs checkpoints. Without one, checkpoints carry no note.
	Signer note.Signer
	// Verifier verifies the checkpoints that Check is given.
	Verifier note.Verifier
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// ReadOnly opens an existing database that nothing is written to, also one whose tree is broken.
	ReadOnly bool
	// Derive says what a record adds to the tables of facts; payload is nil when it was disposed of.
	// With it, Check compares the stored facts too.
	Derive Derive
	// Unique says which attestation is in a payload, as Prepared says it. With it, Check compares the
	// stored attestations too.
	Unique Unique
}

// Derive derives a record's facts.
type Derive func(entry tracedb.Entry, payload json.RawMessage) ([]tracedb.Fact, error)

// Unique derives the digest of a record's attestation; empty if its kind has none.
type Unique func(entry tracedb.Entry, payload json.RawMessage) (string, error)

// Log is an open log. It may be used from many goroutines.
type Log struct {
	opts   Options
	origin string
	db     *store.DB
	tiles  *lru.Cache // full tiles: []byte by tlog.Tile

	requests chan *request
	stop     chan struct{} // closed: no more requests are taken
	stopped  chan struct{} // closed: the committer has ended
	watched  chan struct{} // closed: others' records aren't watched any more
	closing  sync.Once

	tree *compactRange // the committer's alone

	mu    sync.Mutex
	head  store.Head
	grown chan struct{} // closed and replaced when head grows
	note  tracedb.Checkpoint
}

// Open opens the log and checks that the tree's compact range is what the newest head says.
func Open(ctx context.Context, opts Options) (*Log, error) {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	db, err := open(ctx, opts)
	if err != nil {
		return nil, err
	}
	l := &Log{
		opts: opts, db: db, tiles: lru.New(cachedTiles),
		requests: make(chan *request), stop: make(chan struct{}), stopped: make(chan struct{}), watched: make(chan struct{}), grown: make(chan struct{}),
	}
	if err := l.load(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open log: %w", err), db.Close())
	}
	if opts.ReadOnly {
		close(l.stopped)
	} else {
		go l.commitAll()
	}
	go l.watch()
	return l, nil
}

// watch makes known what other replicas commit, until the log is closed.
func (l *Log) watch() {
	defer close(l.watched)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		<-l.stop
		cancel()
	}()
	l.db.Watch(ctx, func(size int64) {
		if size > l.Size() {
			// The next reader gets the error; followers read again by themselves now and then.
			_, _ = l.headAtLeast(ctx, size)
		}
	})
	<-l.stop
}

func open(ctx context.Context, opts Options) (*store.DB, error) {
	if path, ok := cutSQLite(opts.DSN); ok {
		return sqlite.Open(ctx, path, opts.ReadOnly)
	}
	if strings.HasPrefix(opts.DSN, "postgres://") || strings.HasPrefix(opts.DSN, "postgresql://") {
		return postgres.Open(ctx, opts.DSN, opts.ReadOnly)
	}
	// What follows the scheme may hold a password: it isn't repeated.
	return nil, errors.New("open log: the DSN starts with neither sqlite: nor postgres://")
}

func cutSQLite(dsn string) (path string, ok bool) { return strings.CutPrefix(dsn, "sqlite:") }

// load reads the newest head and the tree's compact range, and makes the log if there is none.
func (l *Log) load(ctx context.Context) error {
	origin, err := store.Origin(ctx, l.db.Read)
	if err != nil {
		return l.db.Translate(err)
	}
	switch {
	case origin == "" && l.opts.ReadOnly:
		return errors.New("the database holds no log")
	case origin == "":
		if origin, err = l.create(ctx); err != nil {
			return err
		}
	}
	if l.opts.Origin != "" && l.opts.Origin != origin {
		return fmt.Errorf("the database is that of the log %q, not of %q", origin, l.opts.Origin)
	}
	if l.opts.Signer != nil && l.opts.Signer.Name() != origin {
		return fmt.Errorf("the signing key is named %q and the log %q: they must be the same", l.opts.Signer.Name(), origin)
	}
	l.origin = origin
	if l.head, err = store.LastHead(ctx, l.db.Read); err != nil {
		return l.db.Translate(err)
	}
	if l.tree, err = loadCompactRange(ctx, l.db.Read, l.head); err != nil && !l.opts.ReadOnly {
		return err
	}
	return nil
}

// create names the log. Of two programs that try, the first wins.
func (l *Log) create(ctx context.Context) (string, error) {
	if l.opts.Origin == "" {
		return "", errors.New("a new log needs a name")
	}
	tx, err := l.db.Begin(ctx)
	if err != nil {
		return "", l.db.Translate(err)
	}
	defer tx.Rollback()
	origin, err := store.Origin(ctx, tx)
	if err != nil || origin != "" {
		return origin, l.db.Translate(err)
	}
	if _, err := tx.ExecContext(ctx, "INSERT INTO log (one, origin, created) VALUES (1, $1, $2)", l.opts.Origin, l.opts.Now().UnixMicro()); err != nil {
		return "", l.db.Translate(err)
	}
	return l.opts.Origin, l.db.Translate(tx.Commit())
}

// Origin is the log's name.
func (l *Log) Origin() string { return l.origin }

// Size is the number of records that this program knows to be in the log.
func (l *Log) Size() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.head.Size
}

// Ahead is how far the newest record's time is ahead of the clock; 0 if it isn't. Until the clock has caught
// up, every record has that time.
func (l *Log) Ahead() time.Duration {
	head, _ := l.current()
	return max(0, head.Time.Sub(l.opts.Now()))
}

// Close lets what is being committed end, refuses what comes later, and closes the database.
func (l *Log) Close() error {
	var err error
	l.closing.Do(func() {
		close(l.stop)
		<-l.stopped
		<-l.watched
		err = l.db.Close()
	})
	return err
}

// setHead makes a committed head known.
func (l *Log) setHead(h store.Head) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if h.Size <= l.head.Size {
		return
	}
	l.head = h
	close(l.grown)
	l.grown = make(chan struct{})
}

// current is the newest head that is known, and a channel that closes when there is a newer one.
func (l *Log) current() (store.Head, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.head, l.grown
}

// tree is a head as tlog writes it.
func tree(h store.Head) tlog.Tree { return tlog.Tree{N: h.Size, Hash: h.Root} }
