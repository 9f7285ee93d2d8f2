package postgres

import (
	"context"
	"database/sql"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/druppie/druppie-up/tracedb/log/store"
)

// channel is the one that a batch's size is announced on.
const channel = "tracedb"

// part is one table's share of a batch: a statement with ? for each of its arguments, most of them arrays
// with a column each.
type part struct {
	rows  int
	query string
	args  []any
}

// Insert writes the batch and tells the other replicas when it is there, all in one statement: each trip
// to the server would cost as much as a few records.
func (e *engine) Insert(ctx context.Context, tx *sql.Tx, b *store.Batch) error {
	derived, err := projected(b.Rows)
	if err != nil {
		return err
	}
	parts := append(logged(b), derived...)
	announce := part{1, "SELECT pg_notify(?, ?)", []any{channel, strconv.FormatInt(b.Head.Size, 10)}}
	if err := execute(ctx, tx, announce, parts...); err != nil {
		return fmt.Errorf("insert: %w", err)
	}
	return dispose(ctx, tx, b.Disposed)
}

// dispose comes after the records that say why: what one statement inserts, it can't see.
func dispose(ctx context.Context, tx *sql.Tx, gone []store.Disposed) error {
	if len(gone) == 0 {
		return nil
	}
	seqs, records := make([]int64, len(gone)), make([]int64, len(gone))
	for i, d := range gone {
		seqs[i], records[i] = d.Seq, d.By
	}
	for _, p := range []part{
		{len(gone), "INSERT INTO disposals SELECT * FROM unnest(?::bigint[], ?::bigint[])", []any{seqs, records}},
		{len(gone), "DELETE FROM payloads WHERE seq = ANY(?::bigint[])", []any{seqs}},
	} {
		if err := execute(ctx, tx, p); err != nil {
			return fmt.Errorf("dispose of payloads: %w", err)
		}
	}
	return nil
}

// Project writes what is derived from the rows.
func (e *engine) Project(ctx context.Context, tx *sql.Tx, rows []store.Row) error {
	parts, err := projected(rows)
	if err != nil {
		return err
	}
	for _, p := range parts {
		if p.rows == 0 {
			continue
		}
		if err := execute(ctx, tx, p); err != nil {
			return fmt.Errorf("project: %w", err)
		}
	}
	return nil
}

// execute runs last, and with it those parts that have rows.
func execute(ctx context.Context, tx *sql.Tx, last part, parts ...part) error {
	var with []string
	var args []any
	for _, p := range parts {
		if p.rows > 0 {
			with = append(with, fmt.Sprintf("p%d AS (%s)", len(with), p.query))
			args = append(args, p.args...)
		}
	}
	query := last.query
	if len(with) > 0 {
		query = "WITH " + strings.Join(with, ", ") + " " + query
	}
	args = append(args, last.args...)
	_, err := tx.ExecContext(ctx, numbered(query), args...)
	return err
}

// numbered gives each ? its number, as PostgreSQL has them.
func numbered(query string) string {
	pieces := strings.Split(query, "?")
	var b strings.Builder
	for i, piece := range pieces {
		if i > 0 {
			b.WriteByte('$')
			b.WriteString(strconv.Itoa(i))
		}
		b.WriteString(piece)
	}
	return b.String()
}

// logged is what the log itself keeps of a batch.
func logged(b *store.Batch) []part {
	n := len(b.Rows)
	seqs, leaves, hashes, bodies := make([]int64, n), make([][]byte, n), make([][]byte, n), make([][]byte, n)
	var digests []string
	var attested []int64
	for i, r := range b.Rows {
		seqs[i], leaves[i], hashes[i], bodies[i] = r.Seq, r.Leaf, r.Hash[:], r.Payload
		if r.Unique != "" {
			digests, attested = append(digests, r.Unique), append(attested, r.Seq)
		}
	}
	levels, indexes, nodes := make([]int32, len(b.Nodes)), make([]int64, len(b.Nodes)), make([][]byte, len(b.Nodes))
	for i, node := range b.Nodes {
		levels[i], indexes[i], nodes[i] = int32(node.Level), node.Index, node.Hash[:]
	}
	return []part{
		{n, "INSERT INTO leaves SELECT * FROM unnest(?::bigint[], ?::bytea[], ?::bytea[])", []any{seqs, leaves, hashes}},
		{n, "INSERT INTO payloads SELECT * FROM unnest(?::bigint[], ?::bytea[])", []any{seqs, bodies}},
		{len(digests), "INSERT INTO attestations SELECT * FROM unnest(?::text[], ?::bigint[])", []any{digests, attested}},
		{len(nodes), "INSERT INTO nodes SELECT * FROM unnest(?::integer[], ?::bigint[], ?::bytea[])", []any{levels, indexes, nodes}},
		{1, "INSERT INTO heads (size, root, time) VALUES (?::bigint, ?::bytea, ?::bigint)", []any{b.Head.Size, b.Head.Root[:], b.Head.Time.UnixMicro()}},
	}
}

// projected is what is derived from rows.
func projected(rows []store.Row) ([]part, error) {
	n := len(rows)
	seqs, times, ats, sizes := make([]int64, n), make([]int64, n), make([]int64, n), make([]int64, n)
	ids, kinds, actors, writers, outcomes := make([]string, n), make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	digests := make([][]byte, n)
	var types, values []string
	var referring []int64
	var tables, keys, facts []string
	var stating []int64
	var bound []int32
	for i, r := range rows {
		digest, err := hex.DecodeString(strings.TrimPrefix(r.PayloadDigest, "sha256:"))
		if err != nil {
			return nil, fmt.Errorf("record %d: payload digest: %w", r.Seq, err)
		}
		seqs[i], times[i], ats[i], sizes[i], digests[i] = r.Seq, r.Time.UnixMicro(), r.At.UnixMicro(), int64(r.Size), digest
		ids[i], kinds[i], actors[i], writers[i], outcomes[i] = r.ID, string(r.Kind), r.Actor, r.Writer, string(r.Outcome)
		for _, ref := range r.Refs {
			types, values, referring = append(types, string(ref.Type)), append(values, ref.Value), append(referring, r.Seq)
		}
		for _, f := range r.Facts {
			isBound := int32(0)
			if f.Bound {
				isBound = 1
			}
			tables, keys, facts = append(tables, f.Table), append(keys, f.Key), append(facts, string(f.Value))
			stating, bound = append(stating, r.Seq), append(bound, isBound)
		}
	}
	return []part{
		{n, `INSERT INTO records (seq, time, id, kind, actor, writer, at, outcome, payload, size) SELECT * FROM unnest(?::bigint[], ?::bigint[],
			?::text[], ?::text[], ?::text[], ?::text[], ?::bigint[], ?::text[], ?::bytea[], ?::bigint[])`,
			[]any{seqs, times, ids, kinds, actors, writers, ats, outcomes, digests, sizes}},
		{len(types), "INSERT INTO refs SELECT * FROM unnest(?::text[], ?::text[], ?::bigint[])", []any{types, values, referring}},
		{len(tables), `INSERT INTO facts (tbl, key, seq, value, bound) SELECT * FROM unnest(?::text[], ?::text[], ?::bigint[], ?::text[], ?::integer[])`,
			[]any{tables, keys, stating, facts, bound}},
	}, nil
}
