package collect

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/catalog"
	"github.com/druppie/druppie-up/tracedb/ingest"
	"github.com/druppie/druppie-up/tracedb/log"
	"github.com/druppie/druppie-up/tracedb/log/logtest"
)

var update = flag.Bool("update", false, "write the golden files anew")

// trace is a real log behind a real ingester.
type trace struct {
	t   *testing.T
	log *log.Log
	in  *ingest.Ingester

	mu    sync.Mutex
	fail  func(drafts []tracedb.Draft) error // nil: nothing fails
	calls int
}

// later is when the tests run: after all that they tell of.
var later = time.Date(2026, 12, 24, 12, 0, 0, 0, time.UTC)

func clock() time.Time { return later }

func newTrace(t *testing.T) *trace {
	t.Helper()
	l := logtest.New(t, logtest.Now(clock))
	known, err := catalog.Open(t.Context(), l)
	if err != nil {
		t.Fatal(err)
	}
	return &trace{t: t, log: l, in: ingest.New(ingest.Options{Log: l, Catalog: known, Now: clock})}
}

// options are those of a collector that records here.
func (tr *trace) options() Options { return Options{Sink: tr.sink, Log: tr.log} }

func (tr *trace) failing(f func([]tracedb.Draft) error) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.fail = f
}

// down makes the log refuse everything with err.
func (tr *trace) down(err error) { tr.failing(func([]tracedb.Draft) error { return err }) }

func (tr *trace) up() { tr.failing(nil) }

func (tr *trace) called() int {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return tr.calls
}

func (tr *trace) sink(ctx context.Context, who tracedb.Identity, drafts []tracedb.Draft) ([]tracedb.Receipt, error) {
	tr.mu.Lock()
	tr.calls++
	fail := tr.fail
	tr.mu.Unlock()
	if fail != nil {
		if err := fail(drafts); err != nil {
			return nil, err
		}
	}
	return tr.in.Append(ctx, who, drafts)
}

// records are all records of the log.
func (tr *trace) records() []tracedb.Record {
	tr.t.Helper()
	entries, err := tr.log.Range(context.Background(), 0, 10_000)
	if err != nil {
		tr.t.Fatal(err)
	}
	var out []tracedb.Record
	for _, e := range entries {
		if e.Kind == tracedb.KindRefusal {
			continue // the ingester's own record of one that it didn't take
		}
		body, err := tr.log.Payload(context.Background(), e.Seq)
		if err != nil {
			tr.t.Fatal(err)
		}
		out = append(out, tracedb.Record{Entry: e, Payload: body})
	}
	return out
}

// lines are the records as kind, outcome and what says of them.
func (tr *trace) lines(what func(tracedb.Record) string) []string {
	tr.t.Helper()
	var out []string
	for _, r := range tr.records() {
		out = append(out, strings.TrimSpace(fmt.Sprintf("%s %s %s", r.Kind, r.Outcome, what(r))))
	}
	return out
}

// brief is enough to tell records apart.
func (tr *trace) brief() []string {
	return tr.lines(func(r tracedb.Record) string { return refTexts(r.Refs) })
}

func refTexts(refs []tracedb.Ref) string {
	var out []string
	for _, r := range refs {
		v := r.Value
		if len(v) > 20 && (isHash(v) || isDigest(v)) {
			v = strings.TrimPrefix(v, "sha256:")[:8]
		}
		out = append(out, string(r.Type)+":"+v)
	}
	return strings.Join(out, " ")
}

// golden compares all records, readably, with a file.
func (tr *trace) golden(name string) {
	tr.t.Helper()
	var b bytes.Buffer
	for _, r := range tr.records() {
		fmt.Fprintf(&b, "%s %s\n  id    %s\n  by    %s through %s at %s\n  about %s\n  ", r.Kind, r.Outcome, r.ID, r.Actor, r.Writer, r.At.Format(time.RFC3339), refTexts(r.Refs))
		if err := json.Indent(&b, r.Payload, "  ", "  "); err != nil {
			tr.t.Fatal(err)
		}
		b.WriteString("\n\n")
	}
	goldenFile(tr.t, name, b.Bytes())
}

func goldenFile(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

// eventually waits until a condition holds; the test's own deadline ends it.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(2 * time.Minute) // the machine may be busy
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("still not: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// running runs something until stop is called or the test ends.
func runs(t *testing.T, run func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != context.Canceled {
				t.Errorf("run ended with %v, want context.Canceled", err)
			}
		case <-time.After(20 * time.Second):
			t.Error("run doesn't end")
		}
	})
	t.Cleanup(stop)
	return stop
}

// withTestClock gives a recorder the tests' time, and pauses of next to none.
func withTestClock(r *recorder) {
	r.now = clock
	r.pause = func(ctx context.Context, _ time.Duration) error { return sleep(ctx, time.Millisecond) }
}
