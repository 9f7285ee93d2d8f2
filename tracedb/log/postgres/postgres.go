// Package postgres keeps the log in a PostgreSQL database that several replicas may serve. It owns the
// database's migrations, its triggers, and the order among replicas; it refuses to change or delete a
// row of the log, by triggers in the database itself.
//
// Who may write is decided by a row lock, not by an election: each batch's transaction first locks the
// one row of the table log. An elected writer would have to be found by the others, would leave them
// waiting until its lease is over when it dies, and would need fencing, or two would write when one was
// only slow. The lock ends with its transaction, so the next replica goes on at once, and what it
// protects is in the same database: who doesn't hold it can't commit. The price is that a replica whose
// predecessor was another one reads the tree's compact range again, some twenty rows.
package postgres

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"embed"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/log/store"
)

// The migrations, in the order of their names, and the projections as they are after the last one.
//
//go:embed migrations/*.sql
var migrations embed.FS

// engine is a log in a PostgreSQL database.
type engine struct {
	config      *pgx.ConnConfig
	timeout     time.Duration // how long the server may say nothing
	write, read *sql.DB
}

// Open connects to the database and brings its tables up to date. Errors don't repeat the DSN, which
// may hold a password.
func Open(ctx context.Context, dsn string, readOnly bool) (*store.DB, error) {
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, errors.New("open postgres: the DSN can't be read")
	}
	config.RuntimeParams["application_name"] = "tracedb"
	// Every frequent query has an index. Without statistics, as in a new database, the
	// planner would read whole tables instead, and keep to that plan while they grow.
	config.RuntimeParams["enable_seqscan"] = "off"
	// Such a plan, where there is no other, as for a table of one row, counts as so costly that the server
	// would compile it to machine code, each time: that takes longer than the log's longest transaction.
	config.RuntimeParams["jit"] = "off"
	for name, value := range timeouts {
		if _, ok := config.RuntimeParams[name]; !ok {
			config.RuntimeParams[name] = value
		}
	}
	timeout, err := setUserTimeout(config)
	if err != nil {
		return nil, fmt.Errorf("open postgres: %w", err)
	}
	reading := config.Copy()
	reading.RuntimeParams["default_transaction_read_only"] = "on"
	e := &engine{config: config, timeout: timeout, read: stdlib.OpenDB(*reading)}
	e.read.SetMaxOpenConns(max(8, 2*runtime.GOMAXPROCS(0)))
	e.read.SetMaxIdleConns(max(8, 2*runtime.GOMAXPROCS(0)))
	if !readOnly {
		// Whatever the database's default is: what was acknowledged is on its disk.
		config.RuntimeParams["synchronous_commit"] = "on"
		e.write = stdlib.OpenDB(*config)
		e.write.SetMaxOpenConns(1)
		if err := e.migrate(ctx); err != nil {
			return nil, errors.Join(fmt.Errorf("open postgres: %w", e.Translate(err)), e.Close())
		}
	}
	if err := e.read.PingContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open postgres: %w", e.Translate(err)), e.Close())
	}
	return &store.DB{Engine: e, Read: e.read}, nil
}

// timeouts bound how long anybody waits. A replica that lost its network in the middle of a transaction
// would hold the lock until TCP gives up, which takes hours; who waits for a lock says so after a while;
// and a server that is silent, because what lies between forgot the connection, isn't waited for longer
// than tcp_user_timeout, by either side. A DSN may say otherwise.
var timeouts = map[string]string{
	"idle_in_transaction_session_timeout": "30s",
	"lock_timeout":                        "20s",
	"tcp_user_timeout":                    "30s",
}

// migrationLock is the number of the lock that lets one replica at a time migrate.
const migrationLock = 0x7472616365

func (e *engine) migrate(ctx context.Context) error {
	return store.Migrate(ctx, e.write, migrations, func(tx *sql.Tx) (version int, err error) {
		if _, err := tx.ExecContext(ctx, "SELECT pg_advisory_xact_lock($1)", int64(migrationLock)); err != nil {
			return 0, err
		}
		if _, err := tx.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS migrations (version integer PRIMARY KEY, applied timestamptz NOT NULL DEFAULT now())"); err != nil {
			return 0, err
		}
		err = tx.QueryRowContext(ctx, "SELECT coalesce(max(version), 0) FROM migrations").Scan(&version)
		return version, err
	}, "INSERT INTO migrations (version) VALUES (%d)")
}

// Begin starts a transaction and locks the log's row in it. The statements that follow see what the
// lock's last holder committed.
func (e *engine) Begin(ctx context.Context) (*sql.Tx, error) {
	if e.write == nil {
		return nil, tracedb.ErrUnavailable.Says("the log was opened for reading only")
	}
	tx, err := e.write.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	var one int
	err = tx.QueryRowContext(ctx, "SELECT one FROM log FOR UPDATE").Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		// There is no log yet: who makes it locks the table.
		_, err = tx.ExecContext(ctx, "LOCK TABLE log IN SHARE ROW EXCLUSIVE MODE")
	}
	if err != nil {
		return nil, errors.Join(err, tx.Rollback())
	}
	return tx, nil
}

// Timeout is how long a batch's transaction may take.
func (e *engine) Timeout() time.Duration { return e.timeout }

// List is an array.
func (e *engine) List(items any) (store.List, error) {
	of := "text"
	if _, ok := items.([]int64); ok {
		of = "bigint"
	}
	return store.List{Items: items, Among: "= ANY($%d::" + of + "[])", Table: "unnest($%d::" + of + "[]) k (value)"}, nil
}

// IndexHint is empty: the planner chooses by what the tables hold.
func (e *engine) IndexHint(string) string { return "" }

// MultiWriter is true: replicas serve the same database.
func (e *engine) MultiWriter() bool { return true }

func (e *engine) Close() error { return store.Close(e.read, e.write) }

// Translate names a full disk and a server that isn't there as such (PostgreSQL, appendix A).
func (e *engine) Translate(err error) error {
	var refused *pgconn.PgError
	var connect *pgconn.ConnectError
	var network net.Error
	switch {
	case errors.As(err, &refused):
		switch {
		case refused.Code == "53100":
			return fmt.Errorf("%w (%w)", tracedb.ErrFull, err)
		case refused.Code == "XX001" || refused.Code == "XX002":
			return fmt.Errorf("%w (%w)", store.ErrCorrupt, err)
		case refused.Code == "55P03":
			return fmt.Errorf("%w (%w)", tracedb.ErrUnavailable.Says("another replica holds the database"), err)
		case refused.Code == "25P03" || strings.HasPrefix(refused.Code, "08") || strings.HasPrefix(refused.Code, "53") || strings.HasPrefix(refused.Code, "57P"):
			return fmt.Errorf("%w (%w)", tracedb.ErrUnavailable.Says("the database server isn't there now"), err)
		}
	case errors.Is(err, context.Canceled):
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w (%w)", tracedb.ErrUnavailable.Says("the database server didn't answer in time"), err)
	case errors.As(err, &connect) || errors.As(err, &network) || errors.Is(err, driver.ErrBadConn) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || pgconn.SafeToRetry(err):
		return fmt.Errorf("%w (%w)", tracedb.ErrUnavailable.Says("the database server isn't there now"), err)
	}
	return err
}
