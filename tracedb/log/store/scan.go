package store

import (
	"context"
	"database/sql"

	"github.com/druppie/druppie-up/tracedb"
)

// Stored is everything that is stored of one record but its refs and facts, as it is stored.
type Stored struct {
	Seq        int64
	Leaf, Hash []byte
	// Record says whether the columns below are there.
	Record                           bool
	Time, At                         int64
	ID, Kind, Actor, Writer, Outcome string
	Digest                           []byte
	Size                             int64
	// Payload is nil if there is no payload.
	Payload  []byte
	Disposal sql.NullInt64 // the record that disposed of the payload
}

// Scan calls each with what is stored of the records from one place to before another.
func Scan(ctx context.Context, q Querier, from, until int64, each func(*Stored) error) error {
	rows, err := q.QueryContext(ctx, `SELECT l.seq, l.leaf, l.hash, r.seq, r.time, r.at, r.id, r.kind, r.actor, r.writer, r.outcome, r.payload, r.size,
		p.body, d.record FROM leaves l LEFT JOIN records r ON r.seq = l.seq LEFT JOIN payloads p ON p.seq = l.seq LEFT JOIN disposals d ON d.seq = l.seq
		WHERE l.seq >= $1 AND l.seq < $2 ORDER BY l.seq`, from, until)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var s Stored
		var record, time, at, size sql.NullInt64
		var id, kind, actor, writer, outcome sql.NullString
		if err := rows.Scan(&s.Seq, &s.Leaf, &s.Hash, &record, &time, &at, &id, &kind, &actor, &writer, &outcome, &s.Digest, &size, &s.Payload, &s.Disposal); err != nil {
			return err
		}
		s.Record, s.Time, s.At, s.Size = record.Valid, time.Int64, at.Int64, size.Int64
		s.ID, s.Kind, s.Actor, s.Writer, s.Outcome = id.String, kind.String, actor.String, writer.String, outcome.String
		if err := each(&s); err != nil {
			return err
		}
	}
	return rows.Err()
}

// ScanRefs calls each with every stored ref.
func ScanRefs(ctx context.Context, q Querier, each func(seq int64, ref tracedb.Ref) error) error {
	rows, err := q.QueryContext(ctx, "SELECT type, value, seq FROM refs ORDER BY type, value, seq")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var seq int64
		var ref tracedb.Ref
		if err := rows.Scan(&ref.Type, &ref.Value, &seq); err != nil {
			return err
		}
		if err := each(seq, ref); err != nil {
			return err
		}
	}
	return rows.Err()
}

// ScanFacts calls each with every stored fact.
func ScanFacts(ctx context.Context, q Querier, each func(tracedb.Fact) error) error {
	rows, err := q.QueryContext(ctx, "SELECT f.tbl, f.key, f.seq, f.value, f.bound FROM facts f ORDER BY f.tbl, f.key, f.seq")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var f tracedb.Fact
		if err := scanFact(rows, &f); err != nil {
			return err
		}
		if err := each(f); err != nil {
			return err
		}
	}
	return rows.Err()
}

// ScanAttestations calls each with every stored attestation.
func ScanAttestations(ctx context.Context, q Querier, each func(seq int64, digest string) error) error {
	rows, err := q.QueryContext(ctx, "SELECT digest, seq FROM attestations ORDER BY digest")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var seq int64
		var digest string
		if err := rows.Scan(&digest, &seq); err != nil {
			return err
		}
		if err := each(seq, digest); err != nil {
			return err
		}
	}
	return rows.Err()
}

// DisposedFacts are the facts of records whose payload is gone: they can't be derived any more.
func DisposedFacts(ctx context.Context, q Querier) ([]tracedb.Fact, error) {
	return all(ctx, q, scanFact, `SELECT f.tbl, f.key, f.seq, f.value, f.bound FROM facts f JOIN disposals d ON d.seq = f.seq
		ORDER BY f.seq, f.tbl, f.key`)
}

// Orphan is a row that belongs to no record of the log.
type Orphan struct {
	Table string
	Seq   int64
}

// Orphans finds rows beyond the log's end or before its beginning. Each statement sees the log at one
// moment, so what is being written is none.
func Orphans(ctx context.Context, q Querier, limit int) ([]Orphan, error) {
	var out []Orphan
	const size = "(SELECT coalesce(max(size), 0) FROM heads)"
	for _, t := range []struct{ table, column string }{{"leaves", "seq"}, {"records", "seq"}, {"payloads", "seq"}, {"refs", "seq"},
		{"facts", "seq"}, {"attestations", "seq"}, {"disposals", "seq"}, {"disposals", "record"}} {
		found, err := all(ctx, q, func(rows *sql.Rows, s *Orphan) error {
			s.Table = t.table
			return rows.Scan(&s.Seq)
		}, "SELECT "+t.column+" FROM "+t.table+" WHERE "+t.column+" < 0 OR "+t.column+" >= "+size+" LIMIT $1", limit)
		if err != nil {
			return nil, err
		}
		out = append(out, found...)
	}
	nodes, err := all(ctx, q, func(rows *sql.Rows, s *Orphan) error {
		s.Table = "nodes"
		return rows.Scan(&s.Seq)
	}, `SELECT idx FROM nodes WHERE idx < 0 OR level < 1 OR level > 7 OR
		(idx + 1) * (CASE level WHEN 1 THEN 256 WHEN 2 THEN 65536 WHEN 3 THEN 16777216 ELSE 4294967296 END) > `+size+` LIMIT $1`, limit)
	return append(out, nodes...), err
}
