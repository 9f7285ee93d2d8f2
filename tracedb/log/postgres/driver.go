package postgres

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sys/unix"
)

// connector gives database/sql connections of pgx, so that both engines speak one interface. It is
// what pgx's own adapter does as far as the log needs it, without the second pool that comes with that.
type connector struct {
	config *pgx.ConnConfig
	// silence is how long the server may say nothing to what database/sql gives no context for.
	silence time.Duration
}

func (c connector) Connect(ctx context.Context) (driver.Conn, error) {
	pg, err := pgx.ConnectConfig(ctx, c.config)
	if err != nil {
		return nil, err
	}
	return &conn{pg, c.silence}, nil
}

func (c connector) Driver() driver.Driver { return named{} }

// named refuses to open connections by a name: there is only the connector.
type named struct{}

func (named) Open(string) (driver.Conn, error) { return nil, errors.ErrUnsupported }

type conn struct {
	pg      *pgx.Conn
	silence time.Duration
}

var _ interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ExecerContext
	driver.QueryerContext
	driver.NamedValueChecker
	driver.Pinger
	driver.Validator
} = (*conn)(nil)

// Prepare isn't needed: pgx prepares and keeps the statements that it is given.
func (c *conn) Prepare(string) (driver.Stmt, error) { return nil, errors.ErrUnsupported }

func (c *conn) Begin() (driver.Tx, error) { return c.BeginTx(context.Background(), driver.TxOptions{}) }

func (c *conn) BeginTx(ctx context.Context, _ driver.TxOptions) (driver.Tx, error) {
	tx, err := c.pg.Begin(ctx)
	if err != nil {
		return nil, c.lost(err)
	}
	return transaction{tx, c.silence}, nil
}

func (c *conn) Close() error                   { return within(c.silence, c.pg.Close) }
func (c *conn) IsValid() bool                  { return !c.pg.IsClosed() }
func (c *conn) Ping(ctx context.Context) error { return c.lost(c.pg.Ping(ctx)) }

// CheckNamedValue lets every value through: pgx encodes slices too.
func (c *conn) CheckNamedValue(*driver.NamedValue) error { return nil }

func (c *conn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	tag, err := c.pg.Exec(ctx, query, values(args)...)
	if err != nil {
		return nil, c.lost(err)
	}
	return driver.RowsAffected(tag.RowsAffected()), nil
}

func (c *conn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	rows, err := c.pg.Query(ctx, query, values(args)...)
	if err != nil {
		return nil, c.lost(err)
	}
	return &rowsOf{rows}, nil
}

// lost lets database/sql try another connection when this one was closed before it was used.
func (c *conn) lost(err error) error {
	if err != nil && c.pg.IsClosed() && safe(err) {
		return driver.ErrBadConn
	}
	return err
}

func values(args []driver.NamedValue) []any {
	out := make([]any, len(args))
	for i, a := range args {
		out[i] = a.Value
	}
	return out
}

type rowsOf struct{ pg pgx.Rows }

func (r *rowsOf) Columns() []string {
	fields := r.pg.FieldDescriptions()
	out := make([]string, len(fields))
	for i, f := range fields {
		out[i] = f.Name
	}
	return out
}

func (r *rowsOf) Close() error {
	r.pg.Close()
	return r.pg.Err()
}

func (r *rowsOf) Next(dest []driver.Value) error {
	if !r.pg.Next() {
		if err := r.pg.Err(); err != nil {
			return err
		}
		return io.EOF
	}
	row, err := r.pg.Values()
	if err != nil {
		return err
	}
	for i, v := range row {
		dest[i] = v
	}
	return nil
}

type transaction struct {
	pg      pgx.Tx
	silence time.Duration
}

func (t transaction) Commit() error   { return within(t.silence, t.pg.Commit) }
func (t transaction) Rollback() error { return within(t.silence, t.pg.Rollback) }

// within gives a call so long.
func within(long time.Duration, call func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), long)
	defer cancel()
	return call(ctx)
}

// connecting is how long a new connection may take, where the DSN doesn't say it.
const connecting = time.Minute

// listening sets how connections notice that the server has gone silent: what was sent is acknowledged by
// then, as tcp_user_timeout says.
func listening(config *pgx.ConnConfig) (time.Duration, error) {
	given := config.RuntimeParams["tcp_user_timeout"]
	if _, err := strconv.Atoi(given); err == nil {
		given += "ms" // as PostgreSQL reads it
	}
	silence, err := time.ParseDuration(given)
	if err != nil || silence < time.Millisecond {
		return 0, errors.New("tcp_user_timeout isn't a time such as 30s")
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connecting
	}
	config.DialFunc = (&net.Dialer{Control: func(network, _ string, c syscall.RawConn) error {
		if !strings.HasPrefix(network, "tcp") {
			return nil
		}
		var err error
		return errors.Join(c.Control(func(fd uintptr) {
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(silence.Milliseconds()))
		}), err)
	}}).DialContext
	return silence, nil
}
