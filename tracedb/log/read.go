package log

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	fast "github.com/go-json-experiment/json"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/log/store"
)

var _ tracedb.Reader = (*Log)(nil)

// entriesAtOnce is how many places one statement asks for.
const entriesAtOnce = 200

// Entries returns the entries at those places, in the order of the log. A place that isn't in the log
// is tracedb.ErrNotFound.
func (l *Log) Entries(ctx context.Context, seqs ...int64) ([]tracedb.Entry, error) {
	sorted := slices.Compact(slices.Sorted(slices.Values(seqs)))
	out := make([]tracedb.Entry, 0, len(sorted))
	for some := range slices.Chunk(sorted, entriesAtOnce) {
		leaves, err := l.db.LeavesAt(ctx, some)
		if err != nil {
			return nil, l.db.Translate(err)
		}
		for i, seq := range some {
			if i >= len(leaves) || leaves[i].Seq != seq {
				return nil, tracedb.ErrNotFound.Says("there is no record %d", seq)
			}
		}
		if out, err = parse(out, leaves); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Range returns entries from seq on, at most limit.
func (l *Log) Range(ctx context.Context, from int64, limit int) ([]tracedb.Entry, error) {
	if limit <= 0 {
		return nil, nil
	}
	return l.entries(store.Leaves(ctx, l.db.Read, from, limit))
}

// ByRefs returns the entries about each of the refs, oldest first, at most limit of each.
func (l *Log) ByRefs(ctx context.Context, refs []tracedb.Ref, limit int) (map[tracedb.Ref][]tracedb.Entry, error) {
	out := make(map[tracedb.Ref][]tracedb.Entry, len(refs))
	if limit <= 0 {
		return out, nil
	}
	for some := range slices.Chunk(refs, tracedb.MaxQueryRefs) {
		leaves, err := store.LeavesByRefs(ctx, l.db.Read, some, limit)
		if err != nil {
			return nil, l.db.Translate(err)
		}
		for i, ref := range some {
			if out[ref], err = parse(nil, leaves[i]); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// Payload returns a record's payload: tracedb.ErrDisposed if its term was over, tracedb.ErrNotFound if
// there is no such record.
func (l *Log) Payload(ctx context.Context, seq int64) (json.RawMessage, error) {
	payload, ok, err := store.Payload(ctx, l.db.Read, seq)
	if err != nil {
		return nil, l.db.Translate(err)
	}
	if ok {
		return payload, nil
	}
	if _, err := l.Entries(ctx, seq); err != nil {
		return nil, err
	}
	return nil, tracedb.ErrDisposed
}

// Payloads returns those payloads of records at those places that are there.
func (l *Log) Payloads(ctx context.Context, seqs ...int64) (map[int64]json.RawMessage, error) {
	out := make(map[int64]json.RawMessage, len(seqs))
	for some := range slices.Chunk(seqs, entriesAtOnce) {
		payloads, err := l.db.Payloads(ctx, some)
		if err != nil {
			return nil, l.db.Translate(err)
		}
		for _, p := range payloads {
			out[p.Seq] = p.Payload
		}
	}
	return out, nil
}

// DisposedBy says of those places whose payload was disposed of which record says so.
func (l *Log) DisposedBy(ctx context.Context, seqs ...int64) (map[int64]int64, error) {
	found, err := l.db.DisposedBy(ctx, l.db.Read, seqs)
	by := make(map[int64]int64, len(found))
	for _, d := range found {
		by[d.Seq] = d.By
	}
	return by, l.db.Translate(err)
}

// Search returns entries newest first.
func (l *Log) Search(ctx context.Context, q tracedb.Query) (tracedb.Page, error) {
	if err := q.Check(); err != nil {
		return tracedb.Page{}, err
	}
	for _, kind := range q.Kinds {
		if _, ok := kind.Info(); !ok {
			return tracedb.Page{}, tracedb.ErrInvalid.Says("there is no such kind of record").At("kind")
		}
	}
	limit := q.Limit
	if limit <= 0 {
		limit = tracedb.DefaultPage
	}
	limit = min(limit, tracedb.MaxPage)
	if q.Refs = tracedb.SortRefs(q.Refs); len(q.Refs) > tracedb.MaxQueryRefs {
		return tracedb.Page{}, tracedb.ErrInvalid.Says("a search is for at most %d refs", tracedb.MaxQueryRefs).At("refs")
	}
	w, err := l.window(ctx, q)
	if err != nil || w.From >= w.Until {
		return tracedb.Page{Entries: []tracedb.Entry{}}, l.db.Translate(err)
	}
	q.Kinds = slices.Compact(slices.Sorted(slices.Values(q.Kinds)))
	entries, err := l.entries(l.db.Search(ctx, q, w, limit+1))
	if err != nil {
		return tracedb.Page{}, err
	}
	page := tracedb.Page{Entries: entries}
	if len(entries) > limit {
		page.Entries = entries[:limit]
		page.Next = entries[limit-1].Seq
	}
	return page, nil
}

// window is the part of the log that a query's times and Before leave. The log is in the order of its
// times, so a time is a place.
func (l *Log) window(ctx context.Context, q tracedb.Query) (store.Window, error) {
	head, err := l.headAtLeast(ctx, 0)
	w := store.Window{Until: head.Size}
	if q.Before > 0 {
		w.Until = min(w.Until, q.Before)
	}
	if err == nil && !q.From.IsZero() {
		seq, ok, e := store.Since(ctx, l.db.Read, tracedb.Instant(q.From))
		if !ok {
			seq = head.Size
		}
		w.From, err = seq, e
	}
	if err == nil && !q.Until.IsZero() {
		seq, ok, e := store.Since(ctx, l.db.Read, tracedb.Instant(q.Until))
		if ok {
			w.Until = min(w.Until, seq)
		}
		err = e
	}
	return w, err
}

// Facts returns the newest fact for each key of a table; with keys, only of those.
func (l *Log) Facts(ctx context.Context, table string, keys ...string) ([]tracedb.Fact, error) {
	facts, err := l.db.Facts(ctx, l.db.Read, table, slices.Compact(slices.Sorted(slices.Values(keys))))
	return facts, l.db.Translate(err)
}

// History returns every fact of a table and key, oldest first.
func (l *Log) History(ctx context.Context, table, key string) ([]tracedb.Fact, error) {
	facts, err := store.History(ctx, l.db.Read, table, key)
	return facts, l.db.Translate(err)
}

func (l *Log) entries(leaves []store.Leaf, err error) ([]tracedb.Entry, error) {
	if err != nil {
		return nil, l.db.Translate(err)
	}
	return parse(make([]tracedb.Entry, 0, len(leaves)), leaves)
}

// parse reads leaves. It doesn't ask whether they are in the tree: proofs and Check do.
func parse(out []tracedb.Entry, leaves []store.Leaf) ([]tracedb.Entry, error) {
	for _, leaf := range leaves {
		var e tracedb.Entry
		if err := fast.Unmarshal(leaf.Leaf, &e); err != nil {
			return nil, fmt.Errorf("leaf %d: %w", leaf.Seq, err)
		}
		out = append(out, e)
	}
	return out, nil
}
