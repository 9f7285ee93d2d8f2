package ingest

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/attest"
	"github.com/druppie/druppie-up/tracedb/redact"
)

// FuzzPrepare holds that any payload of any kind is taken or refused in the log's own words; that
// what is taken is about well-shaped things, holds no secret that would be found, is in its one form,
// and brings the same facts when they are derived again. Attestations are signed for the fuzzer.
func FuzzPrepare(f *testing.F) {
	b := newBench(f)
	incident := b.incident(f)
	for kind, draft := range b.good(f, incident) {
		payload := []byte(draft.Payload)
		if info, _ := kind.Info(); len(info.Predicate) > 0 {
			v, err := b.o.Keyring.Verify(kind, payload, noon)
			if err != nil {
				f.Fatal(err)
			}
			payload = v.Body
		}
		f.Add(string(kind), string(draft.Outcome), payload)
		f.Add(string(kind), "", bytes.ReplaceAll(payload, []byte("druppie/drone"), []byte("password=h0nd")))
	}
	for _, payload := range []string{`{"name":"k","fingerprint":"SHA256:","pem":""}`, `{"what":"why","of":"x"}`, `{"kind":"run","before":"2026-01-01T00:00:00Z","seqs":[1],"reason":"r"}`} {
		f.Add(string(tracedb.KindKey), "", []byte(payload))
		f.Add(string(tracedb.KindRead), "", []byte(payload))
		f.Add(string(tracedb.KindDisposal), "", []byte(payload))
	}
	f.Fuzz(func(t *testing.T, kind, outcome string, payload []byte) {
		k := tracedb.Kind(kind)
		info, ok := k.Info()
		if !ok {
			return
		}
		if len(info.Predicate) > 0 {
			payload = sealed(t, b.key, payload)
		}
		draft := tracedb.Draft{ID: "x", Kind: k, Outcome: tracedb.Outcome(outcome), Payload: payload}
		p, err := b.check(t.Context(), "writer", draft)
		if err != nil {
			if e := tracedb.AsError(err); e.Code == "internal" {
				t.Errorf("refused without a reason: %v", err)
			}
			return
		}
		if !json.Valid(p.Payload) {
			t.Errorf("took %q, which isn't JSON", p.Payload)
		}
		for _, r := range p.Refs {
			if err := r.Check(); err != nil {
				t.Errorf("about %s: %v", r, err)
			}
		}
		facts, err := Facts(tracedb.Entry{Kind: k}, p.Payload)
		if err != nil {
			t.Fatalf("derive again: %v", err)
		}
		if diff := cmp.Diff(p.Facts, facts); diff != "" {
			t.Errorf("derived (-) and derived again (+) differ:\n%s", diff)
		}
		if len(info.Predicate) > 0 {
			if _, err := attest.Decode(k, p.Payload); err != nil {
				t.Errorf("taken, and can't be read: %v", err)
			}
			return
		}
		if clean, found := redact.JSON(p.Payload); found {
			t.Errorf("took %s, which would become %s", p.Payload, clean)
		}
		draft.Payload = p.Payload
		again, err := b.check(t.Context(), "writer", draft)
		if err != nil {
			t.Fatalf("what was taken is refused: %v", err)
		}
		if diff := cmp.Diff(p, again, cmp.Comparer(time.Time.Equal)); diff != "" {
			t.Errorf("taken once (-) and again (+) differ:\n%s", diff)
		}
	})
}
