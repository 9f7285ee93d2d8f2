package postgres

import (
	"context"
	"database/sql"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/log/store"
)

// rebuilding is the schema in which projections are made anew.
const rebuilding = "tracedb_rebuilding"

// Rebuild makes the projections anew in a schema of their own, so that readers go on with the old ones,
// and lets them change places at the end.
func (e *engine) Rebuild(ctx context.Context, tx *sql.Tx, fill func() error) error {
	var home, path string
	if err := tx.QueryRowContext(ctx, "SELECT current_schema(), current_setting('search_path')").Scan(&home, &path); err != nil {
		return err
	}
	home = pgx.Identifier{home}.Sanitize()
	execute := func(statements ...string) error {
		for _, statement := range statements {
			if _, err := tx.ExecContext(ctx, statement); err != nil {
				return err
			}
		}
		return nil
	}
	err := execute("SET LOCAL idle_in_transaction_session_timeout = 0", // deriving may take long between two statements
		"DROP SCHEMA IF EXISTS "+rebuilding+" CASCADE", "CREATE SCHEMA "+rebuilding, "SET LOCAL search_path TO "+rebuilding+", "+home)
	if err != nil {
		return err
	}
	if err := store.MakeProjections(ctx, tx, migrations); err != nil {
		return err
	}
	if err := fill(); err != nil {
		return err
	}
	for _, table := range []string{"records", "refs", "facts"} {
		err := execute("DROP TABLE IF EXISTS "+home+"."+table, "ALTER TABLE "+rebuilding+"."+table+" SET SCHEMA "+home)
		if err != nil {
			return err
		}
	}
	if err := execute("DROP SCHEMA " + rebuilding); err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, "SELECT set_config('search_path', $1, true)", path)
	return err
}

// EraseDeleted has nothing to do: the server's autovacuum clears deleted rows away.
func (e *engine) EraseDeleted(context.Context) (bool, error) { return true, nil }

// Backup is for the server's own tools.
func (e *engine) Backup(context.Context, string) error {
	return tracedb.ErrUnavailable.Says("a log in PostgreSQL is backed up with pg_dump").WithHint("run pg_dump --format=custom, and check after pg_restore with the newest checkpoint")
}

// reconnectPause is how long to wait before listening again after the connection was lost.
const reconnectPause = 2 * time.Second

// Watch listens for the sizes that batches announce, over a connection of its own.
func (e *engine) Watch(ctx context.Context, seen func(size int64)) {
	for ctx.Err() == nil {
		e.listen(ctx, seen)
		select {
		case <-ctx.Done():
		case <-time.After(reconnectPause):
		}
	}
}

// listen ends when the connection does; what it missed is found by those who poll besides.
func (e *engine) listen(ctx context.Context, seen func(size int64)) {
	conn, err := pgx.ConnectConfig(ctx, e.config)
	if err != nil {
		return
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, "LISTEN "+channel); err != nil {
		return
	}
	for {
		n, err := conn.WaitForNotification(ctx)
		if err != nil {
			return
		}
		if size, err := strconv.ParseInt(n.Payload, 10, 64); err == nil {
			seen(size)
		}
	}
}
