package store

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"github.com/druppie/druppie-up/tracedb"
)

// Window restricts a search to places in the log: From included, Until not.
type Window struct{ From, Until int64 }

// Search returns up to limit leaves, newest first. Times in q are ignored: the window replaces them.
//
// CROSS JOIN lets SQLite keep the order in which the tables are written: refs first, if there are any,
// since a thing has few records and a kind many. Each kind is searched for itself, in the order of its
// index, and stops at the limit; together they would all be read and sorted.
func (db *DB) Search(ctx context.Context, q tracedb.Query, w Window, limit int) ([]Leaf, error) {
	var args arguments
	kinds := q.Kinds
	if len(kinds) == 0 {
		kinds = []tracedb.Kind{""}
	}
	var searches []string
	for i, kind := range kinds {
		searches = append(searches, fmt.Sprintf("SELECT seq FROM (%s) k%d", db.search(&args, q, kind, w, limit), i))
	}
	return all(ctx, db.Read, scanLeaf, "SELECT l.seq, l.leaf FROM (SELECT seq FROM ("+strings.Join(searches, " UNION ALL ")+") found ORDER BY seq DESC LIMIT "+args.add(limit)+
		") newest CROSS JOIN leaves l WHERE l.seq = newest.seq ORDER BY newest.seq DESC", args...)
}

// arguments are those of a statement.
type arguments []any

// add adds an argument and returns its placeholder.
func (a *arguments) add(v any) string {
	*a = append(*a, v)
	return fmt.Sprintf("$%d", len(*a))
}

// search selects the places of records of one kind, or of any if kind is empty.
func (db *DB) search(args *arguments, q tracedb.Query, kind tracedb.Kind, w Window, limit int) string {
	var from, where []string
	for i, ref := range q.Refs {
		alias := fmt.Sprintf("f%d", i)
		from = append(from, "refs "+alias)
		where = append(where, fmt.Sprintf("%s.type = %s AND %s.value = %s", alias, args.add(string(ref.Type)), alias, args.add(ref.Value)))
		if i > 0 {
			where = append(where, alias+".seq = f0.seq")
		}
	}
	columns := []struct{ name, value string }{{"actor", q.Actor}, {"outcome", string(q.Outcome)}}
	seq, restricted := "f0.seq", kind != ""
	if restricted {
		// As a part of the statement: some kinds have a third of all records and some have none, and one plan
		// for all of them would read the whole log for those.
		where = append(where, "r.kind = '"+strings.ReplaceAll(string(kind), "'", "''")+"'")
	}
	for _, c := range columns {
		if c.value != "" {
			where = append(where, "r."+c.name+" = "+args.add(c.value))
			restricted = true
		}
	}
	if q.Outcome != "" {
		where = append(where, "r.outcome <> ''") // as its index says
	}
	switch {
	case len(q.Refs) == 0:
		from, seq = append(from, "records r"), "r.seq"
	case kind != "":
		// Many records of a thing are of other kinds, and the index knows that without reading them.
		from, where = append(from, "records r"+db.IndexHint("records_kind")), append(where, "r.seq = f0.seq")
	case restricted:
		from, where = append(from, "records r"), append(where, "r.seq = f0.seq")
	}
	where = append(where, seq+" >= "+args.add(w.From), seq+" < "+args.add(w.Until))
	return "SELECT " + seq + " AS seq FROM " + strings.Join(from, " CROSS JOIN ") + " WHERE " + strings.Join(where, " AND ") +
		" ORDER BY " + seq + " DESC LIMIT " + args.add(limit)
}

// Existing is a record that was there already.
type Existing struct {
	Seq     int64
	ID      string
	Kind    tracedb.Kind
	Outcome tracedb.Outcome
	Digest  []byte
	Time    int64
	Hash    []byte
}

// existing is what of a list has a row in a table. Most often nothing has. It is a subquery
// for each item, so that the engine can't but use the index for it: of a table that grew since its
// statistics were made, PostgreSQL would think that reading all is less work.
func existing(in List, n int, table, where string) string {
	return "SELECT k.value FROM " + in.From(n) + " WHERE (SELECT seq FROM " + table + " WHERE " + where + " = k.value) IS NOT NULL"
}

// ByID finds a writer's records with those ids.
func (db *DB) ByID(ctx context.Context, q Querier, writer string, ids []string) ([]Existing, error) {
	there, err := among(db, ids, func(in List) ([]string, error) {
		return Texts(ctx, q, existing(in, 2, "records", "writer = $1 AND id"), writer, in.Items)
	})
	if err != nil {
		return nil, err
	}
	return among(db, there, func(in List) ([]Existing, error) {
		return all(ctx, q, func(rows *sql.Rows, k *Existing) error {
			return rows.Scan(&k.Seq, &k.ID, &k.Kind, &k.Outcome, &k.Digest, &k.Time, &k.Hash)
		}, `SELECT r.seq, r.id, r.kind, r.outcome, r.payload, r.time, l.hash FROM records r JOIN leaves l ON l.seq = r.seq
			WHERE r.writer = $1 AND r.id `+in.As(2), writer, in.Items)
	})
}

