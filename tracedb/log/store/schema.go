package store

import (
	"context"
	"database/sql"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
)

// projections is the script that makes the projections as they are after the last migration.
const projections = "migrations/projections.sql"

// Migrate runs the migrations that a database lacks, in the order of their names, all in one transaction: current reads
// the database's version in it, and record is the statement that keeps a new one, with %d for it. A new database
// gets its projections too.
func Migrate(ctx context.Context, db *sql.DB, scripts fs.FS, current func(tx *sql.Tx) (int, error), record string) error {
	files, err := fs.Glob(scripts, "migrations/0*.sql")
	if err != nil {
		return err
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	version, err := current(tx)
	if err != nil {
		return err
	}
	if version > len(files) {
		return fmt.Errorf("the database is of version %d, and this program knows only %d: a newer one made it", version, len(files))
	}
	for i, file := range files[version:] {
		if err := run(ctx, tx, scripts, file); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, fmt.Sprintf(record, version+i+1)); err != nil {
			return err
		}
	}
	if version == 0 {
		if err := MakeProjections(ctx, tx, scripts); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// MakeProjections makes the tables of what is derived from the log.
func MakeProjections(ctx context.Context, tx *sql.Tx, scripts fs.FS) error {
	return run(ctx, tx, scripts, projections)
}

// run runs a file of statements.
func run(ctx context.Context, tx *sql.Tx, scripts fs.FS, name string) error {
	text, err := fs.ReadFile(scripts, name)
	if err != nil {
		return err
	}
	// Without arguments pgx takes the simple protocol, which takes many statements at once.
	if _, err := tx.ExecContext(ctx, string(text)); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// Disabled replaces the definition of what is in the database and has no effect.
const Disabled = "disabled"

// CompareSchema compares what a database has with what the migrations make, by kind and name. Of what else the
// database has, it names what begins with prefix.
func CompareSchema(want, have map[string]string, prefix string) []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(want)) {
		switch have[name] {
		case want[name]:
		case "":
			out = append(out, name+" is missing")
		case Disabled:
			out = append(out, name+" is off")
		default:
			out = append(out, name+" isn't as it was made")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(have)) {
		if _, ok := want[name]; !ok && strings.HasPrefix(name, prefix) {
			out = append(out, name+" doesn't belong here")
		}
	}
	return out
}

// Definitions reads names and definitions.
func Definitions(ctx context.Context, q Querier, query string) (map[string]string, error) {
	type row struct{ name, definition string }
	out := map[string]string{}
	err := each(ctx, q, func(rows *sql.Rows, r *row) error { return rows.Scan(&r.name, &r.definition) }, func(r row) error {
		out[r.name] = r.definition
		return nil
	}, query)
	return out, err
}
