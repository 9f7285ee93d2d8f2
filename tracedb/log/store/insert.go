package store

import (
	"encoding/hex"
	"fmt"
	"strings"
)

// Insert is rows for one table.
type Insert struct {
	Table   string
	Columns []Column
	Rows    [][]any
}

// Column is a table's column, of a type as PostgreSQL names it: bigint and integer are given as int64, text as
// string and bytea as []byte.
type Column struct{ Name, Type string }

// Names are the columns' names, as a list in SQL.
func (in *Insert) Names() string {
	names := make([]string, len(in.Columns))
	for i, c := range in.Columns {
		names[i] = c.Name
	}
	return strings.Join(names, ", ")
}

func (in *Insert) add(values ...any) { in.Rows = append(in.Rows, values) }

// into begins an Insert; columns are each a name and a type.
func into(table string, columns ...string) *Insert {
	in := &Insert{Table: table}
	for _, c := range columns {
		name, kind, _ := strings.Cut(c, " ")
		in.Columns = append(in.Columns, Column{name, kind})
	}
	return in
}

// Inserts are what the log itself keeps of a batch, without its disposals.
func (b *Batch) Inserts() []*Insert {
	leaves := into("leaves", "seq bigint", "leaf bytea", "hash bytea")
	payloads := into("payloads", "seq bigint", "body bytea")
	attestations := into("attestations", "digest text", "seq bigint")
	nodes := into("nodes", "level integer", "idx bigint", "hash bytea")
	heads := into("heads", "size bigint", "root bytea", "time bigint")
	for _, r := range b.Rows {
		leaves.add(r.Seq, r.Leaf, r.Hash[:])
		payloads.add(r.Seq, r.Payload)
		if r.Unique != "" {
			attestations.add(r.Unique, r.Seq)
		}
	}
	for _, n := range b.Nodes {
		nodes.add(int64(n.Level), n.Index, n.Hash[:])
	}
	heads.add(b.Head.Size, b.Head.Root[:], b.Head.Time.UnixMicro())
	return []*Insert{leaves, payloads, attestations, nodes, heads}
}

// Disposals say of a batch's payloads that are deleted which record says so. They come after those records, and
// before the payloads are deleted.
func (b *Batch) Disposals() *Insert {
	disposals := into("disposals", "seq bigint", "record bigint")
	for _, d := range b.Disposed {
		disposals.add(d.Seq, d.By)
	}
	return disposals
}

// Projections are what is derived from rows: columns, refs and facts.
func Projections(rows []Row) ([]*Insert, error) {
	records := into("records", "seq bigint", "time bigint", "id text", "kind text", "actor text", "writer text", "at bigint", "outcome text",
		"payload bytea", "size bigint")
	refs := into("refs", "type text", "value text", "seq bigint")
	facts := into("facts", "tbl text", "key text", "seq bigint", "value text", "bound integer")
	for _, r := range rows {
		digest, err := hex.DecodeString(strings.TrimPrefix(r.PayloadDigest, "sha256:"))
		if err != nil {
			return nil, fmt.Errorf("record %d: payload digest: %w", r.Seq, err)
		}
		records.add(r.Seq, r.Time.UnixMicro(), r.ID, string(r.Kind), r.Actor, r.Writer, r.At.UnixMicro(), string(r.Outcome), digest, int64(r.Size))
		for _, ref := range r.Refs {
			refs.add(string(ref.Type), ref.Value, r.Seq)
		}
		for _, f := range r.Facts {
			bound := int64(0)
			if f.Bound {
				bound = 1
			}
			facts.add(f.Table, f.Key, r.Seq, string(f.Value), bound)
		}
	}
	return []*Insert{records, refs, facts}, nil
}
