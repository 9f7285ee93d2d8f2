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

// Insert writes the batch, a statement for each table, and tells the other replicas when it is there.
func (e *engine) Insert(ctx context.Context, tx *sql.Tx, b *store.Batch) error {
	n := len(b.Rows)
	seqs, leaves, hashes, bodies := make([]int64, n), make([][]byte, n), make([][]byte, n), make([][]byte, n)
	var digests []string
	var attested []int64
	for i, r := range b.Rows {
		seqs[i], leaves[i], hashes[i], bodies[i] = r.Seq, r.Leaf, r.Hash[:], r.Body
		if r.Unique != "" {
			digests, attested = append(digests, r.Unique), append(attested, r.Seq)
		}
	}
	levels, indexes, nodes := make([]int32, len(b.Nodes)), make([]int64, len(b.Nodes)), make([][]byte, len(b.Nodes))
	for i, node := range b.Nodes {
		levels[i], indexes[i], nodes[i] = int32(node.Level), node.Index, node.Hash[:]
	}
	disposed, disposers := make([]int64, len(b.Disposed)), make([]int64, len(b.Disposed))
	for i, d := range b.Disposed {
		disposed[i], disposers[i] = d.Seq, d.By
	}
	if err := insert(ctx, tx, n, "INSERT INTO leaves SELECT * FROM unnest($1::bigint[], $2::bytea[], $3::bytea[])", seqs, leaves, hashes); err != nil {
		return err
	}
	if err := insert(ctx, tx, n, "INSERT INTO payloads SELECT * FROM unnest($1::bigint[], $2::bytea[])", seqs, bodies); err != nil {
		return err
	}
	if err := insert(ctx, tx, len(digests), "INSERT INTO attestations SELECT * FROM unnest($1::text[], $2::bigint[])", digests, attested); err != nil {
		return err
	}
	if err := insert(ctx, tx, len(nodes), "INSERT INTO nodes SELECT * FROM unnest($1::integer[], $2::bigint[], $3::bytea[])", levels, indexes, nodes); err != nil {
		return err
	}
	if err := insert(ctx, tx, 1, "INSERT INTO heads (size, root, time) VALUES ($1, $2, $3)", b.Head.Size, b.Head.Root[:], b.Head.Time.UnixMicro()); err != nil {
		return err
	}
	if err := e.Project(ctx, tx, b.Rows); err != nil {
		return err
	}
	if err := insert(ctx, tx, len(disposed), "INSERT INTO disposals SELECT * FROM unnest($1::bigint[], $2::bigint[])", disposed, disposers); err != nil {
		return err
	}
	if err := insert(ctx, tx, len(disposed), "DELETE FROM payloads WHERE seq = ANY($1::bigint[])", disposed); err != nil {
		return err
	}
	return insert(ctx, tx, 1, "SELECT pg_notify($1, $2)", channel, strconv.FormatInt(b.Head.Size, 10))
}

// insert runs a statement unless it has no rows to bring.
func insert(ctx context.Context, tx *sql.Tx, rows int, query string, args ...any) error {
	if rows == 0 {
		return nil
	}
	if _, err := tx.ExecContext(ctx, query, args...); err != nil {
		return fmt.Errorf("%s: %w", strings.Join(strings.Fields(query)[:3], " "), err)
	}
	return nil
}

// Project writes what is derived from the rows.
func (e *engine) Project(ctx context.Context, tx *sql.Tx, rows []store.Row) error {
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
		digest, err := hex.DecodeString(strings.TrimPrefix(r.Payload, "sha256:"))
		if err != nil {
			return fmt.Errorf("record %d: payload digest: %w", r.Seq, err)
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
	err := insert(ctx, tx, n, `INSERT INTO records (seq, time, id, kind, actor, writer, at, outcome, payload, size) SELECT * FROM
		unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bigint[], $8::text[], $9::bytea[], $10::bigint[])`,
		seqs, times, ids, kinds, actors, writers, ats, outcomes, digests, sizes)
	if err != nil {
		return err
	}
	if err := insert(ctx, tx, len(types), "INSERT INTO refs SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[])", types, values, referring); err != nil {
		return err
	}
	return insert(ctx, tx, len(tables), "INSERT INTO facts (tbl, key, seq, value, bound) SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::integer[])",
		tables, keys, stating, facts, bound)
}
