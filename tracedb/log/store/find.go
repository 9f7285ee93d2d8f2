package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/druppie/druppie-up/tracedb"
)

// Window restricts a search to places in the log: From included, Until not.
type Window struct{ From, Until int64 }

// Search returns up to limit leaves, newest first. Times in q are ignored: the window stands for them.
//
// CROSS JOIN lets SQLite keep the order in which the tables are written: refs first, if there are any,
// since a thing has few records and a kind many. Each kind is searched for itself, in the order of its
// index, and stops at the limit; together they would all be read and sorted.
func Search(ctx context.Context, db Querier, q tracedb.Query, w Window, limit int) ([]Leaf, error) {
	var args arguments
	kinds := q.Kinds
	if len(kinds) == 0 {
		kinds = []tracedb.Kind{""}
	}
	var searches []string
	for i, kind := range kinds {
		searches = append(searches, fmt.Sprintf("SELECT seq FROM (%s) k%d", search(&args, q, kind, w, limit), i))
	}
	return all(ctx, db, scanLeaf, "SELECT l.seq, l.leaf FROM (SELECT seq FROM ("+strings.Join(searches, " UNION ALL ")+") found ORDER BY seq DESC LIMIT "+args.add(limit)+
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
func search(args *arguments, q tracedb.Query, kind tracedb.Kind, w Window, limit int) string {
	var from, where []string
	for i, ref := range q.Refs {
		alias := fmt.Sprintf("f%d", i)
		from = append(from, "refs "+alias)
		where = append(where, fmt.Sprintf("%s.type = %s AND %s.value = %s", alias, args.add(string(ref.Type)), alias, args.add(ref.Value)))
		if i > 0 {
			where = append(where, alias+".seq = f0.seq")
		}
	}
	columns := []struct{ name, value string }{{"kind", string(kind)}, {"actor", q.Actor}, {"outcome", string(q.Outcome)}}
	seq, restricted := "f0.seq", false
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
	case restricted:
		from, where = append(from, "records r"), append(where, "r.seq = f0.seq")
	}
	where = append(where, seq+" >= "+args.add(w.From), seq+" < "+args.add(w.Until))
	return "SELECT " + seq + " AS seq FROM " + strings.Join(from, " CROSS JOIN ") + " WHERE " + strings.Join(where, " AND ") +
		" ORDER BY " + seq + " DESC LIMIT " + args.add(limit)
}

// chunk is how many keys one statement looks up, where each is a parameter of its own.
const chunk = 100

// Known is a record that was there already.
type Known struct {
	Seq     int64
	ID      string
	Kind    tracedb.Kind
	Outcome tracedb.Outcome
	Digest  []byte
	Time    int64
	Hash    []byte
}

// ByID finds a writer's records with those ids. Most often there are none, so their hashes are asked for
// only then.
func (db *DB) ByID(ctx context.Context, q Querier, writer string, ids []string) ([]Known, error) {
	found, err := keyed(db, ids, func(in list) ([]Known, error) {
		return all(ctx, q, func(rows *sql.Rows, k *Known) error {
			return rows.Scan(&k.Seq, &k.ID, &k.Kind, &k.Outcome, &k.Digest, &k.Time)
		}, "SELECT seq, id, kind, outcome, payload, time FROM records WHERE writer = $1 AND id "+in.from(2), append([]any{writer}, in.args...)...)
	})
	for i := range found {
		if err == nil {
			err = q.QueryRowContext(ctx, "SELECT hash FROM leaves WHERE seq = $1", found[i].Seq).Scan(&found[i].Hash)
		}
	}
	return found, err
}

// Attested finds which of those attestations are in the log, and where.
func (db *DB) Attested(ctx context.Context, q Querier, digests []string) (map[string]int64, error) {
	type at struct {
		digest string
		seq    int64
	}
	found, err := keyed(db, digests, func(in list) ([]at, error) {
		return all(ctx, q, func(rows *sql.Rows, a *at) error { return rows.Scan(&a.digest, &a.seq) },
			"SELECT digest, seq FROM attestations WHERE digest "+in.from(1), in.args...)
	})
	out := make(map[string]int64, len(found))
	for _, f := range found {
		out[f.digest] = f.seq
	}
	return out, err
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
	return keyed(db, keys, func(in list) ([]tracedb.Fact, error) {
		return all(ctx, q, scanFact, factColumns+fmt.Sprintf(newest, " AND key "+in.from(2)), append([]any{table}, in.args...)...)
	})
}

// Bound returns the bound facts of those keys of a table.
func (db *DB) Bound(ctx context.Context, q Querier, table string, keys []string) ([]tracedb.Fact, error) {
	return keyed(db, keys, func(in list) ([]tracedb.Fact, error) {
		return all(ctx, q, scanFact, factColumns+"facts f WHERE f.bound = 1 AND f.tbl = $1 AND f.key "+in.from(2), append([]any{table}, in.args...)...)
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
	var at int64
	err := q.QueryRowContext(ctx, "SELECT time FROM records WHERE kind <> $1 ORDER BY seq DESC LIMIT 1", string(but)).Scan(&at)
	if errors.Is(err, sql.ErrNoRows) {
		return time.Time{}, false, nil
	}
	return instant(at), err == nil, err
}

// DisposedBy adds to by, for those places whose payload was disposed of, the record that says so.
func DisposedBy(ctx context.Context, q Querier, seqs []int64, by map[int64]int64) error {
	for some := range slices.Chunk(seqs, chunk) {
		args := make([]any, len(some))
		for i, s := range some {
			args[i] = s
		}
		found, err := all(ctx, q, func(rows *sql.Rows, d *Disposed) error { return rows.Scan(&d.Seq, &d.By) },
			"SELECT seq, record FROM disposals WHERE seq IN ("+places(1, len(some))+")", args...)
		if err != nil {
			return err
		}
		for _, d := range found {
			by[d.Seq] = d.By
		}
	}
	return nil
}

// list is what a column is looked for in.
type list struct {
	args  []any
	array bool
}

// from is the condition after the column's name, whose first parameter has that number.
func (l list) from(n int) string {
	if l.array {
		return fmt.Sprintf("= ANY($%d)", n)
	}
	return "IN (" + places(n, len(l.args)) + ")"
}

// keyed asks for keys as the engine takes them: all in one array, or in portions with a parameter each.
func keyed[T any](db *DB, keys []string, ask func(list) ([]T, error)) ([]T, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	if db.Arrays() {
		return ask(list{[]any{keys}, true})
	}
	var out []T
	for some := range slices.Chunk(keys, chunk) {
		args := make([]any, len(some))
		for i, k := range some {
			args[i] = k
		}
		found, err := ask(list{args, false})
		if err != nil {
			return nil, err
		}
		out = append(out, found...)
	}
	return out, nil
}
