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

// Scan calls f with what is stored of the records from one place to before another.
func Scan(ctx context.Context, q Querier, from, until int64, f func(Stored) error) error {
	scan := func(rows *sql.Rows, s *Stored) error {
		var record, time, at, size sql.NullInt64
		var id, kind, actor, writer, outcome sql.NullString
		err := rows.Scan(&s.Seq, &s.Leaf, &s.Hash, &record, &time, &at, &id, &kind, &actor, &writer, &outcome, &s.Digest, &size, &s.Payload, &s.Disposal)
		s.Record, s.Time, s.At, s.Size = record.Valid, time.Int64, at.Int64, size.Int64
		s.ID, s.Kind, s.Actor, s.Writer, s.Outcome = id.String, kind.String, actor.String, writer.String, outcome.String
		return err
	}
	return each(ctx, q, scan, f, `SELECT l.seq, l.leaf, l.hash, r.seq, r.time, r.at, r.id, r.kind, r.actor, r.writer, r.outcome, r.payload, r.size,
		p.body, d.record FROM leaves l LEFT JOIN records r ON r.seq = l.seq LEFT JOIN payloads p ON p.seq = l.seq LEFT JOIN disposals d ON d.seq = l.seq
		WHERE l.seq >= $1 AND l.seq < $2 ORDER BY l.seq`, from, until)
}

// StoredRef is a stored ref and the place of its record.
type StoredRef struct {
	Seq int64
	tracedb.Ref
}

// ScanRefs calls f with every stored ref.
func ScanRefs(ctx context.Context, q Querier, f func(StoredRef) error) error {
	return each(ctx, q, func(rows *sql.Rows, r *StoredRef) error { return rows.Scan(&r.Type, &r.Value, &r.Seq) }, f,
		"SELECT type, value, seq FROM refs ORDER BY type, value, seq")
}

// ScanFacts calls f with every stored fact.
func ScanFacts(ctx context.Context, q Querier, f func(tracedb.Fact) error) error {
	return each(ctx, q, scanFact, f, factColumns+"facts f ORDER BY f.tbl, f.key, f.seq")
}

// StoredAttestation is a stored attestation and the place of its record.
type StoredAttestation struct {
	Seq    int64
	Digest string
}

// ScanAttestations calls f with every stored attestation.
func ScanAttestations(ctx context.Context, q Querier, f func(StoredAttestation) error) error {
	return each(ctx, q, func(rows *sql.Rows, a *StoredAttestation) error { return rows.Scan(&a.Digest, &a.Seq) }, f,
		"SELECT digest, seq FROM attestations ORDER BY digest")
}

// DisposedFacts are the facts of records whose payload is gone: they can't be derived any more.
func DisposedFacts(ctx context.Context, q Querier) ([]tracedb.Fact, error) {
	return all(ctx, q, scanFact, factColumns+`facts f JOIN disposals d ON d.seq = f.seq
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
