package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"

	"modernc.org/sqlite"
)

// This file is tuning. Compiling an INSERT with its triggers takes longer than running it, and database/sql forgets
// what it compiled: with kept statements the log appends 0.83 to 0.98 times what plain inserts do, and was several
// times slower without (docs/trace/operating.md, make bench-tracedb).

// connector opens connections that keep the statements they compiled.
type connector struct{ driver.Connector }

// connect is a connector for a DSN. It does without the driver's registered name, which is global.
func connect(dsn string) (connector, error) {
	c, err := sqlite.NewConnector(dsn)
	return connector{c}, err
}

func (c connector) Connect(ctx context.Context) (driver.Conn, error) {
	opened, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return &conn{sqliteConn: opened.(sqliteConn), kept: map[string]*statement{}}, nil
}

// sqliteConn is what a connection of the driver's can do.
type sqliteConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
	driver.Pinger
	driver.SessionResetter
	driver.Validator
}

// maxKept is how many statements a connection keeps; a statement takes some ten KiB. The log itself has
// fewer, but searches come in many forms.
const maxKept = 64

// conn compiles a statement when it first sees it and keeps it: compiling one that inserts, with all its
// triggers, takes longer than running it. Like every driver's it is used by one at a time.
type conn struct {
	sqliteConn
	kept map[string]*statement
}

// statement is a compiled one.
type statement struct {
	compiled
	busy bool // its rows are being read, and somebody may ask the same meanwhile
}

// compiled is what a statement of the driver's can do.
type compiled interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

func (c *conn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	s, err := c.statement(ctx, query)
	if err != nil {
		return nil, err
	}
	if s == nil {
		return c.sqliteConn.ExecContext(ctx, query, args)
	}
	result, err := s.ExecContext(ctx, args)
	if err != nil {
		return nil, errors.Join(err, c.drop(query))
	}
	return result, nil
}

func (c *conn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	s, err := c.statement(ctx, query)
	if err != nil {
		return nil, err
	}
	if s == nil {
		return c.sqliteConn.QueryContext(ctx, query, args)
	}
	found, err := s.QueryContext(ctx, args)
	if err != nil {
		return nil, errors.Join(err, c.drop(query))
	}
	s.busy = true
	return &rows{found, c, query}, nil
}

// statement is the compiled query, or nil while its rows are being read.
func (c *conn) statement(ctx context.Context, query string) (*statement, error) {
	if s, ok := c.kept[query]; ok {
		if s.busy {
			return nil, nil
		}
		return s, nil
	}
	if len(c.kept) >= maxKept {
		for query, s := range c.kept {
			if s.busy {
				continue
			}
			if err := c.drop(query); err != nil {
				return nil, err
			}
		}
	}
	made, err := c.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	s := &statement{compiled: made.(compiled)}
	c.kept[query] = s
	return s, nil
}

// drop forgets a statement: one that failed isn't used again.
func (c *conn) drop(query string) error {
	s := c.kept[query]
	delete(c.kept, query)
	return s.Close()
}

func (c *conn) Close() error {
	var errs []error
	for query := range c.kept {
		errs = append(errs, c.drop(query))
	}
	return errors.Join(append(errs, c.sqliteConn.Close())...)
}

// rows are those of a statement that is kept.
type rows struct {
	driver.Rows
	conn  *conn
	query string
}

func (r *rows) Close() error {
	err := r.Rows.Close()
	if err != nil {
		return errors.Join(err, r.conn.drop(r.query))
	}
	r.conn.kept[r.query].busy = false
	return nil
}
