package bench

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"modernc.org/sqlite"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/log"
	"github.com/druppie/druppie-up/tracedb/log/batch"
)

// plainSchema has the same rows and indexes as the log, and nothing else: no leaves, no tree, no triggers, no
// search for what is there already.
const plainSchema = `
CREATE TABLE payloads (seq %[1]s PRIMARY KEY, body %[2]s NOT NULL);
CREATE TABLE records (seq %[1]s PRIMARY KEY, time %[1]s NOT NULL, id %[3]s NOT NULL, kind %[3]s NOT NULL, actor %[3]s NOT NULL,
  writer %[3]s NOT NULL, at %[1]s NOT NULL, outcome %[3]s NOT NULL, payload %[2]s NOT NULL, size %[1]s NOT NULL);
CREATE UNIQUE INDEX records_id ON records (writer, id);
CREATE INDEX records_time ON records (time%[5]s);
CREATE INDEX records_kind ON records (kind%[5]s);
CREATE INDEX records_actor ON records (actor%[5]s);
CREATE INDEX records_outcome ON records (outcome%[5]s) WHERE outcome <> '';
CREATE TABLE refs (type %[3]s NOT NULL, value %[3]s NOT NULL, seq %[1]s NOT NULL, PRIMARY KEY (type, value, seq)) %[4]s;
`

// plainDB inserts rows in one durable transaction.
type plainDB interface {
	insert(ctx context.Context, first int64, drafts []log.Prepared) error
	Close() error
}

// plainTables commits to a plain database when the log would: the calls that wait together, by the same code.
type plainTables struct {
	plainDB
	calls      chan *plainCall
	stop, done chan struct{}
}

type plainCall struct {
	drafts []log.Prepared
	err    chan error
}

