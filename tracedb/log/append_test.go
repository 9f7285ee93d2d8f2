package log_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/log"
	"github.com/druppie/druppie-up/tracedb/log/logtest"
)

// testOnce delivers things twice.
func testOnce(t *testing.T, e engine) {
	l := e.open(t)
	first := add(t, l, draft("a"), draft("b", unique("att-1")), draft("c"))
	again := add(t, l, draft("new"), draft("b", unique("att-1")), draft("a"), draft("new"))
	want := []tracedb.Receipt{
		{Seq: 3}, {Seq: 1, Time: first[1].Time, Leaf: first[1].Leaf, Duplicate: true},
		{Seq: 0, Time: first[0].Time, Leaf: first[0].Leaf, Duplicate: true}, {Seq: 3, Duplicate: true},
	}
	if diff := cmp.Diff(want[1:3], again[1:3]); diff != "" {
		t.Errorf("receipts of what came again (-want +got):\n%s", diff)
	}
	if again[0].Seq != 3 || again[0].Duplicate || again[3].Seq != 3 || !again[3].Duplicate || again[3].Leaf != again[0].Leaf {
		t.Errorf("twice in one call: %+v", again)
	}
	// Another writer's ids are its own.
	other, err := l.Append(t.Context(), "other", []log.Prepared{draft("a")})
	if err != nil || other[0].Seq != 4 || other[0].Duplicate {
		t.Errorf("another writer's: %+v, %v", other, err)
	}
	tests := []struct {
		name, writer string
		give         log.Prepared
		want         error
	}{
		{"another payload", "writer", draft("a", payload(`{"said": "something else"}`)), tracedb.ErrConflict},
		{"another outcome", "writer", draft("a", outcome(tracedb.Rejected)), tracedb.ErrConflict},
		{"another kind", "writer", draft("a", kind(tracedb.KindMerge)), tracedb.ErrConflict},
		{"attestation under another id", "writer", draft("d", unique("att-1")), tracedb.ErrReplayed},
		{"attestation of another writer", "other", draft("b", unique("att-1")), tracedb.ErrReplayed},
	}
	for _, tt := range tests {
		if _, err := l.Append(t.Context(), tt.writer, []log.Prepared{tt.give}); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
	if _, err := l.Append(t.Context(), "w", []log.Prepared{draft("x", unique("att-2")), draft("y", unique("att-2"))}); !errors.Is(err, tracedb.ErrReplayed) {
		t.Errorf("the same attestation twice in one call: %v", err)
	}
	if _, err := l.Append(t.Context(), "w", []log.Prepared{draft("x", outcome(tracedb.Approved)), draft("x", outcome(tracedb.Rejected))}); !errors.Is(err, tracedb.ErrConflict) {
		t.Errorf("two outcomes in one call: %v", err)
	}
	if l.Size() != 5 {
		t.Errorf("%d records, want 5", l.Size())
	}
	sound(t, l)
}

// testAllOrNothing refuses one draft among good ones, and finds none of them.
func testAllOrNothing(t *testing.T, e engine) {
	l := e.open(t)
	add(t, l, draft("taken"), draft("owner", fact("owner", "alg-1", `{"repository":"o/one"}`, true)))
	calls := []struct {
		name string
		give []log.Prepared
		want error
	}{
		{"conflict", []log.Prepared{draft("a"), draft("b", unique("u")), draft("taken", payload(`1`))}, tracedb.ErrConflict},
		{"bound", []log.Prepared{draft("a"), draft("b", unique("u")), draft("c", fact("owner", "alg-2", `{}`, true)), draft("d", fact("owner", "alg-1", `{"repository":"o/two"}`, true))}, tracedb.ErrBound},
		{"replayed", []log.Prepared{draft("a"), draft("b", unique("u")), draft("c", unique("u"))}, tracedb.ErrReplayed},
	}
	for _, tt := range calls {
		_, err := l.Append(t.Context(), "writer", tt.give)
		var said *tracedb.Error
		if !errors.Is(err, tt.want) || !errors.As(err, &said) || !strings.HasPrefix(said.Field, fmt.Sprintf("[%d]", len(tt.give)-1)) {
			t.Errorf("%s: %v (%+v), want %v of the last", tt.name, err, said, tt.want)
		}
	}
	// Nothing of the refused calls was remembered: not their ids, attestations or bound facts.
	receipts := add(t, l, draft("a", payload(`"other"`)), draft("b", payload(`"other"`)), draft("c", unique("u"), fact("owner", "alg-2", `{"x":1}`, true)))
	if receipts[0].Seq != 2 || l.Size() != 5 {
		t.Errorf("the next record is %d of %d", receipts[0].Seq, l.Size())
	}

	// Calls that share a transaction stand and fall alone: what a refused one brought first, an
	// attestation and a bound fact, is free for its neighbour.
	var wait sync.WaitGroup
	errs := make([]error, 40)
	for i := range errs {
		wait.Go(func() {
			before, d := draft(fmt.Sprint("before-", i)), draft(fmt.Sprint("shared-", i))
			unique(fmt.Sprint("shared-", i/2))(&before)
			fact("owner", fmt.Sprint("alg-shared-", i/2), fmt.Sprint(i), true)(&before)
			if i%2 == 1 {
				d = draft("taken", payload(`2`))
			}
			_, errs[i] = l.Append(t.Context(), "writer", []log.Prepared{before, d})
		})
	}
	wait.Wait()
	for i, err := range errs {
		refused := errors.Is(err, tracedb.ErrConflict) || errors.Is(err, tracedb.ErrReplayed)
		if i%2 == 0 && err != nil || i%2 == 1 && !refused {
			t.Errorf("call %d: %v", i, err)
		}
	}
	if l.Size() != 45 {
		t.Errorf("%d records, want 45", l.Size())
	}
	sound(t, l)
}

func testFacts(t *testing.T, e engine) {
	l := e.open(t)
	add(t, l,
		draft("0", fact("image", "sha256:a", `{"commit": "1"}`, false), fact("owner", "alg-1", `{"repository":"o/one"}`, true)),
		draft("1", fact("image", "sha256:b", `{"commit": "2"}`, false)),
		draft("2", fact("image", "sha256:a", `{"commit": "3"}`, false), fact("owner", "alg-1", ` {"repository":"o/one"} `, true)),
	)
	want := func(name string, got []tracedb.Fact, err error, want ...tracedb.Fact) {
		t.Helper()
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
	}
	a0 := tracedb.Fact{Table: "image", Key: "sha256:a", Value: json.RawMessage(`{"commit":"1"}`), Seq: 0}
	a2 := tracedb.Fact{Table: "image", Key: "sha256:a", Value: json.RawMessage(`{"commit":"3"}`), Seq: 2}
	b1 := tracedb.Fact{Table: "image", Key: "sha256:b", Value: json.RawMessage(`{"commit":"2"}`), Seq: 1}
	owner := tracedb.Fact{Table: "owner", Key: "alg-1", Value: json.RawMessage(`{"repository":"o/one"}`), Bound: true, Seq: 0}
	got, err := l.Facts(t.Context(), "image")
	want("newest of a table", got, err, a2, b1)
	got, err = l.Facts(t.Context(), "image", "sha256:a", "sha256:none")
	want("newest of a key", got, err, a2)
	got, err = l.History(t.Context(), "image", "sha256:a")
	want("history", got, err, a0, a2)
	got, err = l.History(t.Context(), "owner", "alg-1")
	want("history of a bound fact", got, err, owner)
	got, err = l.Facts(t.Context(), "none")
	want("no table", got, err)
}

// testRefused offers what can't be written down.
func testRefused(t *testing.T, e engine) {
	l := e.open(t)
	long := strings.Repeat("x", 70_000)
	many := draft("many")
	for i := range tracedb.MaxRefs + 1 {
		about(tracedb.RefCommit, fmt.Sprint(i))(&many)
	}
	tests := []struct {
		name  string
		give  log.Prepared
		want  error
		field string
	}{
		{"no id", draft(""), tracedb.ErrInvalidRecord, "[0].id"},
		{"no kind", draft("a", kind("")), tracedb.ErrInvalidRecord, "[0].kind"},
		{"unknown kind", draft("a", kind("gossip")), tracedb.ErrInvalidRecord, "[0].kind"},
		{"id with NUL", draft("a\x00b"), tracedb.ErrInvalidRecord, "[0].id"},
		{"actor not UTF-8", draft("a", actor("\xff")), tracedb.ErrInvalidRecord, "[0].actor"},
		{"ref with NUL", draft("a", about(tracedb.RefCommit, "a\x00")), tracedb.ErrInvalidRecord, "[0].refs"},
		{"ref without type", draft("a", about("", "x")), tracedb.ErrInvalidRecord, "[0].refs"},
		{"too many refs", many, tracedb.ErrInvalidRecord, "[0].refs"},
		{"year 10000", draft("a", func(p *log.Prepared) { p.At = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) }), tracedb.ErrInvalidRecord, "[0].at"},
		{"no payload", draft("a", payload("")), tracedb.ErrInvalidRecord, "[0].payload"},
		{"payload isn't JSON", draft("a", payload("{")), tracedb.ErrInvalidRecord, "[0].payload"},
		{"payload too large", draft("a", payload(`"`+strings.Repeat("x", tracedb.MaxPayload)+`"`)), tracedb.ErrTooLarge, "[0].payload"},
		{"leaf too large", draft("a", actor(long)), tracedb.ErrTooLarge, "[0]"},
		{"fact without table", draft("a", fact("", "k", `1`, false)), tracedb.ErrInvalidRecord, "[0].facts"},
		{"fact isn't JSON", draft("a", fact("t", "k", `{`, false)), tracedb.ErrInvalidRecord, "[0].facts"},
		{"fact twice", draft("a", fact("t", "k", `1`, false), fact("t", "k", `2`, false)), tracedb.ErrInvalidRecord, "[0].facts"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := l.Append(t.Context(), "writer", []log.Prepared{tt.give})
			var said *tracedb.Error
			if !errors.Is(err, tt.want) || !errors.As(err, &said) || said.Field != tt.field {
				t.Errorf("%v at %q, want %v at %q", err, said.Field, tt.want, tt.field)
			}
		})
	}
	for _, writer := range []string{"", "a\x00", "\xff"} {
		if _, err := l.Append(t.Context(), writer, drafts("a", 1)); !errors.Is(err, tracedb.ErrInvalidRecord) {
			t.Errorf("writer %q: %v", writer, err)
		}
	}
	if l.Size() != 0 {
		t.Errorf("%d records were taken", l.Size())
	}
	// What is odd but can be written down comes back as it was, also text that looks like SQL or markup.
	odd := `x'; DROP TABLE leaves; --<script>alert("é漢\u2028") & </script>`
	give := draft(odd, actor(odd), about(tracedb.RefCommit, odd), payload(`{"a":"<&\u0000>" ,"b":1e400}`), fact(odd, odd, `"<&>"`, false))
	give.At = time.Time{}
	r := add(t, l, give)
	got, err := l.Entries(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if w := got[0]; w.ID != odd || w.Actor != odd || w.Refs[0].Value != odd || !w.At.Equal(r[0].Time) {
		t.Errorf("came back as %+v", w)
	}
	if body, err := l.Payload(t.Context(), 0); err != nil || string(body) != string(give.Payload) {
		t.Errorf("payload came back as %s, %v", body, err)
	}
	if found, err := l.ByRefs(t.Context(), give.Refs[:1], 10); err != nil || len(found[give.Refs[0]]) != 1 {
		t.Errorf("by ref: %v, %v", found, err)
	}
	sound(t, l)
}

