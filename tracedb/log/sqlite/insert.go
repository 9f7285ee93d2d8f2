package sqlite

import (
	"context"
	"database/sql"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/druppie/druppie-up/tracedb/log/store"
)

// portions are how many rows one INSERT brings: statements of many rows are faster, and a statement for
// each number of rows would be too many to keep.
var portions = []int{32, 8, 1}

// table collects rows for one table and writes them in statements of many rows.
type table struct {
	into    string // table and columns
	columns int
	args    []any
}

func (t *table) add(args ...any) { t.args = append(t.args, args...) }

func (t *table) flush(ctx context.Context, tx *sql.Tx) error {
	row := "(?" + strings.Repeat(",?", t.columns-1) + ")"
	for _, n := range portions {
		query := "INSERT INTO " + t.into + " VALUES " + row + strings.Repeat(","+row, n-1)
		for ; len(t.args) >= n*t.columns; t.args = t.args[n*t.columns:] {
			if _, err := tx.ExecContext(ctx, query, t.args[:n*t.columns]...); err != nil {
				return fmt.Errorf("insert into %s: %w", strings.Fields(t.into)[0], err)
			}
		}
	}
	return nil
}

// Insert writes the batch.
func (e *engine) Insert(ctx context.Context, tx *sql.Tx, b *store.Batch) error {
	leaves := table{into: "leaves (seq, leaf, hash)", columns: 3}
	payloads := table{into: "payloads (seq, body)", columns: 2}
	attestations := table{into: "attestations (digest, seq)", columns: 2}
	nodes := table{into: "nodes (level, idx, hash)", columns: 3}
	disposals := table{into: "disposals (seq, record)", columns: 2}
	heads := table{into: "heads (size, root, time)", columns: 3}
	for _, r := range b.Rows {
		leaves.add(r.Seq, r.Leaf, r.Hash[:])
		payloads.add(r.Seq, r.Payload)
		if r.Unique != "" {
			attestations.add(r.Unique, r.Seq)
		}
	}
	for _, n := range b.Nodes {
		nodes.add(n.Level, n.Index, n.Hash[:])
	}
	for _, d := range b.Disposed {
		disposals.add(d.Seq, d.By)
	}
	heads.add(b.Head.Size, b.Head.Root[:], b.Head.Time.UnixMicro())
	for _, t := range []*table{&leaves, &payloads, &attestations, &nodes, &heads} {
		if err := t.flush(ctx, tx); err != nil {
			return err
		}
	}
	if err := e.Project(ctx, tx, b.Rows); err != nil {
		return err
	}
	if err := disposals.flush(ctx, tx); err != nil {
		return err
	}
	return e.dispose(ctx, tx, b.Disposed)
}

// dispose deletes payloads, after what says why. Each is a statement of its own: what is overwritten can be
// undone until its statement ends, and all of them together may not fit into memory.
func (e *engine) dispose(ctx context.Context, tx *sql.Tx, gone []store.Disposed) error {
	for _, d := range gone {
		if _, err := tx.ExecContext(ctx, "DELETE FROM payloads WHERE seq = $1", d.Seq); err != nil {
			return fmt.Errorf("dispose of payload %d: %w", d.Seq, err)
		}
	}
	return nil
}

// Project writes what is derived from the rows.
func (e *engine) Project(ctx context.Context, tx *sql.Tx, rows []store.Row) error {
	records := table{into: "records (seq, time, id, kind, actor, writer, at, outcome, payload, size)", columns: 10}
	refs := table{into: "refs (type, value, seq)", columns: 3}
	facts := table{into: "facts (tbl, key, seq, value, bound)", columns: 5}
	for _, r := range rows {
		digest, err := hex.DecodeString(strings.TrimPrefix(r.PayloadDigest, "sha256:"))
		if err != nil {
			return fmt.Errorf("record %d: payload digest: %w", r.Seq, err)
		}
		records.add(r.Seq, r.Time.UnixMicro(), r.ID, string(r.Kind), r.Actor, r.Writer, r.At.UnixMicro(), string(r.Outcome), digest, r.Size)
		for _, ref := range r.Refs {
			refs.add(string(ref.Type), ref.Value, r.Seq)
		}
		for _, f := range r.Facts {
			facts.add(f.Table, f.Key, r.Seq, string(f.Value), f.Bound)
		}
	}
	for _, t := range []*table{&records, &refs, &facts} {
		if err := t.flush(ctx, tx); err != nil {
			return err
		}
	}
	return nil
}
