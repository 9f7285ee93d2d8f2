package admission

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/api/apitest"
	"github.com/druppie/druppie-up/tracedb/attest"
	"github.com/druppie/druppie-up/tracedb/catalog"
	"github.com/druppie/druppie-up/tracedb/ingest"
	"github.com/druppie/druppie-up/tracedb/log"
	"github.com/druppie/druppie-up/tracedb/log/logtest"
)

const algorithm = "alg-0a1b2c3d"

var (
	noon   = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	drone  = apitest.NewService("druppie/drone", algorithm, 1)
	digest = drone.Image
)

// bench is a Controller over a log of its own, where the clock stands still.
type bench struct {
	*Controller
	log     *log.Log
	records ingest.Options
}

func newBench(t testing.TB) *bench {
	t.Helper()
	l := logtest.New(t)
	b := &bench{log: l, records: ingest.Options{Log: l, Catalog: open(t, l), Now: func() time.Time { return noon }}}
	b.Controller = b.controller(t)
	return b
}

func open(t testing.TB, l *log.Log) *catalog.Catalog {
	t.Helper()
	c, err := catalog.Open(t.Context(), l)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (b *bench) controller(t testing.TB) *Controller {
	t.Helper()
	return New(Options{Catalog: b.records.Catalog, Records: ingest.New(b.records), Now: b.records.Now})
}

// release records what the foundry says of the drone, with the catalog given told of it.
func (b *bench) release(t testing.TB, told *catalog.Catalog) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "foundry.pub")
	key, err := apitest.NewKey(file)
	if err != nil {
		t.Fatal(err)
	}
	o := b.records
	o.Catalog = told
	if o.Keyring, err = attest.LoadKeyring([]attest.KeyFile{{Name: "foundry", File: file, Kinds: []tracedb.Kind{"*"}}}); err != nil {
		t.Fatal(err)
	}
	in := ingest.New(o)
	drafts, err := apitest.Release(key, drone)
	if err != nil {
		t.Fatal(err)
	}
	who := tracedb.Identity{Name: "system:serviceaccount:foundry:step-record", Roles: []tracedb.Role{tracedb.RoleWriter}}
	for _, d := range drafts {
		who.Kinds = append(who.Kinds, d.Kind)
	}
	if _, err := in.Append(t.Context(), who, drafts); err != nil {
		t.Fatal(err)
	}
}

