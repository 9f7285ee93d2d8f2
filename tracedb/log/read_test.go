package log_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/log"
	"github.com/druppie/druppie-up/tracedb/log/logtest"
)

func seqs(entries []tracedb.Entry) []int64 {
	out := []int64{}
	for _, e := range entries {
		out = append(out, e.Seq)
	}
	return out
}

func testSearch(t *testing.T, e engine) {
	start := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	now := start
	l := e.open(t, logtest.Now(func() time.Time { now = now.Add(time.Minute); return now }))
	now = start // opening looked at the clock too
	one, two := about(tracedb.RefRepository, "o/one"), about(tracedb.RefRepository, "o/two")
	add(t, l,
		draft("0", one),
		draft("1", two, kind(tracedb.KindReview), outcome(tracedb.Approved), actor("bram")),
		draft("2", one, about(tracedb.RefCommit, "c2")),
		draft("3", one, kind(tracedb.KindReview), outcome(tracedb.Rejected), actor("bram")),
		draft("4", two, kind(tracedb.KindMerge)),
		draft("5", one, about(tracedb.RefCommit, "c2"), kind(tracedb.KindRun), outcome(tracedb.Passed)),
	)
	at := func(minutes int) time.Time { return start.Add(time.Duration(minutes) * time.Minute) }
	tests := []struct {
		name string
		give tracedb.Query
		want []int64
		next int64
	}{
		{"all", tracedb.Query{}, []int64{5, 4, 3, 2, 1, 0}, 0},
		{"page", tracedb.Query{Limit: 2}, []int64{5, 4}, 4},
		{"next page", tracedb.Query{Limit: 2, Before: 4}, []int64{3, 2}, 2},
		{"last page", tracedb.Query{Limit: 2, Before: 2}, []int64{1, 0}, 0},
		{"kinds", tracedb.Query{Kinds: []tracedb.Kind{tracedb.KindReview, tracedb.KindMerge}}, []int64{4, 3, 1}, 0},
		{"actor", tracedb.Query{Actor: "bram"}, []int64{3, 1}, 0},
		{"outcome", tracedb.Query{Outcome: tracedb.Rejected}, []int64{3}, 0},
		{"ref", tracedb.Query{Refs: []tracedb.Ref{{Type: tracedb.RefRepository, Value: "o/one"}}}, []int64{5, 3, 2, 0}, 0},
		{"both refs", tracedb.Query{Refs: []tracedb.Ref{{Type: tracedb.RefRepository, Value: "o/one"}, {Type: tracedb.RefCommit, Value: "c2"}}}, []int64{5, 2}, 0},
		{"ref and kind", tracedb.Query{Refs: []tracedb.Ref{{Type: tracedb.RefRepository, Value: "o/one"}}, Kinds: []tracedb.Kind{tracedb.KindRun}}, []int64{5}, 0},
		{"everything", tracedb.Query{From: at(2), Until: at(5), Kinds: []tracedb.Kind{tracedb.KindReview}, Actor: "bram", Outcome: tracedb.Rejected, Refs: []tracedb.Ref{{Type: tracedb.RefRepository, Value: "o/one"}}, Before: 5, Limit: 3}, []int64{3}, 0},
		{"from", tracedb.Query{From: at(5)}, []int64{5, 4}, 0},
		{"until", tracedb.Query{Until: at(2)}, []int64{0}, 0},
		{"from and until", tracedb.Query{From: at(2), Until: at(4)}, []int64{2, 1}, 0},
		{"from later", tracedb.Query{From: at(60)}, []int64{}, 0},
		{"until earlier", tracedb.Query{Until: at(-60)}, []int64{}, 0},
		{"nobody", tracedb.Query{Actor: "' OR 1=1 --"}, []int64{}, 0},
	}
	for _, hostile := range []tracedb.Kind{"", "review' OR '1'='1", "review'--", "x\x00"} {
		if page, err := l.Search(t.Context(), tracedb.Query{Kinds: []tracedb.Kind{hostile}}); !errors.Is(err, tracedb.ErrInvalid) || len(page.Entries) > 0 {
			t.Errorf("the kind %q: %d entries, %v", hostile, len(page.Entries), err)
		}
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			page, err := l.Search(t.Context(), tt.give)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, seqs(page.Entries)); diff != "" || page.Next != tt.next {
				t.Errorf("next %d, want %d (-want +got):\n%s", page.Next, tt.next, diff)
			}
		})
	}
	var many tracedb.Query
	for i := range 9 {
		many.Refs = append(many.Refs, tracedb.Ref{Type: tracedb.RefCommit, Value: fmt.Sprint(i)})
	}
	if _, err := l.Search(t.Context(), many); !errors.Is(err, tracedb.ErrInvalid) {
		t.Errorf("search for %d refs: %v", len(many.Refs), err)
	}
	add(t, l, drafts("more", tracedb.MaxPage)...)
	if page, err := l.Search(t.Context(), tracedb.Query{Limit: 1 << 30}); err != nil || len(page.Entries) != tracedb.MaxPage {
		t.Errorf("a page of %d, %v", len(page.Entries), err)
	}
	if page, err := l.Search(t.Context(), tracedb.Query{}); err != nil || len(page.Entries) != tracedb.DefaultPage {
		t.Errorf("a page of %d, %v", len(page.Entries), err)
	}
}

