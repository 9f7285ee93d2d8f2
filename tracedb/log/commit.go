package log

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/log/batch"
	"github.com/druppie/druppie-up/tracedb/log/store"
)

// commitAll is the committer: it commits requests that come at the same time together, until the log is closed.
func (l *Log) commitAll() {
	defer close(l.stopped)
	// The thread isn't given back: it ends with this goroutine.
	runtime.LockOSThread()
	lowerPriority()
	q := batch.Queue[*request]{Requests: l.requests, Stop: l.stop, Size: (*request).size}
	q.Run(l.commitBatch)
}

// commitBatch commits requests together, or, if the database refuses that for a reason that may lie with
// one of them, each alone.
func (l *Log) commitBatch(requests []*request) {
	requests = slices.DeleteFunc(requests, func(r *request) bool { return r.ctx.Err() != nil })
	if len(requests) == 0 {
		return
	}
	results, err := l.transact(requests)
	if err != nil && len(requests) > 1 && !errors.Is(err, tracedb.ErrFull) && !errors.Is(err, tracedb.ErrUnavailable) {
		for i := range requests {
			l.commitBatch(requests[i : i+1])
		}
		return
	}
	for i, r := range requests {
		if err != nil {
			r.done <- result{err: err}
		} else {
			r.done <- results[i]
		}
	}
}

// transact puts the requests' records and what they do to the tree into one transaction. The results are
// for after its commit.
func (l *Log) transact(requests []*request) ([]result, error) {
	// A caller that leaves mustn't take others' records with it, so no caller's context holds here.
	ctx, cancel := l.withTimeout(context.Background())
	defer cancel()
	tx, err := l.db.Begin(ctx)
	if err != nil {
		return nil, l.db.Translate(err)
	}
	defer tx.Rollback()
	results, grown, err := l.write(ctx, tx, requests)
	if err == nil && grown != nil {
		err = tx.Commit()
	}
	if err != nil {
		return nil, l.db.Translate(err)
	}
	if grown != nil {
		l.tree = grown.tree
		l.setHead(grown.Head)
	}
	return results, nil
}

// withTimeout is ctx with an end to waiting for a database that says nothing.
func (l *Log) withTimeout(ctx context.Context) (context.Context, context.CancelFunc) {
	if timeout := l.db.Timeout(); timeout > 0 {
		return context.WithTimeout(ctx, timeout)
	}
	return ctx, func() {}
}

// write writes what the requests add; the changeset is nil if that is nothing.
func (l *Log) write(ctx context.Context, tx *sql.Tx, requests []*request) ([]result, *changeset, error) {
	tree, err := l.newest(ctx, tx)
	if err != nil {
		return nil, nil, err
	}
	index, err := loadDedupIndex(ctx, l.db, tx, requests)
	if err != nil {
		return nil, nil, err
	}
	b := &changeset{log: l, tree: tree, index: index}
	results := make([]result, len(requests))
	for i, r := range requests {
		receipts, err := b.addAll(r)
		results[i] = result{receipts, err}
	}
	if len(b.Rows) == 0 {
		return results, nil, nil
	}
	if b.Head, err = tree.head(); err != nil {
		return nil, nil, err
	}
	return results, b, l.db.Insert(ctx, tx, &b.Batch)
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

// addAll adds one request's drafts, or leaves everything as it was.
func (b *changeset) addAll(r *request) ([]tracedb.Receipt, error) {
	before, err := b.tree.clone()
	if err != nil {
		return nil, err
	}
	for _, seq := range r.dispose {
		if _, ok := b.index.disposed[seq]; ok {
			return nil, errGone
		}
	}
	rows, nodes, savepoint := len(b.Rows), len(b.Nodes), b.index.savepoint()
	receipts := make([]tracedb.Receipt, len(r.drafts))
	for i, d := range r.drafts {
		if receipts[i], err = b.add(r.writer, d); err == nil {
			continue
		}
		*b.tree, b.Rows, b.Nodes = *before, b.Rows[:rows], b.Nodes[:nodes]
		b.index.rollback(savepoint)
		var e *tracedb.Error
		if errors.As(err, &e) && len(r.dispose) == 0 {
			err = e.At("[%d]", i)
		}
		return nil, err
	}
	for _, seq := range r.dispose {
		b.Disposed = append(b.Disposed, store.Disposed{Seq: seq, By: receipts[0].Seq})
		b.index.disposed[seq] = receipts[0].Seq
	}
	return receipts, nil
}

// add adds one draft.
func (b *changeset) add(writer string, o candidate) (tracedb.Receipt, error) {
	if old, ok := b.index.ids[idKey{writer, o.ID}]; ok {
		if old.Kind != o.Kind || old.Outcome != o.Outcome || !bytes.Equal(old.Digest, o.digest[:]) {
			return tracedb.Receipt{}, tracedb.ErrConflict
		}
		return receipt(old, true), nil
	}
	if o.Unique != "" && b.index.attested[o.Unique] {
		return tracedb.Receipt{}, tracedb.ErrReplayed
	}
	row, err := o.row(writer, b.tree, b.log)
	if err != nil {
		return tracedb.Receipt{}, err
	}
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
	return receipt(b.index.add(writer, o, row), false), nil
}

// receipt says where a record is.
func receipt(r store.Existing, duplicate bool) tracedb.Receipt {
	return tracedb.Receipt{
		Seq: r.Seq, Time: time.UnixMicro(r.Time).UTC(), Leaf: base64.StdEncoding.EncodeToString(r.Hash), Duplicate: duplicate,
	}
}
