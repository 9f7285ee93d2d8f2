package log

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/log/store"
)

// rebuiltAtOnce is how many records are read, and written, in one go.
const rebuiltAtOnce = 256

// Rebuild drops everything that is derived (columns, refs, facts) and derives it anew from leaves and
// payloads, in one transaction; the log itself is only read. Facts of records whose payload was
// disposed of are kept, since they can't be derived any more. Nothing is appended meanwhile. A leaf or
// payload that doesn't fit its hash stops it, and nothing changes.
func (l *Log) Rebuild(ctx context.Context, derive Derive) error {
	tx, err := l.db.Begin(ctx)
	if err != nil {
		return l.db.Translate(err)
	}
	defer tx.Rollback()
	head, err := store.LastHead(ctx, tx)
	if err != nil {
		return l.db.Translate(err)
	}
	facts, err := store.DisposedFacts(ctx, tx)
	if err != nil {
		return l.db.Translate(err)
	}
	kept := map[int64][]tracedb.Fact{}
	for _, f := range facts {
		kept[f.Seq] = append(kept[f.Seq], f)
	}
	d := deriver{derive: derive, kept: kept, bound: map[factKey]int64{}}
	err = l.db.Rebuild(ctx, tx, func() error {
		for from := int64(0); from < head.Size; from += rebuiltAtOnce {
			// The pool for reading sees the log as it was before tx, which is what it still is.
			rows := make([]store.Row, 0, rebuiltAtOnce)
			err := store.Scan(ctx, l.db.Read, from, from+rebuiltAtOnce, func(s store.Stored) error {
				row, err := d.row(&s)
				rows = append(rows, row)
				return err
			})
			if err != nil {
				return err
			}
			if want := min(rebuiltAtOnce, head.Size-from); int64(len(rows)) != want {
				return fmt.Errorf("of %d leaves from %d on, %d are there", want, from, len(rows))
			}
			if err := l.db.Project(ctx, tx, rows); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return l.db.Translate(fmt.Errorf("rebuild: %w", err))
	}
	return l.db.Translate(tx.Commit())
}

// deriver derives rows in the order of the log.
type deriver struct {
	derive Derive
	kept   map[int64][]tracedb.Fact
	bound  map[factKey]int64 // the record that brought the bound fact first
}

func (d *deriver) row(s *store.Stored) (store.Row, error) {
	e, err := tracedb.ParseLeaf(s.Leaf)
	if err != nil {
		return store.Row{}, fmt.Errorf("record %d: %w", s.Seq, err)
	}
	if h := tlog.RecordHash(s.Leaf); e.Seq != s.Seq || string(h[:]) != string(s.Hash) {
		return store.Row{}, fmt.Errorf("record %d: the leaf doesn't fit its hash or place; check says more", s.Seq)
	}
	row := store.Row{Entry: e}
	switch {
	case s.Payload == nil:
		row.Facts, err = d.compact(s.Seq, d.kept[s.Seq])
	case !e.HasPayload(s.Payload):
		err = errors.New("the payload doesn't fit its digest; check says more")
	default:
		row.Facts, err = d.facts(e, s.Payload)
	}
	if err != nil {
		return store.Row{}, fmt.Errorf("record %d: %w", s.Seq, err)
	}
	return row, nil
}

// facts derives those that a record brings.
func (d *deriver) facts(e tracedb.Entry, payload []byte) ([]tracedb.Fact, error) {
	facts, err := d.derive(e, payload)
	if err != nil {
		return nil, fmt.Errorf("derive facts: %w", err)
	}
	return d.compact(e.Seq, facts)
}

// compact leaves out what brings nothing new to a bound fact, as the log did when it appended the record.
func (d *deriver) compact(seq int64, facts []tracedb.Fact) ([]tracedb.Fact, error) {
	facts, err := compactFacts(facts)
	if err != nil {
		return nil, err
	}
	out := facts[:0]
	for _, f := range facts {
		key := factKey{f.Table, f.Key}
		if first, ok := d.bound[key]; ok && first < seq {
			continue
		}
		if f.Bound {
			d.bound[key] = seq
		}
		f.Seq = seq
		out = append(out, f)
	}
	return out, nil
}