func openPlain(t testing.TB, e engine, dsn string) *plainTables {
	t.Helper()
	open := openPlainSQLite
	if e.server != nil {
		open = openPlainPostgres
	}
	db, err := open(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	p := &plainTables{plainDB: db, calls: make(chan *plainCall), stop: make(chan struct{}), done: make(chan struct{})}
	q := batch.Queue[*plainCall]{Requests: p.calls, Stop: p.stop, Size: func(c *plainCall) (records, bytes int) {
		for _, d := range c.drafts {
			bytes += len(d.Payload)
		}
		return len(c.drafts), bytes
	}}
	go func() {
		defer close(p.done)
		next := int64(0)
		q.Run(func(calls []*plainCall) {
			var drafts []log.Prepared
			for _, c := range calls {
				drafts = append(drafts, c.drafts...)
			}
			err := db.insert(t.Context(), next, drafts)
			next += int64(len(drafts))
			for _, c := range calls {
				c.err <- err
			}
		})
	}()
	return p
}

func (p *plainTables) Append(_ context.Context, _ string, drafts []log.Prepared) ([]tracedb.Receipt, error) {
	call := &plainCall{drafts, make(chan error, 1)}
	p.calls <- call
	return nil, <-call.err
}

func (p *plainTables) Close() error {
	close(p.stop)
	<-p.done
	return p.plainDB.Close()
}

// plainSQLite inserts many rows with one statement that it compiled once, which is the fastest this driver does.
type plainSQLite struct {
	*sql.DB
	payloads, records, refs plainInsert
}

// plainInsert is an INSERT into one table, compiled for each number of rows.
type plainInsert struct {
	columns int
	rows    map[int]*sql.Stmt
}

// plainRows are those numbers: most often the first.
var plainRows = []int{32, 8, 1}

func openPlainSQLite(ctx context.Context, dsn string) (plainDB, error) {
	query := url.Values{"_txlock": {"immediate"}, "_pragma": {"synchronous(full)", "secure_delete(on)", "cache_size(-8192)", "wal_autocheckpoint(1000)"}}
	c, err := sqlite.NewConnector("file:" + strings.TrimPrefix(dsn, sqliteScheme) + "?" + query.Encode())
	if err != nil {
		return nil, err
	}
	p := plainSQLite{DB: sql.OpenDB(c)}
	p.SetMaxOpenConns(1)
	// SQLite's indexes hold seq, the rowid, by themselves.
	schema := fmt.Sprintf(plainSchema, "INTEGER", "BLOB", "TEXT", "WITHOUT ROWID", "")
	if _, err := p.ExecContext(ctx, "PRAGMA page_size = 8192; PRAGMA journal_mode = wal;"+schema); err != nil {
		return nil, err
	}
	for _, t := range []struct {
		into    string
		columns int
		insert  *plainInsert
	}{{"payloads", 2, &p.payloads}, {"records", 10, &p.records}, {"refs", 3, &p.refs}} {
		*t.insert = plainInsert{t.columns, map[int]*sql.Stmt{}}
		row := "(?" + strings.Repeat(",?", t.columns-1) + ")"
		for _, n := range plainRows {
			if t.insert.rows[n], err = p.PrepareContext(ctx, "INSERT INTO "+t.into+" VALUES "+row+strings.Repeat(","+row, n-1)); err != nil {
				return nil, err
			}
		}
	}
	return p, nil
}

func (p plainSQLite) insert(ctx context.Context, first int64, drafts []log.Prepared) error {
	var payloads, records, refs []any
	for i, d := range drafts {
		seq := first + int64(i)
		digest := sha256.Sum256(d.Payload)
		payloads = append(payloads, seq, []byte(d.Payload))
		records = append(records, seq, d.At.UnixMicro(), d.ID, string(d.Kind), d.Actor, writer, d.At.UnixMicro(), string(d.Outcome), digest[:], len(d.Payload))
		for _, r := range d.Refs {
			refs = append(refs, string(r.Type), r.Value, seq)
		}
	}
	tx, err := p.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if err := errors.Join(p.payloads.exec(ctx, tx, payloads), p.records.exec(ctx, tx, records), p.refs.exec(ctx, tx, refs)); err != nil {
		return err
	}
	return tx.Commit()
}

func (i plainInsert) exec(ctx context.Context, tx *sql.Tx, args []any) error {
	for _, n := range plainRows {
		for ; len(args) >= n*i.columns; args = args[n*i.columns:] {
			if _, err := tx.StmtContext(ctx, i.rows[n]).ExecContext(ctx, args[:n*i.columns]...); err != nil {
				return err
			}
		}
	}
	return nil
}

// plainPostgres inserts many rows with one statement from arrays.
type plainPostgres struct{ conn *pgx.Conn }

func openPlainPostgres(ctx context.Context, dsn string) (plainDB, error) {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return nil, err
	}
	_, err = conn.Exec(ctx, fmt.Sprintf(plainSchema, "bigint", "bytea", `text COLLATE "C"`, "", ", seq"))
	return plainPostgres{conn}, err
}

func (p plainPostgres) Close() error { return p.conn.Close(context.Background()) }

func (p plainPostgres) insert(ctx context.Context, first int64, drafts []log.Prepared) error {
	n := len(drafts)
	seqs, times, sizes := make([]int64, n), make([]int64, n), make([]int64, n)
	ids, kinds, actors, writers, outcomes := make([]string, n), make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	bodies, digests := make([][]byte, n), make([][]byte, n)
	var types, values []string
	var referring []int64
	for i, d := range drafts {
		digest := sha256.Sum256(d.Payload)
		seqs[i], times[i], sizes[i], bodies[i], digests[i] = first+int64(i), d.At.UnixMicro(), int64(len(d.Payload)), d.Payload, digest[:]
		ids[i], kinds[i], actors[i], writers[i], outcomes[i] = d.ID, string(d.Kind), d.Actor, writer, string(d.Outcome)
		for _, r := range d.Refs {
			types, values, referring = append(types, string(r.Type)), append(values, r.Value), append(referring, seqs[i])
		}
	}
	return pgx.BeginFunc(ctx, p.conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "INSERT INTO payloads SELECT * FROM unnest($1::bigint[], $2::bytea[])", seqs, bodies); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `INSERT INTO records SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[],
			$7::bigint[], $8::text[], $9::bytea[], $10::bigint[])`, seqs, times, ids, kinds, actors, writers, times, outcomes, digests, sizes); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "INSERT INTO refs SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[])", types, values, referring)
		return err
	})
}
