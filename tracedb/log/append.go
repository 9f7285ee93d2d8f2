package log

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/log/store"
)

// Prepared is a draft that was checked, with what was derived from it.
type Prepared struct {
	tracedb.Draft
	Facts []tracedb.Fact
	// Unique is the digest of the attestation in the payload. A second record with it and another id
	// or writer is refused with tracedb.ErrReplayed.
	Unique string
}

// request is one caller's drafts on their way to the committer.
type request struct {
	ctx    context.Context
	writer string
	drafts []candidate
	// dispose are the payloads that are deleted because of the request's only draft.
	dispose []int64
	done    chan result // buffered: the committer never waits for a caller
}

// size is how many records and bytes of payload a request brings.
func (r *request) size() (records, bytes int) {
	for _, d := range r.drafts {
		bytes += len(d.Payload)
	}
	return len(r.drafts), bytes
}

// candidate is a draft with what can be computed before its place is known.
type candidate struct {
	Prepared
	refs   []tracedb.Ref
	digest [sha256.Size]byte
}

type result struct {
	receipts []tracedb.Receipt
	err      error
}

// Append records the drafts, all or none, and returns when they are durable and in the tree. Requests that
// come at the same time share a transaction, and one that is refused fails alone. A draft whose writer
// and id are in the log with the same kind, outcome and payload gets the receipt of then;
// with others it is tracedb.ErrConflict. Errors name the draft: Field is [3] and what is below it.
// A caller whose ctx ends doesn't know whether its drafts were recorded, and can offer them again.
func (l *Log) Append(ctx context.Context, writer string, drafts []Prepared) ([]tracedb.Receipt, error) {
	if len(drafts) == 0 {
		return nil, nil
	}
	if !storable(writer) || writer == "" {
		return nil, tracedb.ErrInvalidRecord.Says("the writer has no name that can be written down")
	}
	candidates := make([]candidate, len(drafts))
	for i, d := range drafts {
		o, err := prepare(d)
		if err != nil {
			return nil, err.At("[%d]", i)
		}
		candidates[i] = o
	}
	return l.commit(&request{ctx: ctx, writer: writer, drafts: candidates})
}

// commit hands a request to the committer and waits for its result.
func (l *Log) commit(r *request) ([]tracedb.Receipt, error) {
	if l.opts.ReadOnly {
		return nil, tracedb.ErrUnavailable.Says("the log was opened for reading only")
	}
	r.done = make(chan result, 1)
	select {
	case l.requests <- r:
	case <-l.stop:
		return nil, tracedb.ErrUnavailable.Says("the log is closing")
	case <-r.ctx.Done():
		return nil, r.ctx.Err()
	}
	select {
	case got := <-r.done:
		return got.receipts, got.err
	case <-r.ctx.Done():
		return nil, r.ctx.Err()
	}
}

// prepare checks that a draft can be written down, by any engine, and read back the same.
func prepare(d Prepared) (candidate, *tracedb.Error) {
	o := candidate{Prepared: d, refs: tracedb.SortRefs(d.Refs), digest: sha256.Sum256(d.Payload)}
	invalid := func(field, format string, args ...any) (candidate, *tracedb.Error) {
		return candidate{}, tracedb.ErrInvalidRecord.Says(format, args...).At("%s", field)
	}
	if d.ID == "" {
		return invalid("id", "a record needs an id")
	}
	if _, ok := d.Kind.Info(); !ok {
		return invalid("kind", "there is no such kind of record")
	}
	for _, f := range []struct{ name, value string }{{"id", d.ID}, {"actor", d.Actor}, {"outcome", string(d.Outcome)}, {"unique", d.Unique}} {
		if !storable(f.value) {
			return invalid(f.name, "not text: UTF-8 without NUL is")
		}
	}
	if len(o.refs) > tracedb.MaxRefs {
		return invalid("refs", "a record is about at most %d things", tracedb.MaxRefs)
	}
	for _, r := range o.refs {
		if r.Type == "" || !storable(string(r.Type)) || !storable(r.Value) {
			return invalid("refs", "a ref has a type and a value, in UTF-8 without NUL")
		}
	}
	if y := d.At.UTC().Year(); y < 1 || y > 9999 {
		return invalid("at", "the year is out of range")
	}
	if len(d.Payload) > tracedb.MaxPayload {
		return candidate{}, tracedb.ErrTooLarge.Says("a payload has at most %d bytes", tracedb.MaxPayload).At("payload")
	}
	if !json.Valid(d.Payload) {
		return invalid("payload", "not JSON")
	}
	facts, err := compactFacts(d.Facts)
	if err != nil {
		return invalid("facts", "%v", err)
	}
	o.Facts = facts
	return o, nil
}

// compactFacts checks that facts can be written down, and gives their values one form.
func compactFacts(facts []tracedb.Fact) ([]tracedb.Fact, error) {
	var out []tracedb.Fact
	seen := map[factKey]bool{}
	for _, f := range facts {
		key := factKey{f.Table, f.Key}
		var value bytes.Buffer
		if f.Table == "" || !storable(f.Table) || !storable(f.Key) || !utf8.Valid(f.Value) || json.Compact(&value, f.Value) != nil {
			return nil, fmt.Errorf("the fact %q of %q can't be written down", f.Key, f.Table)
		}
		if seen[key] {
			return nil, fmt.Errorf("the fact %q of %q comes twice", f.Key, f.Table)
		}
		seen[key] = true
		f.Value = value.Bytes()
		out = append(out, f)
	}
	return out, nil
}

// storable says whether every engine keeps s as it is.
func storable(s string) bool { return utf8.ValidString(s) && !strings.Contains(s, "\x00") }

// row gives a candidate its place in the log.
func (o candidate) row(writer string, tree *compactRange, l *Log) (store.Row, error) {
	now := l.opts.Now()
	entry := tracedb.Entry{
		Seq: tree.size(), Time: tree.stamp(now), ID: o.ID, Kind: o.Kind, Actor: o.Actor, Writer: writer,
		At: tracedb.Instant(o.At), Outcome: o.Outcome, Refs: o.refs,
		PayloadDigest: "sha256:" + hex.EncodeToString(o.digest[:]), Size: len(o.Payload),
	}
	if o.At.IsZero() {
		entry.At = entry.Time
	}
	if entry.Refs == nil {
		entry.Refs = []tracedb.Ref{}
	}
	row := store.Row{Entry: entry, Leaf: entry.Leaf(), Payload: o.Payload, Unique: o.Unique}
	if len(row.Leaf) > tracedb.MaxLeaf {
		return row, tracedb.ErrTooLarge.Says("the record without its payload has at most %d bytes", tracedb.MaxLeaf)
	}
	row.Hash = tlog.RecordHash(row.Leaf)
	return row, nil
}
