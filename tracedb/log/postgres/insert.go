package postgres

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"

	"github.com/druppie/druppie-up/tracedb/log/store"
)

// channel is the one that a batch's size is announced on.
const channel = "tracedb"

// Insert writes the batch and notifies the other replicas when it is there, all in one statement: each round trip
// to the server would cost as much as a few records.
func (e *engine) Insert(ctx context.Context, tx *sql.Tx, b *store.Batch) error {
	projections, err := store.Projections(b.Rows)
	if err != nil {
		return err
	}
	err = execute(ctx, tx, append(b.Inserts(), projections...), "SELECT pg_notify($1, $2)", channel, strconv.FormatInt(b.Head.Size, 10))
	if err != nil || len(b.Disposed) == 0 {
		return err
	}
	// Each of these sees only what earlier statements inserted: the records that say why, then the disposals.
	if err := execute(ctx, tx, []*store.Insert{b.Disposals()}, "SELECT 1"); err != nil {
		return err
	}
	seqs := make([]int64, len(b.Disposed))
	for i, d := range b.Disposed {
		seqs[i] = d.Seq
	}
	if _, err := tx.ExecContext(ctx, "DELETE FROM payloads WHERE seq = ANY($1::bigint[])", seqs); err != nil {
		return fmt.Errorf("dispose of payloads: %w", err)
	}
	return nil
}

// Project writes what is derived from the rows.
func (e *engine) Project(ctx context.Context, tx *sql.Tx, rows []store.Row) error {
	projections, err := store.Projections(rows)
	if err != nil {
		return err
	}
	return execute(ctx, tx, projections, "SELECT 1")
}

// execute runs a statement, and the inserts that have rows with it, each column as an array.
func execute(ctx context.Context, tx *sql.Tx, inserts []*store.Insert, statement string, args ...any) error {
	var with []string
	for _, in := range inserts {
		if len(in.Rows) == 0 {
			continue
		}
		arrays := make([]string, len(in.Columns))
		for i, c := range in.Columns {
			args = append(args, array(in, i))
			arrays[i] = fmt.Sprintf("$%d::%s[]", len(args), c.Type)
		}
		with = append(with, fmt.Sprintf("insert_%s AS (INSERT INTO %[1]s (%s) SELECT * FROM unnest(%s))", in.Table, in.Names(), strings.Join(arrays, ", ")))
	}
	if len(with) > 0 {
		statement = "WITH " + strings.Join(with, ", ") + " " + statement
	}
	if _, err := tx.ExecContext(ctx, statement, args...); err != nil {
		return fmt.Errorf("insert: %w", err)
	}
	return nil
}

// array is a column of an insert.
func array(in *store.Insert, column int) any {
	switch in.Columns[column].Type {
	case "text":
		return values[string](in.Rows, column)
	case "bytea":
		return values[[]byte](in.Rows, column)
	}
	return values[int64](in.Rows, column)
}

func values[T any](rows [][]any, column int) []T {
	out := make([]T, len(rows))
	for i, row := range rows {
		out[i] = row[column].(T)
	}
	return out
}