// Attested finds which of those attestations are in the log.
func (db *DB) Attested(ctx context.Context, q Querier, digests []string) ([]string, error) {
	return among(db, digests, func(in List) ([]string, error) {
		return Texts(ctx, q, existing(in, 1, "attestations", "digest"), in.Items)
	})
}

func scanFact(rows *sql.Rows, f *tracedb.Fact) error {
	var value []byte
	var bound int
	if err := rows.Scan(&f.Table, &f.Key, &f.Seq, &value, &bound); err != nil {
		return err
	}
	f.Value, f.Bound = value, bound != 0
	return nil
}

const factColumns = "SELECT f.tbl, f.key, f.seq, f.value, f.bound FROM "

// newest restricts facts to those that are the newest of their keys.
const newest = `(SELECT key, max(seq) AS seq FROM facts WHERE tbl = $1%s GROUP BY key) newest
	CROSS JOIN facts f WHERE f.tbl = $1 AND f.key = newest.key AND f.seq = newest.seq ORDER BY f.key`

// Facts returns the newest fact for each key of a table, or for those keys.
func (db *DB) Facts(ctx context.Context, q Querier, table string, keys []string) ([]tracedb.Fact, error) {
	if len(keys) == 0 {
		return all(ctx, q, scanFact, factColumns+fmt.Sprintf(newest, ""), table)
	}
	return among(db, keys, func(in List) ([]tracedb.Fact, error) {
		return all(ctx, q, scanFact, factColumns+fmt.Sprintf(newest, " AND key "+in.As(2)), table, in.Items)
	})
}

// Bound returns the bound facts of those keys of a table.
func (db *DB) Bound(ctx context.Context, q Querier, table string, keys []string) ([]tracedb.Fact, error) {
	there, err := among(db, keys, func(in List) ([]string, error) {
		return Texts(ctx, q, existing(in, 2, "facts", "bound = 1 AND tbl = $1 AND key"), table, in.Items)
	})
	if err != nil {
		return nil, err
	}
	return among(db, there, func(in List) ([]tracedb.Fact, error) {
		return all(ctx, q, scanFact, factColumns+"facts f WHERE f.bound = 1 AND f.tbl = $1 AND f.key "+in.As(2), table, in.Items)
	})
}

// History returns every fact of a table and key, oldest first.
func History(ctx context.Context, q Querier, table, key string) ([]tracedb.Fact, error) {
	return all(ctx, q, scanFact, factColumns+"facts f WHERE f.tbl = $1 AND f.key = $2 ORDER BY f.seq", table, key)
}

// Due returns up to limit records of a kind whose log time is before cutoff and whose payload is there.
func Due(ctx context.Context, q Querier, kind tracedb.Kind, cutoff int64, limit int) ([]int64, error) {
	return all(ctx, q, func(rows *sql.Rows, seq *int64) error { return rows.Scan(seq) }, `SELECT r.seq FROM records r
		WHERE r.kind = $1 AND r.time < $2 AND NOT EXISTS (SELECT 1 FROM disposals d WHERE d.seq = r.seq)
		ORDER BY r.seq LIMIT $3`, string(kind), cutoff, limit)
}

// LastTime is the log time of the newest record of any other kind; false if there is none.
func LastTime(ctx context.Context, q Querier, but tracedb.Kind) (time.Time, bool, error) {
	at, ok, err := value[int64](ctx, q, "SELECT time FROM records WHERE kind <> $1 ORDER BY seq DESC LIMIT 1", string(but))
	return instant(at), ok, err
}

// DisposedBy finds, of those places whose payload was disposed of, the record that says so.
func (db *DB) DisposedBy(ctx context.Context, q Querier, seqs []int64) ([]Disposed, error) {
	return among(db, seqs, func(in List) ([]Disposed, error) {
		return all(ctx, q, func(rows *sql.Rows, d *Disposed) error { return rows.Scan(&d.Seq, &d.By) },
			"SELECT seq, record FROM disposals WHERE seq "+in.As(1), in.Items)
	})
}

// among queries what is among the keys; without keys there is nothing to query.
func among[K string | int64, T any](db *DB, keys []K, query func(List) ([]T, error)) ([]T, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	in, err := db.List(keys)
	if err != nil {
		return nil, err
	}
	return query(in)
}
