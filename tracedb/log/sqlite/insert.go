package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"

	"github.com/druppie/druppie-up/tracedb/log/store"
)

// rowsPerInsert are how many rows one INSERT brings: statements of many rows are faster, and a statement for
// each number of rows would be too many to keep.
var rowsPerInsert = []int{32, 8, 1}

func insert(ctx context.Context, tx *sql.Tx, inserts ...*store.Insert) error {
	for _, in := range inserts {
		row := "(?" + strings.Repeat(",?", len(in.Columns)-1) + ")"
		rows := in.Rows
		for _, n := range rowsPerInsert {
			query := "INSERT INTO " + in.Table + " (" + in.Names() + ") VALUES " + row + strings.Repeat(","+row, n-1)
			for ; len(rows) >= n; rows = rows[n:] {
				if _, err := tx.ExecContext(ctx, query, slices.Concat(rows[:n]...)...); err != nil {
					return fmt.Errorf("insert into %s: %w", in.Table, err)
				}
			}
		}
	}
	return nil
}

// Insert writes the batch.
func (e *engine) Insert(ctx context.Context, tx *sql.Tx, b *store.Batch) error {
	if err := insert(ctx, tx, b.Inserts()...); err != nil {
		return err
	}
	if err := e.Project(ctx, tx, b.Rows); err != nil {
		return err
	}
	if err := insert(ctx, tx, b.Disposals()); err != nil {
		return err
	}
	return deletePayloads(ctx, tx, b.Disposed)
}

// deletePayloads deletes each in a statement of its own: what is overwritten can be undone until its statement
// ends, and all of them together may not fit into memory.
func deletePayloads(ctx context.Context, tx *sql.Tx, disposed []store.Disposed) error {
	for _, d := range disposed {
		if _, err := tx.ExecContext(ctx, "DELETE FROM payloads WHERE seq = $1", d.Seq); err != nil {
			return fmt.Errorf("dispose of payload %d: %w", d.Seq, err)
		}
	}
	return nil
}

// Project writes what is derived from the rows.
func (e *engine) Project(ctx context.Context, tx *sql.Tx, rows []store.Row) error {
	projections, err := store.Projections(rows)
	if err != nil {
		return err
	}
	return insert(ctx, tx, projections...)
}
