package log_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/log"
	"github.com/druppie/druppie-up/tracedb/log/logtest"
)

func draft(id string, refs ...tracedb.Ref) log.Prepared {
	return log.Prepared{Draft: tracedb.Draft{ID: id, Kind: tracedb.KindCommit, Actor: "anna", Refs: refs, Payload: json.RawMessage(fmt.Sprintf(`{"id":%q}`, id))}}
}

func TestAppend(t *testing.T) {
	l := logtest.New(t)
	ctx := t.Context()
	ref := tracedb.Ref{Type: tracedb.RefCommit, Value: "abc"}
	var all []tracedb.Receipt
	for i := range 300 {
		rs, err := l.Append(ctx, "w", []log.Prepared{draft(fmt.Sprint("r", i), ref), draft(fmt.Sprint("s", i))})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, rs...)
	}
	cp, err := l.Checkpoint(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := note.Open(cp.Note, note.VerifierList(logtest.Verifier(t))); err != nil {
		t.Fatal(err)
	}
	if cp.Size != 600 {
		t.Fatalf("size %d", cp.Size)
	}
	for _, r := range all {
		p, err := l.Prove(ctx, r.Seq, cp.Size)
		if err != nil {
			t.Fatal(err)
		}
		var proof tlog.RecordProof
		for _, h := range p.Hashes {
			hash, err := tlog.ParseHash(h)
			if err != nil {
				t.Fatal(err)
			}
			proof = append(proof, hash)
		}
		leaf, _ := tlog.ParseHash(r.Leaf)
		if err := tlog.CheckRecord(proof, cp.Size, cp.Root, r.Seq, leaf); err != nil {
			t.Fatal(r.Seq, err)
		}
	}
	es, err := l.ByRef(ctx, ref, 1000)
	if err != nil || len(es) != 300 {
		t.Fatal(len(es), err)
	}
	rs, err := l.Append(ctx, "w", []log.Prepared{draft("r7")})
	if err != nil || !rs[0].Duplicate || rs[0].Seq != 14 {
		t.Fatal(rs, err)
	}
	d := draft("r7")
	d.Payload = json.RawMessage(`{}`)
	if _, err := l.Append(ctx, "w", []log.Prepared{d}); !errors.Is(err, tracedb.ErrConflict) {
		t.Fatal(err)
	}
	page, err := l.Search(ctx, tracedb.Query{Kinds: []tracedb.Kind{tracedb.KindCommit}, Refs: []tracedb.Ref{ref}, Limit: 10})
	if err != nil || len(page.Entries) != 10 || page.Next == 0 {
		t.Fatal(page, err)
	}
}