// running runs the controller until end is called, which waits for it.
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
	b.release(t, b.records.Catalog)
	ask := func(q catalog.Request) catalog.Decision {
		t.Helper()
		d, err := b.Decide(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	q := catalog.Request{Namespace: "drones", Images: []string{"registry/druppie/drone@" + digest}, Algorithm: algorithm, Resource: "Pod/drone-1", UID: "u-1"}
	end := b.running(t)
	if d := ask(q); !d.Allowed || d.Repository != "druppie/drone" {
		t.Errorf("Decide() = %+v", d)
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
		t.Errorf("Decide() = %+v", d)
	}
	nameless := q
	nameless.UID, nameless.Images = "", []string{"drone:latest", ""}
	ask(nameless)
	ask(nameless)
	odd := q
	odd.UID = "not an id\n"
	ask(odd)
	// A debug container in the pod, and a change of it.
	later := q
	later.UID, later.Pod = "", "u-1"
	ask(later)
	odd.Pod = "not an id\n"
	odd.Resource = "Pod/drone-2"
	ask(odd)
	end()

	got := map[string]tracedb.Entry{}
	for _, e := range b.admissions(t) {
		got[e.ID] = e
	}
	var ofPod []string
	for id := range got {
		if strings.HasPrefix(id, "admission/u-1") {
			ofPod = append(ofPod, id)
		}
	}
	if slices.Sort(ofPod); len(ofPod) != 2 || ofPod[0] != "admission/u-1" || !strings.HasPrefix(ofPod[1], "admission/u-1/") {
		t.Errorf("decisions about the pod: %v", ofPod)
	}
	if len(got) != 6 {
		t.Errorf("%d decisions were recorded, want one for each question that wasn't a dry run: %v", len(got), got)
	}
	first := got["admission/u-1"]
	var refs []string
	for _, r := range first.Refs {
		refs = append(refs, r.String())
	}
	want := "algorithm:" + algorithm + " image:" + digest + " namespace:drones pod:drones/drone-1 repository:druppie/drone"
	if strings.Join(refs, " ") != want || first.Outcome != tracedb.Allowed || first.Writer != ingest.Writer || !first.At.Equal(noon) {
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
	if s := b.Stats(); s.Waiting != 0 || s.Dropped != 0 {
		t.Errorf("Stats() = %+v", s)
	}
}

func TestAdmissionRefusesQuestions(t *testing.T) {
	b := newBench(t)
	long := strings.Repeat("x", maxText+1)
	tests := []struct {
		name  string
		give  catalog.Request
		field string
	}{
		{"no namespace", catalog.Request{}, "namespace"},
		{"namespace upwards", catalog.Request{Namespace: "../x"}, "namespace"},
		{"too many images", catalog.Request{Namespace: "drones", Images: make([]string, ingest.MaxImages+1)}, "images"},
		{"image too long", catalog.Request{Namespace: "drones", Images: []string{"a", long}}, "images[1]"},
		{"algorithm too long", catalog.Request{Namespace: "drones", Algorithm: long}, "algorithm"},
		{"resource too long", catalog.Request{Namespace: "drones", Resource: long}, "resource"},
		{"uid too long", catalog.Request{Namespace: "drones", UID: long}, "uid"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := b.Decide(t.Context(), tt.give)
			if e := tracedb.AsError(err); err == nil || e.Code != "invalid" || e.Field != tt.field {
				t.Errorf("Decide() = %v, want it refused at %s", err, tt.field)
			}
		})
	}
}

// TestAdmissionRecordsAnything holds that nobody escapes the record of a refusal by what they name.
func TestAdmissionRecordsAnything(t *testing.T) {
	b := newBench(t)
	token := "gh" + "p_" + strings.Repeat("aB3", 12)
	for i, text := range []string{
		strings.Repeat("x", maxText), "x" + strings.Repeat("é", 499), "xx" + strings.Repeat("𝄞", 249), strings.Repeat("\xff", maxText), strings.Repeat("\x00", maxText),
		strings.Repeat("pwd=a ", 166), strings.Repeat("é pwd=a ", 111), strings.Repeat("//:a@://b:", 100), strings.Repeat("x", 480) + "token: 6ba7b810-9dad-11d1-80b4-00c04fd430c8", token,
	} {
		t.Run(fmt.Sprintf("%.20q", text), func(t *testing.T) {
			q := catalog.Request{Namespace: "drones", Images: []string{text}, Algorithm: text, Resource: text, UID: fmt.Sprint(i)}
			if text == token {
				q.UID = token
			}
			if d, err := b.Decide(t.Context(), q); err != nil || d.Allowed {
				t.Fatalf("Decide() = %+v, %v", d, err)
			}
			b.running(t)()
			if n := len(b.admissions(t)); n != i+1 {
				t.Errorf("%d decisions were recorded, want %d", n, i+1)
			}
		})
	}
	if s := b.Stats(); s.Dropped != 0 {
		t.Errorf("Stats() = %+v", s)
	}
}

// TestAdmissionAsksTheLog finds what another program has written since.
func TestAdmissionAsksTheLog(t *testing.T) {
	b := newBench(t)
	q := catalog.Request{Namespace: "drones", Images: []string{digest}, Algorithm: algorithm, DryRun: true}
	if d, err := b.Decide(t.Context(), q); err != nil || d.Code != catalog.CodeUnknownAlgorithm {
		t.Fatalf("before: %+v, %v", d, err)
	}
	b.release(t, open(t, b.log)) // another program's, which tells our catalog nothing
	if d := b.records.Catalog.Decide(q); d.Allowed {
		t.Fatal("the catalog knows already: the test shows nothing")
	}
	if d, err := b.Decide(t.Context(), q); err != nil || !d.Allowed {
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
	b.records.Log = s
	b.Controller = b.controller(t)
	const beyond = 100
	end := b.running(t)
	ask := func(i int) {
		if _, err := b.Decide(t.Context(), catalog.Request{Namespace: "drones", UID: fmt.Sprint(i)}); err != nil {
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
	if stats.Dropped != beyond || stats.Waiting != maxWaiting+1 {
		t.Errorf("Stats() = %+v, want %d dropped and the rest waiting", stats, beyond)
	}
	close(s.free)
	for deadline := time.Now().Add(time.Minute); b.Stats().Waiting > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("still waiting: %+v", b.Stats())
		}
	}
	end()
	if n := b.log.Size(); n != maxWaiting+1+1 {
		t.Errorf("the log has %d records, want every decision that waited and one that tells of the others", n)
	}
	newest, err := b.log.Search(t.Context(), tracedb.Query{Kinds: []tracedb.Kind{tracedb.KindRefusal}})
	if err != nil || len(newest.Entries) != 1 {
		t.Fatalf("%d refusals, %v", len(newest.Entries), err)
	}
	var told tracedb.Refusal
	raw, err := b.log.Payload(t.Context(), newest.Entries[0].Seq)
	if err == nil {
		err = json.Unmarshal(raw, &told)
	}
	if err != nil || told.Code != "unrecorded" || told.Kind != tracedb.KindAdmission || !strings.HasPrefix(told.Reason, "100 admission decisions") {
		t.Errorf("the log tells %+v, %v", told, err)
	}
}

// TestAdmissionConflict asks once more under the same request after the answer changed: the first
// record stands, and those beside it are written.
func TestAdmissionConflict(t *testing.T) {
	b := newBench(t)
	q := catalog.Request{Namespace: "drones", Images: []string{digest}, Algorithm: algorithm, UID: "u-1"}
	if d, err := b.Decide(t.Context(), q); err != nil || d.Allowed {
		t.Fatalf("%+v, %v", d, err)
	}
	b.release(t, b.records.Catalog)
	if d, err := b.Decide(t.Context(), q); err != nil || !d.Allowed {
		t.Fatalf("%+v, %v", d, err)
	}
	q.UID = "u-2"
	if _, err := b.Decide(t.Context(), q); err != nil {
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
	if s := b.Stats(); s.Dropped != 0 || s.Waiting != 0 {
		t.Errorf("Stats() = %+v", s)
	}
}

// TestRunEnds loses nothing that waits when the service is told to stop.
func TestRunEnds(t *testing.T) {
	b := newBench(t)
	for i := range maxBatch + 10 {
		if _, err := b.Decide(t.Context(), catalog.Request{Namespace: "drones", UID: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
	}
	b.running(t)()
	if n := b.log.Size(); n != maxBatch+10 {
		t.Errorf("%d of %d decisions were recorded", n, maxBatch+10)
	}
}

// TestRunGivesUp doesn't wait for ever, at the end, for a log that takes nothing, and counts what is
// lost.
func TestRunGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := New(Options{Catalog: &catalog.Catalog{}, Records: full{}})
		for i := range 3 {
			d.enqueue(&decision{request: catalog.Request{Namespace: "drones", UID: fmt.Sprint(i)}, Decision: catalog.Decision{Reason: "r"}})
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- d.Run(ctx) }()
		time.Sleep(time.Hour)
		if s := d.Stats(); s.Waiting != 3 || s.Dropped != 0 {
			t.Errorf("after an hour of a full disk: %+v", s)
		}
		stop()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("Run() = %v", err)
		}
		if s := d.Stats(); s.Waiting != 0 || s.Dropped != 3 {
			t.Errorf("Stats() = %+v", s)
		}
	})
}

// full is a log that takes nothing.
type full struct{}

func (full) AppendOwn(context.Context, []tracedb.Draft) ([]tracedb.Receipt, error) {
	return nil, tracedb.ErrFull
}
