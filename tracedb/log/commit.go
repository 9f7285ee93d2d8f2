package log

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/log/batch"
	"github.com/druppie/druppie-up/tracedb/log/store"
)

// commitAll is the committer: it commits calls that come at the same time together, until the log is closed.
func (l *Log) commitAll() {
	defer close(l.stopped)
	// The thread isn't given back: it ends with this goroutine.
	runtime.LockOSThread()
	lowerPriority()
	q := batch.Queue[*call]{Calls: l.calls, Stop: l.stop, Size: (*call).size}
	q.Run(l.commitBatch)
}

// commitBatch commits calls together, or, if the database refuses that for a reason that may lie with
// one of them, each alone.
func (l *Log) commitBatch(calls []*call) {
	waiting := calls[:0]
	for _, c := range calls {
		if c.ctx.Err() == nil {
			waiting = append(waiting, c)
		}
	}
	if len(waiting) == 0 {
		return
	}
	answers, err := l.transact(waiting)
	if err != nil && len(waiting) > 1 && !errors.Is(err, tracedb.ErrFull) && !errors.Is(err, tracedb.ErrUnavailable) {
		for _, c := range waiting {
			answers, err := l.transact([]*call{c})
			if err != nil {
				answers = []answer{{err: err}}
			}
			c.done <- answers[0]
		}
		return
	}
	for i, c := range waiting {
		if err != nil {
			c.done <- answer{err: err}
		} else {
			c.done <- answers[i]
		}
	}
}

// transact puts the calls' records and what they do to the tree into one transaction. The answers are
// for after its commit.
func (l *Log) transact(calls []*call) ([]answer, error) {
	// A caller that leaves mustn't take others' records with it, so no caller's context holds here.
	ctx, cancel := l.withTimeout(context.Background())
	defer cancel()
	tx, err := l.db.Begin(ctx)
	if err != nil {
		return nil, l.db.Translate(err)
	}
	defer tx.Rollback()
	answers, head, err := l.write(ctx, tx, calls)
	if err == nil && head.tree != nil {
		err = tx.Commit()
	}
	if err != nil {
		return nil, l.db.Translate(err)
	}
	if head.tree != nil {
		l.tree = head.tree
		l.setHead(head.Head)
	}
	return answers, nil
}

// patiently is ctx with an end to waiting for a database that says nothing.
func (l *Log) withTimeout(ctx context.Context) (context.Context, context.CancelFunc) {
	if long := l.db.Timeout(); long > 0 {
		return context.WithTimeout(ctx, long)
	}
	return ctx, func() {}
}

// grownTree is the tree that a transaction leaves; tree is nil if it left it as it was.
type grownTree struct {
	store.Head
	tree *compactRange
}

func (l *Log) write(ctx context.Context, tx *sql.Tx, calls []*call) ([]answer, grownTree, error) {
	tree, err := l.newest(ctx, tx)
	if err != nil {
		return nil, grownTree{}, err
	}
	index, err := loadDedupIndex(ctx, l.db, tx, calls)
	if err != nil {
		return nil, grownTree{}, err
	}
	b := &changeset{log: l, tree: tree, index: index}
	answers := make([]answer, len(calls))
	for i, c := range calls {
		receipts, err := b.take(c)
		answers[i] = answer{receipts, err}
	}
	if len(b.Rows) == 0 {
		return answers, grownTree{}, nil
	}
	if b.Head, err = tree.head(); err != nil {
		return nil, grownTree{}, err
	}
	if err := l.db.Insert(ctx, tx, &b.Batch); err != nil {
		return nil, grownTree{}, err
	}
	return answers, grownTree{b.Head, tree}, nil
}

// newest is the compact range to grow: the one in memory, unless somebody else has written since.
func (l *Log) newest(ctx context.Context, tx *sql.Tx) (*compactRange, error) {
	head, err := store.LastHead(ctx, tx)
	if err != nil {
		return nil, err
	}
	known, _ := l.current()
	if err := checkConsistent(ctx, tx, known, head); err != nil {
		return nil, err
	}
	if l.tree != nil && l.tree.matches(head) {
		return l.tree.clone()
	}
	tree, err := loadCompactRange(ctx, tx, head)
	if err != nil {
		return nil, err
	}
	l.tree = tree
	return tree.clone()
}

// changeset is what a transaction will write.
type changeset struct {
	store.Batch
	log   *Log
	tree  *compactRange
	index *dedupIndex
}

// take decides on one call's drafts, and adds them or leaves everything as it was.
func (b *changeset) take(c *call) ([]tracedb.Receipt, error) {
	before, err := b.tree.clone()
	if err != nil {
		return nil, err
	}
	for _, seq := range c.dispose {
		if _, ok := b.index.disposed[seq]; ok {
			return nil, errGone
		}
	}
	rows, nodes := len(b.Rows), len(b.Nodes)
	undo := func() { *b.tree, b.Rows, b.Nodes = *before, b.Rows[:rows], b.Nodes[:nodes] }
	receipts := make([]tracedb.Receipt, len(c.drafts))
	mark := b.index.savepoint()
	for i, d := range c.drafts {
		r, err := b.add(c.writer, d)
		if err != nil {
			undo()
			b.index.rollback(mark)
			var e *tracedb.Error
			if errors.As(err, &e) && !(len(c.dispose) > 0) {
				err = e.At("[%d]", i)
			}
			return nil, err
		}
		receipts[i] = r
	}
	for _, seq := range c.dispose {
		b.Disposed = append(b.Disposed, store.Disposed{Seq: seq, By: receipts[0].Seq})
		b.index.disposed[seq] = receipts[0].Seq
	}
	return receipts, nil
}

// add decides on one draft.
func (b *changeset) add(writer string, o candidate) (tracedb.Receipt, error) {
	if old, ok := b.index.ids[idKey{writer, o.ID}]; ok {
		if old.Kind != o.Kind || old.Outcome != o.Outcome || !bytes.Equal(old.Digest, o.digest[:]) {
			return tracedb.Receipt{}, tracedb.ErrConflict
		}
		return tracedb.Receipt{Seq: old.Seq, Time: time.UnixMicro(old.Time).UTC(), Leaf: base64.StdEncoding.EncodeToString(old.Hash), Duplicate: true}, nil
	}
	if o.Unique != "" && b.index.attested[o.Unique] {
		return tracedb.Receipt{}, tracedb.ErrReplayed
	}
	row, err := o.row(writer, b.tree, b.log)
	if err != nil {
		return tracedb.Receipt{}, err
	}
	row.Facts = row.Facts[:0]
	for _, f := range o.Facts {
		key := factKey{f.Table, f.Key}
		if old, ok := b.index.bound[key]; ok {
			if !bytes.Equal(old, f.Value) {
				return tracedb.Receipt{}, tracedb.ErrBound.At("facts")
			}
			continue
		}
		if f.Bound {
			b.index.bind(key, f.Value)
		}
		f.Seq = row.Seq
		row.Facts = append(row.Facts, f)
	}
	if b.Nodes, err = b.tree.append(row.Hash, b.Nodes); err != nil {
		return tracedb.Receipt{}, fmt.Errorf("grow the tree: %w", err)
	}
	b.Rows = append(b.Rows, row)
	b.index.add(writer, o, row)
	return receipt(row), nil
}