func testRead(t *testing.T, e engine) {
	l := e.open(t)
	ref := tracedb.Ref{Type: tracedb.RefCommit, Value: "c"}
	add(t, l, drafts("a", 500, func(p *log.Prepared) {
		if strings.HasSuffix(p.ID, "0") {
			p.Refs = []tracedb.Ref{ref, {Type: tracedb.RefRun, Value: "r"}, ref, {Type: tracedb.RefPod}}
		}
	})...)
	var every []int64
	for i := range int64(500) {
		every = append(every, i)
	}
	entries, err := l.Entries(t.Context(), append(every, 7, 7)...)
	if diff := cmp.Diff(every, seqs(entries)); diff != "" || err != nil {
		t.Errorf("all entries: %v (-want +got):\n%s", err, diff)
	}
	if diff := cmp.Diff([]tracedb.Ref{ref, {Type: tracedb.RefRun, Value: "r"}}, entries[10].Refs); diff != "" {
		t.Errorf("refs (-want +got):\n%s", diff)
	}
	for _, bad := range [][]int64{{500}, {-1}, {0, 1 << 40}} {
		if _, err := l.Entries(t.Context(), bad...); !errors.Is(err, tracedb.ErrNotFound) {
			t.Errorf("entries %v: %v", bad, err)
		}
	}
	for _, tt := range []struct {
		from  int64
		limit int
		want  string
	}{{0, 2, "[0 1]"}, {498, 10, "[498 499]"}, {500, 10, "[]"}, {-5, 1, "[0]"}, {0, 0, "[]"}, {0, -1, "[]"}} {
		if got, err := l.Range(t.Context(), tt.from, tt.limit); fmt.Sprint(seqs(got)) != tt.want || err != nil {
			t.Errorf("range %d, %d: %v, %v, want %s", tt.from, tt.limit, seqs(got), err, tt.want)
		}
	}
	if got, err := l.ByRefs(t.Context(), []tracedb.Ref{ref}, 1000); len(got[ref]) != 50 || err != nil {
		t.Errorf("by ref: %d, %v", len(got[ref]), err)
	}
	run := tracedb.Ref{Type: tracedb.RefRun, Value: "r"}
	refs := []tracedb.Ref{ref, run}
	for i := range 2 * 8 { // more than one statement asks for
		refs = append(refs, tracedb.Ref{Type: tracedb.RefRun, Value: fmt.Sprint("none", i)})
	}
	if got, err := l.ByRefs(t.Context(), append(refs, run), 3); err != nil || len(got) != len(refs) ||
		fmt.Sprint(seqs(got[ref])) != "[0 10 20]" || fmt.Sprint(seqs(got[run])) != "[0 10 20]" || len(got[refs[2]]) != 0 {
		t.Errorf("by refs: %v, %v", got, err)
	}
	for _, none := range []func() (map[tracedb.Ref][]tracedb.Entry, error){
		func() (map[tracedb.Ref][]tracedb.Entry, error) { return l.ByRefs(t.Context(), nil, 3) },
		func() (map[tracedb.Ref][]tracedb.Entry, error) { return l.ByRefs(t.Context(), refs, 0) },
	} {
		if got, err := none(); err != nil || len(got) != 0 {
			t.Errorf("by refs: %v, %v, want none", got, err)
		}
	}
	if got, err := l.Payloads(t.Context(), append(every, 7, 500, -1)...); err != nil || len(got) != 500 || string(got[499]) != `{"said": "payload of a-499"}` {
		t.Errorf("payloads: %d, %s, %v", len(got), got[499], err)
	}
	if body, err := l.Payload(t.Context(), 499); string(body) != `{"said": "payload of a-499"}` || err != nil {
		t.Errorf("payload: %s, %v", body, err)
	}
	if _, err := l.Payload(t.Context(), 500); !errors.Is(err, tracedb.ErrNotFound) {
		t.Errorf("payload of no record: %v", err)
	}
}

// testNames opens logs under wrong names, and for reading only.
func testNames(t *testing.T, e engine) {
	dsn := e.empty(t)
	open := func(o log.Options) error {
		o.DSN = dsn
		l, err := log.Open(t.Context(), o)
		if err != nil {
			return err
		}
		return l.Close()
	}
	want := func(err error, want string) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	want(open(log.Options{ReadOnly: true}), "") // there is nothing yet
	want(open(log.Options{}), "needs a name")
	want(open(log.Options{Origin: "druppie.io/trace/other", Signer: logtest.Signer(t)}), "must be the same")
	dsn = e.empty(t)
	mine := e.openAt(t, dsn)
	add(t, mine, drafts("a", 3)...)
	want(open(log.Options{Origin: "druppie.io/trace/other"}), "is that of the log")
	reader, err := log.Open(t.Context(), log.Options{DSN: dsn, ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	if _, err := reader.Append(t.Context(), "w", drafts("b", 1)); !errors.Is(err, tracedb.ErrUnavailable) {
		t.Errorf("append to a log opened for reading: %v", err)
	}
	add(t, mine, draft("later"))
	cp := checkpoint(t, reader)
	if cp.Size != 4 || cp.Note != nil || reader.Origin() != logtest.Origin {
		t.Errorf("the reader of %s has a checkpoint of %d: %s", reader.Origin(), cp.Size, cp.Note)
	}
	for _, dsn := range []string{"", "trace.db", "mysql://secret@host", "sqlite:"} {
		if _, err := log.Open(t.Context(), log.Options{DSN: dsn, Origin: "x"}); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("opened %q: %v", dsn, err)
		}
	}
}
