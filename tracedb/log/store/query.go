package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/druppie/druppie-up/tracedb"
)

// each calls f with every row of a query.
func each[T any](ctx context.Context, q Querier, scan func(*sql.Rows, *T) error, f func(T) error, query string, args ...any) error {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var t T
		if err := scan(rows, &t); err != nil {
			return err
		}
		if err := f(t); err != nil {
			return err
		}
	}
	return rows.Err()
}

// all scans every row of a query.
func all[T any](ctx context.Context, q Querier, scan func(*sql.Rows, *T) error, query string, args ...any) ([]T, error) {
	var out []T
	err := each(ctx, q, scan, func(t T) error {
		out = append(out, t)
		return nil
	}, query, args...)
	return out, err
}

// value is the only value of a query's first row; false if there is none.
func value[T any](ctx context.Context, q Querier, query string, args ...any) (v T, found bool, err error) {
	err = q.QueryRowContext(ctx, query, args...).Scan(&v)
	if errors.Is(err, sql.ErrNoRows) {
		return v, false, nil
	}
	return v, err == nil, err
}

// Texts are the rows of a query, each of one text.
func Texts(ctx context.Context, q Querier, query string, args ...any) ([]string, error) {
	return all(ctx, q, scanText, query, args...)
}

func scanText(rows *sql.Rows, s *string) error { return rows.Scan(s) }

// setHash takes a hash from a column.
func setHash(h *tlog.Hash, raw []byte) error {
	if len(raw) != tlog.HashSize {
		return fmt.Errorf("a stored hash has %d bytes", len(raw))
	}
	copy(h[:], raw)
	return nil
}

func instant(micros int64) time.Time { return time.UnixMicro(micros).UTC() }

// Origin is the log's name as it was when the database was made; empty for a database without a log.
func Origin(ctx context.Context, q Querier) (string, error) {
	origin, _, err := value[string](ctx, q, "SELECT origin FROM log")
	return origin, err
}

// LastHead is the newest head; that of the empty tree has no row.
func LastHead(ctx context.Context, q Querier) (Head, error) {
	heads, err := all(ctx, q, scanHead, "SELECT size, root, time FROM heads ORDER BY size DESC LIMIT 1")
	if err != nil {
		return Head{}, err
	}
	if len(heads) == 0 {
		root, err := tlog.TreeHash(0, nil)
		return Head{Root: root}, err
	}
	return heads[0], nil
}

// Heads returns the heads of sizes above after, smallest first.
func Heads(ctx context.Context, q Querier, after int64, limit int) ([]Head, error) {
	return all(ctx, q, scanHead, "SELECT size, root, time FROM heads WHERE size > $1 ORDER BY size LIMIT $2", after, limit)
}

func scanHead(rows *sql.Rows, h *Head) error {
	var root []byte
	var at int64
	if err := rows.Scan(&h.Size, &root, &at); err != nil {
		return err
	}
	h.Time = instant(at)
	return setHash(&h.Root, root)
}

// LeafHashes returns up to limit leaf hashes from seq on.
func LeafHashes(ctx context.Context, q Querier, from int64, limit int) ([]tlog.Hash, error) {
	return all(ctx, q, scanHash, "SELECT hash FROM leaves WHERE seq >= $1 AND seq < $2 ORDER BY seq", from, from+int64(limit))
}

// NodeHashes returns up to limit nodes of a level from index on.
func NodeHashes(ctx context.Context, q Querier, level int, from int64, limit int) ([]tlog.Hash, error) {
	return all(ctx, q, scanHash, "SELECT hash FROM nodes WHERE level = $1 AND idx >= $2 AND idx < $3 ORDER BY idx", level, from, from+int64(limit))
}

func scanHash(rows *sql.Rows, h *tlog.Hash) error {
	var raw []byte
	if err := rows.Scan(&raw); err != nil {
		return err
	}
	return setHash(h, raw)
}

// Leaf is a stored leaf.
type Leaf struct {
	Seq  int64
	Leaf []byte
}

func scanLeaf(rows *sql.Rows, l *Leaf) error { return rows.Scan(&l.Seq, &l.Leaf) }

// Leaves returns up to limit leaves from seq on.
func Leaves(ctx context.Context, q Querier, from int64, limit int) ([]Leaf, error) {
	return all(ctx, q, scanLeaf, "SELECT seq, leaf FROM leaves WHERE seq >= $1 ORDER BY seq LIMIT $2", from, limit)
}

// LeavesAt returns the leaves at those places that exist, in the log's order.
func (db *DB) LeavesAt(ctx context.Context, seqs []int64) ([]Leaf, error) {
	return among(db, seqs, func(in List) ([]Leaf, error) {
		return all(ctx, db.Read, scanLeaf, "SELECT seq, leaf FROM leaves WHERE seq "+in.As(1)+" ORDER BY seq", in.Items)
	})
}

// LeavesByRefs returns up to limit leaves of records about each of the refs, oldest first, in the order of
// the refs: a statement for all of them, since asking takes longer than finding.
func LeavesByRefs(ctx context.Context, q Querier, refs []tracedb.Ref, limit int) ([][]Leaf, error) {
	var args arguments
	oldest := make([]string, len(refs))
	for i, ref := range refs {
		oldest[i] = fmt.Sprintf("SELECT %d AS ref, seq FROM (SELECT seq FROM refs WHERE type = %s AND value = %s ORDER BY seq LIMIT %d) f%d",
			i, args.add(string(ref.Type)), args.add(ref.Value), limit, i)
	}
	type found struct {
		ref int
		Leaf
	}
	leaves, err := all(ctx, q, func(rows *sql.Rows, f *found) error { return rows.Scan(&f.ref, &f.Seq, &f.Leaf.Leaf) },
		"SELECT f.ref, l.seq, l.leaf FROM ("+strings.Join(oldest, " UNION ALL ")+") f CROSS JOIN leaves l WHERE l.seq = f.seq ORDER BY f.ref, l.seq", args...)
	out := make([][]Leaf, len(refs))
	for _, f := range leaves {
		out[f.ref] = append(out[f.ref], f.Leaf)
	}
	return out, err
}

// Payload returns a payload; false if there is none.
func Payload(ctx context.Context, q Querier, seq int64) ([]byte, bool, error) {
	return value[[]byte](ctx, q, "SELECT body FROM payloads WHERE seq = $1", seq)
}

// StoredPayload is a payload and the place of its record.
type StoredPayload struct {
	Seq     int64
	Payload []byte
}

// Payloads returns the payloads at those places that are there.
func (db *DB) Payloads(ctx context.Context, seqs []int64) ([]StoredPayload, error) {
	return among(db, seqs, func(in List) ([]StoredPayload, error) {
		return all(ctx, db.Read, func(rows *sql.Rows, p *StoredPayload) error { return rows.Scan(&p.Seq, &p.Payload) },
			"SELECT seq, body FROM payloads WHERE seq "+in.As(1), in.Items)
	})
}

// Since returns the first place in the log with a time of at least t; false if there is none.
func Since(ctx context.Context, q Querier, t time.Time) (int64, bool, error) {
	return value[int64](ctx, q, "SELECT seq FROM records WHERE time >= $1 ORDER BY time, seq LIMIT 1", t.UnixMicro())
}
