package ingest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/catalog"
	"github.com/druppie/druppie-up/tracedb/log"
)

// running runs the desk until the test ends or end is called, which waits for it.
func (b *bench) running(t *testing.T) (end func()) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()
	return func() {
		t.Helper()
		stop()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("Run() = %v", err)
		}
	}
}

func (b *bench) admissions(t *testing.T) []tracedb.Entry {
	t.Helper()
	page, err := b.log.Search(t.Context(), tracedb.Query{Kinds: []tracedb.Kind{tracedb.KindAdmission}, Limit: tracedb.MaxPage})
	if err != nil {
		t.Fatal(err)
	}
	return page.Entries
}

func TestAdmission(t *testing.T) {
	b := newBench(t)
	drafts := b.good(t, 0)
	b.take(t, drafts[tracedb.KindProvenance], drafts[tracedb.KindRegister])
	ask := func(q catalog.Question) catalog.Decision {
		t.Helper()
		d, err := b.Admission(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	q := catalog.Question{Namespace: "drones", Images: []string{"registry/druppie/drone@" + digest}, Algorithm: algorithm, Resource: "Pod/drone-1", UID: "u-1"}
	end := b.running(t)
	if d := ask(q); !d.Allowed || d.Repository != "druppie/drone" {
		t.Errorf("Admission() = %+v", d)
	}
	ask(q) // the same request again
	dry := q
	dry.DryRun, dry.UID = true, "u-2"
	if d := ask(dry); !d.Allowed {
		t.Errorf("a dry run: %+v", d)
	}
	bad := q
	bad.Algorithm, bad.UID = "<b>\n\x00", "u-3"
	if d := ask(bad); d.Allowed || d.Code != catalog.CodeBadAlgorithm {
		t.Errorf("Admission() = %+v", d)
	}
	nameless := q
	nameless.UID, nameless.Images = "", []string{"drone:latest", ""}
	ask(nameless)
	ask(nameless)
	odd := q
	odd.UID = "not an id\n"
	ask(odd)
	end()

	got := map[string]tracedb.Entry{}
	for _, e := range b.admissions(t) {
		got[e.ID] = e
	}
	if len(got) != 4 {
		t.Errorf("%d decisions were recorded, want one for each question that wasn't a dry run: %v", len(got), got)
	}
	first := got["admission/u-1"]
	var refs []string
	for _, r := range first.Refs {
		refs = append(refs, r.String())
	}
	want := "algorithm:" + algorithm + " image:" + digest + " namespace:drones pod:drones/drone-1 repository:druppie/drone"
	if strings.Join(refs, " ") != want || first.Outcome != tracedb.Allowed || first.Writer != Writer || !first.At.Equal(noon) {
		t.Errorf("recorded %+v, want refs %s", first, want)
	}
	refused := got["admission/u-3"]
	var said tracedb.Admission
	raw, err := b.log.Payload(t.Context(), refused.Seq)
	if err == nil {
		err = json.Unmarshal(raw, &said)
	}
	if err != nil || refused.Outcome != tracedb.Denied || !strings.Contains(said.Reason, "isn't an algorithm id") ||
		!strings.Contains(said.ReasonNL, "is geen algoritme-id") || !strings.HasPrefix(said.Remedy, "put ") || !strings.HasPrefix(said.RemedyNL, "zet ") {
		t.Errorf("recorded %+v: %+v, %v", refused, said, err)
	}
	if s := b.Stats(); s.DecisionsWaiting != 0 || s.DecisionsDropped != 0 {
		t.Errorf("Stats() = %+v", s)
	}
}

func TestAdmissionRefusesQuestions(t *testing.T) {
	b := newBench(t)
	long := strings.Repeat("x", maxQuestion+1)
	tests := []struct {
		name  string
		give  catalog.Question
		field string
	}{
		{"no namespace", catalog.Question{}, "namespace"},
		{"namespace upwards", catalog.Question{Namespace: "../x"}, "namespace"},
		{"too many images", catalog.Question{Namespace: "drones", Images: make([]string, maxImages+1)}, "images"},
		{"image too long", catalog.Question{Namespace: "drones", Images: []string{"a", long}}, "images[1]"},
		{"algorithm too long", catalog.Question{Namespace: "drones", Algorithm: long}, "algorithm"},
		{"resource too long", catalog.Question{Namespace: "drones", Resource: long}, "resource"},
		{"uid too long", catalog.Question{Namespace: "drones", UID: long}, "uid"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := b.Admission(t.Context(), tt.give)
			if e := tracedb.AsError(err); err == nil || e.Code != "invalid" || e.Field != tt.field {
				t.Errorf("Admission() = %v, want it refused at %s", err, tt.field)
			}
		})
	}
}

// TestAdmissionRecordsAnything holds that nobody escapes the record of a refusal by what they name.
func TestAdmissionRecordsAnything(t *testing.T) {
	b := newBench(t)
	token := "gh" + "p_" + strings.Repeat("aB3", 12)
	for i, text := range []string{
		strings.Repeat("x", maxQuestion), "x" + strings.Repeat("é", 499), "xx" + strings.Repeat("𝄞", 249), strings.Repeat("\xff", maxQuestion), strings.Repeat("\x00", maxQuestion),
		strings.Repeat("pwd=a ", 166), strings.Repeat("é pwd=a ", 111), strings.Repeat("//:a@://b:", 100), strings.Repeat("x", 480) + "token: 6ba7b810-9dad-11d1-80b4-00c04fd430c8", token,
	} {
		t.Run(fmt.Sprintf("%.20q", text), func(t *testing.T) {
			q := catalog.Question{Namespace: "drones", Images: []string{text}, Algorithm: text, Resource: text, UID: fmt.Sprint(i)}
			if text == token {
				q.UID = token
			}
			if d, err := b.Admission(t.Context(), q); err != nil || d.Allowed {
				t.Fatalf("Admission() = %+v, %v", d, err)
			}
			b.running(t)()
			if n := len(b.admissions(t)); n != i+1 {
				t.Errorf("%d decisions were recorded, want %d", n, i+1)
			}
		})
	}
	if s := b.Stats(); s.DecisionsDropped != 0 {
		t.Errorf("Stats() = %+v", s)
	}
}

// TestAdmissionAsksTheLog finds what another program has written since.
func TestAdmissionAsksTheLog(t *testing.T) {
	b := newBench(t)
	elsewhere := &Desk{Log: b.log, Keyring: b.Keyring, Now: b.Desk.Now} // it tells our catalog nothing
	drafts := b.good(t, 0)
	q := catalog.Question{Namespace: "drones", Images: []string{digest}, Algorithm: algorithm, DryRun: true}
	if d, err := b.Admission(t.Context(), q); err != nil || d.Code != catalog.CodeUnknownAlgorithm {
		t.Fatalf("before: %+v, %v", d, err)
	}
	if _, err := elsewhere.Take(t.Context(), writer(), []tracedb.Draft{drafts[tracedb.KindProvenance], drafts[tracedb.KindRegister]}); err != nil {
		t.Fatal(err)
	}
	if d := b.Catalog.Decide(q); d.Allowed {
		t.Fatal("the catalog knows already: the test shows nothing")
	}
	if d, err := b.Admission(t.Context(), q); err != nil || !d.Allowed {
		t.Errorf("after: %+v, %v", d, err)
	}
}

// stuck is a log that takes nothing until it is let go.
type stuck struct {
	*log.Log
	free  chan struct{}
	tries atomic.Int64
}

func (s *stuck) Append(ctx context.Context, writer string, drafts []log.Prepared) ([]tracedb.Receipt, error) {
	select {
	case <-s.free:
		return s.Log.Append(ctx, writer, drafts)
	default:
		s.tries.Add(1)
		return nil, tracedb.ErrFull
	}
}

// TestAdmissionNeverWaits asks more than the queue holds while the log takes nothing. Every answer
// comes; what waits is recorded when the log can again, and of the rest the log says how many.
func TestAdmissionNeverWaits(t *testing.T) {
	b := newBench(t)
	s := &stuck{Log: b.log, free: make(chan struct{})}
	b.Desk.Log = s
	const beyond = 100
	end := b.running(t)
	ask := func(i int) {
		if _, err := b.Admission(t.Context(), catalog.Question{Namespace: "drones", UID: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
	}
	ask(0)
	for s.tries.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	// One is being written; the queue takes so many more.
	for i := 1; i <= maxWaiting+beyond; i++ {
		ask(i)
	}
	stats := b.Stats()
	if stats.DecisionsDropped != beyond || stats.DecisionsWaiting != maxWaiting+1 {
		t.Errorf("Stats() = %+v, want %d dropped and the rest waiting", stats, beyond)
	}
	close(s.free)
	for deadline := time.Now().Add(time.Minute); b.Stats().DecisionsWaiting > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("still waiting: %+v", b.Stats())
		}
	}
	end()
	if n := b.log.Size(); n != maxWaiting+1+1 {
		t.Errorf("the log has %d records, want every decision that waited and one that tells of the others", n)
	}
	r := b.refused(t)
	if len(r) != 1 || r[0].Code != "unrecorded" || r[0].Kind != tracedb.KindAdmission || !strings.HasPrefix(r[0].Reason, "100 admission decisions") {
		t.Errorf("the log tells %+v", r)
	}
}

// TestAdmissionConflict asks once more under the same request after the answer changed: the first
// record stands, and those beside it are written.
func TestAdmissionConflict(t *testing.T) {
	b := newBench(t)
	drafts := b.good(t, 0)
	q := catalog.Question{Namespace: "drones", Images: []string{digest}, Algorithm: algorithm, UID: "u-1"}
	if d, err := b.Admission(t.Context(), q); err != nil || d.Allowed {
		t.Fatalf("%+v, %v", d, err)
	}
	b.take(t, drafts[tracedb.KindProvenance], drafts[tracedb.KindRegister])
	if d, err := b.Admission(t.Context(), q); err != nil || !d.Allowed {
		t.Fatalf("%+v, %v", d, err)
	}
	q.UID = "u-2"
	if _, err := b.Admission(t.Context(), q); err != nil {
		t.Fatal(err)
	}
	b.running(t)()
	var got []string
	for _, e := range b.admissions(t) {
		got = append(got, e.ID+" "+string(e.Outcome))
	}
	if strings.Join(got, ", ") != "admission/u-2 allowed, admission/u-1 denied" {
		t.Errorf("recorded %q", got)
	}
	if s := b.Stats(); s.DecisionsDropped != 0 || s.DecisionsWaiting != 0 {
		t.Errorf("Stats() = %+v", s)
	}
}

// TestRunEnds loses nothing that waits when the service is told to stop.
func TestRunEnds(t *testing.T) {
	b := newBench(t)
	for i := range together + 10 {
		if _, err := b.Admission(t.Context(), catalog.Question{Namespace: "drones", UID: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
	}
	b.running(t)()
	if n := b.log.Size(); n != together+10 {
		t.Errorf("%d of %d decisions were recorded", n, together+10)
	}
}

// TestRunGivesUp doesn't wait for ever, at the end, for a log that takes nothing, and counts what is
// lost.
func TestRunGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &Desk{Log: full{}}
		d.ready()
		for i := range 3 {
			d.leave(&decision{question: catalog.Question{Namespace: "drones", UID: fmt.Sprint(i)}, Decision: catalog.Decision{Reason: "r"}})
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- d.Run(ctx) }()
		time.Sleep(time.Hour)
		if s := d.Stats(); s.DecisionsWaiting != 3 || s.DecisionsDropped != 0 {
			t.Errorf("after an hour of a full disk: %+v", s)
		}
		stop()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("Run() = %v", err)
		}
		if s := d.Stats(); s.DecisionsWaiting != 0 || s.DecisionsDropped != 3 {
			t.Errorf("Stats() = %+v", s)
		}
	})
}