// testConcurrent lets many append at once, some of them the same.
func testConcurrent(t *testing.T, e engine) {
	l := e.open(t)
	const writers, each = 8, 40
	got := make([][]tracedb.Receipt, writers)
	var wait sync.WaitGroup
	for w := range writers {
		wait.Go(func() {
			for i := range each {
				// The shared one comes from all writers, under one name.
				for _, d := range []struct{ writer, id string }{{fmt.Sprint("w", w), fmt.Sprint("own-", i)}, {"shared", fmt.Sprint("shared-", i)}} {
					receipts, err := l.Append(t.Context(), d.writer, []log.Prepared{draft(d.id)})
					if err != nil {
						t.Error(err)
						return
					}
					got[w] = append(got[w], receipts...)
				}
			}
		})
	}
	wait.Wait()
	taken := map[int64]int{}
	for _, receipts := range got {
		for _, r := range receipts {
			if !r.Duplicate {
				taken[r.Seq]++
			}
		}
	}
	if want := writers*each + each; len(taken) != want || l.Size() != int64(want) {
		t.Errorf("%d places were given, the log has %d, want %d", len(taken), l.Size(), want)
	}
	sound(t, l)
}

// testClock turns the clock back between appends, and within one.
func testClock(t *testing.T, e engine) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 123456789, time.FixedZone("CET", 3600))
	clock := []time.Duration{0, time.Second, -time.Hour, -time.Minute, 2 * time.Second}
	dsn := e.empty(t)
	for i, d := range clock {
		l := e.openAt(t, dsn, logtest.Now(func() time.Time { return now.Add(d) }))
		add(t, l, drafts(fmt.Sprint("t", i), 2)...)
		if i == len(clock)-1 {
			sound(t, l)
		}
		if ahead, want := l.Ahead().Round(time.Second), max(0, time.Second-d); i > 0 && ahead != want {
			t.Errorf("with the clock %s on, the log is %s ahead, want %s", d, ahead, want)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	l := e.openAt(t, dsn)
	entries, err := l.Range(t.Context(), 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	start := time.Date(2026, 11, 24, 11, 0, 0, 123456000, time.UTC)
	want := []time.Duration{0, 0, 1, 1, 1, 1, 1, 1, 2, 2}
	for i, e := range entries {
		if w := start.Add(want[i] * time.Second); !e.Time.Equal(w) || e.Time.Location() != time.UTC {
			t.Errorf("record %d has time %s, want %s", i, e.Time, w)
		}
	}
}

func testFollow(t *testing.T, e engine) {
	l := e.open(t)
	add(t, l, drafts("before", 300)...)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	entries, err := l.Follow(ctx, 2)
	if err != nil {
		t.Fatal(err)
	}
	slow, err := l.Follow(ctx, 0) // nobody reads it
	if err != nil {
		t.Fatal(err)
	}
	for want := int64(2); want < 300; want++ {
		if got := <-entries; got.Seq != want {
			t.Fatalf("got %d, want %d", got.Seq, want)
		}
	}
	for i := range 5 {
		add(t, l, draft(fmt.Sprint("after-", i)))
		if got := <-entries; got.Seq != int64(300+i) {
			t.Fatalf("got %d, want %d", got.Seq, 300+i)
		}
	}
	cancel()
	for range entries {
		t.Error("an entry came after the end")
	}
	for range slow {
	}
}

// testClosed uses a log that is closed, or whose caller has left.
func testClosed(t *testing.T, e engine) {
	l := e.open(t)
	add(t, l, draft("a"))
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Append(gone, "writer", drafts("gone", 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("append for who has left: %v", err)
	}
	following, err := l.Follow(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for range following {
		t.Error("an entry came from a closed log")
	}
	if _, err := l.Append(t.Context(), "writer", drafts("b", 1)); !errors.Is(err, tracedb.ErrUnavailable) {
		t.Errorf("append to a closed log: %v", err)
	}
	if _, err := l.Range(t.Context(), 0, 1); err == nil {
		t.Error("a closed log was read")
	}
}
