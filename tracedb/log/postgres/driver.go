package postgres

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"

	"github.com/jackc/pgx/v5"
)

// connector gives database/sql connections of pgx, so that both engines speak one interface. It is
// what pgx's own adapter does as far as the log needs it, without the second pool that comes with that.
type connector struct{ config *pgx.ConnConfig }

func (c connector) Connect(ctx context.Context) (driver.Conn, error) {
	pg, err := pgx.ConnectConfig(ctx, c.config)
	if err != nil {
		return nil, err
	}
	return &conn{pg}, nil
}

func (c connector) Driver() driver.Driver { return named{} }

// named refuses to open connections by a name: there is only the connector.
type named struct{}

func (named) Open(string) (driver.Conn, error) { return nil, errors.ErrUnsupported }

type conn struct{ pg *pgx.Conn }

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
	return transaction{tx}, nil
}

func (c *conn) Close() error                   { return c.pg.Close(context.Background()) }
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

type transaction struct{ pg pgx.Tx }

func (t transaction) Commit() error   { return t.pg.Commit(context.Background()) }
func (t transaction) Rollback() error { return t.pg.Rollback(context.Background()) }
