package collect

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/druppie/druppie-up/tracedb"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func aCommit(n int) tracedb.Draft {
	hash := fmt.Sprintf("%040x", n+1)
	return commit{repository: "druppie/x", branch: "main", hash: hash, at: noon}.draft(Repositories{}.withDefaults())
}

func newTestRecorder(tr *trace) *recorder {
	r := newRecorder("gitea", tr.options(), giteaKinds...)
	withTestClock(r)
	return r
}

func TestPutTriesUntilItIsThere(t *testing.T) {
	for _, failure := range []error{tracedb.ErrUnavailable, tracedb.ErrFull, tracedb.ErrTooMany, tracedb.ErrInternal, tracedb.ErrForbidden, errors.New("a cable is out")} {
		t.Run(failure.Error(), func(t *testing.T) {
			tr := newTrace(t)
			r := newTestRecorder(tr)
			left := 3
			tr.failing(func([]tracedb.Draft) error {
				if left--; left < 0 {
					return nil
				}
				if left == 0 && r.Status().LastError == "" {
					t.Error("the status is silent about the failure")
				}
				return failure
			})
			for n := range 5 {
				if err := r.put(t.Context(), aCommit(n)); err != nil {
					t.Fatal(err)
				}
			}
			var got []string
			for _, record := range tr.records() {
				got = append(got, record.ID)
			}
			want := []string{aCommit(0).ID, aCommit(1).ID, aCommit(2).ID, aCommit(3).ID, aCommit(4).ID}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("records (-want +got):\n%s", diff)
			}
			s := r.Status()
			if s.LastError != "" || s.Recorded != 5 || s.LastErrorAt.IsZero() {
				t.Errorf("status afterwards: %+v", s)
			}
		})
	}
}

// TestFloodWaits has more happen than one collector may record at once: all of it is recorded, the rest of it later.
func TestFloodWaits(t *testing.T) {
	tr := newTrace(t)
	r := newTestRecorder(tr)
	var waited time.Duration
	r.pause = func(_ context.Context, d time.Duration) error { waited = d; return nil }
	var drafts []tracedb.Draft
	for n := range burst + 2*maxBatch {
		drafts = append(drafts, aCommit(n))
	}
	fits := burst + maxBatch // the last of them goes on credit
	if err := r.put(t.Context(), drafts[:fits]...); err != nil || waited != 0 {
		t.Fatalf("waited %s for what fits: %v", waited, err)
	}
	if err := r.put(t.Context(), drafts[:fits]...); err != nil || waited != 0 {
		t.Errorf("waited %s for what is recorded: %v", waited, err)
	}
	if err := r.put(t.Context(), drafts[fits:]...); err != nil || waited != maxBatch/perSecond*time.Second || len(tr.records()) != len(drafts) {
		t.Errorf("waited %s, %d records: %v", waited, len(tr.records()), err)
	}
}

// TestRecordAboutManyThings sees that a record about more than a search takes is found all the same when it is
// told again in other words.
func TestRecordAboutManyThings(t *testing.T) {
	tr := newTrace(t)
	push := commit{repository: "druppie/x", branch: "main", hash: fmt.Sprintf("%040x", 1), at: noon, message: "once"}
	for n := range 60 {
		push.others = append(push.others, fmt.Sprintf("%040x", n+2))
	}
	out := &bytes.Buffer{}
	for _, message := range []string{"once", "and again"} {
		push.message = message
		r := newTestRecorder(tr)
		r.Logger = slog.New(slog.NewTextHandler(out, nil))
		if err := r.put(t.Context(), push.draft(Repositories{}.withDefaults())); err != nil {
			t.Fatal(err)
		}
		if s := r.Status(); s.Recorded+s.Duplicates != 1 || s.Refused != 0 {
			t.Errorf("%s: %+v", message, s)
		}
	}
	if out.Len() > 0 || tr.called() != 1 {
		t.Errorf("the log was offered it %d times, and the collector said:\n%s", tr.called(), out)
	}
}

// TestKnownSaysWhatItCouldNotAsk sees that a search which fails is told.
func TestKnownSaysWhatItCouldNotAsk(t *testing.T) {
	tr := newTrace(t)
	r := newTestRecorder(tr)
	out := &bytes.Buffer{}
	r.Log, r.Logger = unsearchable{tr.log}, slog.New(slog.NewTextHandler(out, nil))
	if err := r.put(t.Context(), aCommit(1)); err != nil {
		t.Fatal(err)
	}
	if len(tr.records()) != 1 || !strings.Contains(out.String(), tracedb.ErrUnavailable.Error()) {
		t.Errorf("%d records, and the collector said: %s", len(tr.records()), out)
	}
}

type unsearchable struct{ tracedb.Reader }

func (unsearchable) Search(context.Context, tracedb.Query) (tracedb.Page, error) {
	return tracedb.Page{}, tracedb.ErrUnavailable
}

// TestSelectiveRefs sees that of a record about many things of one type those of others are asked for too.
func TestSelectiveRefs(t *testing.T) {
	var about []tracedb.Ref
	for n := range 60 {
		about = append(about, ref(tracedb.RefCommit, fmt.Sprintf("%040x", n)))
	}
	about = append(about, ref(tracedb.RefRepository, "druppie/x"), ref(tracedb.RefRevision, fmt.Sprintf("%040x", 1)))
	got := selectiveRefs(about)
	if len(got) != tracedb.MaxQueryRefs || !slices.Contains(got, about[60]) || !slices.Contains(got, about[61]) {
		t.Errorf("asks for %v", got)
	}
}

func TestPutEndsWithItsContext(t *testing.T) {
	tr := newTrace(t)
	r := newTestRecorder(tr)
	tr.down(tracedb.ErrFull)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- r.put(ctx, aCommit(1)) }()
	eventually(t, "several tries", func() bool { return tr.called() > 3 })
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("put = %v, want context.Canceled", err)
	}
	tr.up()
	if n := len(tr.records()); n != 0 {
		t.Errorf("%d records, want none", n)
	}
}

// One record that the log will never take stops nobody.
func TestOneBadRecord(t *testing.T) {
	tr := newTrace(t)
	r := newTestRecorder(tr)
	bad := aCommit(2)
	bad.Outcome = tracedb.Passed // a commit has none
	if err := r.put(t.Context(), aCommit(1), bad, aCommit(3)); err != nil {
		t.Fatal(err)
	}
	if s := r.Status(); s.Refused != 1 || s.Recorded != 2 || len(tr.records()) != 2 {
		t.Errorf("status %+v with %d records, want 2 recorded and 1 refused", s, len(tr.records()))
	}
}

func TestTwiceIsOnce(t *testing.T) {
	other := aCommit(1)
	other.Payload = []byte(strings.Replace(string(other.Payload), `"message":""`, `"message":"other words"`, 1))
	tests := []struct {
		name  string
		again tracedb.Draft
		same  bool // recorder
		log   bool
	}{
		{"the same recorder", aCommit(1), true, true},
		{"after a restart", aCommit(1), false, true},
		{"after a restart, in other words", other, false, true},
		{"nobody to ask", aCommit(1), false, false},
		{"nobody to ask, in other words", other, false, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tr := newTrace(t)
			r := newTestRecorder(tr)
			if err := r.put(t.Context(), aCommit(1)); err != nil {
				t.Fatal(err)
			}
			if !tt.same {
				r = newTestRecorder(tr)
				if !tt.log {
					r.Log = unsearchable{tr.log}
				}
			}
			if err := r.tryPut(t.Context(), []tracedb.Draft{tt.again, aCommit(2)}); err != nil {
				t.Fatal(err)
			}
			var ids []string
			for _, record := range tr.records() {
				ids = append(ids, record.ID)
			}
			page, err := tr.log.Search(t.Context(), tracedb.Query{Kinds: []tracedb.Kind{tracedb.KindRefusal}})
			if err != nil {
				t.Fatal(err)
			}
			if tt.log && len(page.Entries) > 0 {
				t.Error("the ingester had to refuse what the log could have been asked about")
			}
			if s := r.Status(); s.Refused != 0 {
				t.Errorf("%d refused: what is told twice is no failure", s.Refused)
			}
			if want := []string{aCommit(1).ID, aCommit(2).ID}; !slices.Equal(ids, want) {
				t.Errorf("records = %v, want %v", ids, want)
			}
		})
	}
}

// An id that another record has may hide a loss: it is said, once.
func TestConflictIsSaid(t *testing.T) {
	tr := newTrace(t)
	r := newTestRecorder(tr)
	if err := r.put(t.Context(), aCommit(1)); err != nil {
		t.Fatal(err)
	}
	r = newTestRecorder(tr)
	var out bytes.Buffer
	r.Log, r.Logger = newTrace(t).log, slog.New(slog.NewTextHandler(&out, nil))
	other := aCommit(1)
	other.Payload = []byte(strings.Replace(string(other.Payload), `"message":""`, `"message":"other words"`, 1))
	for range 2 {
		if err := r.put(t.Context(), other, aCommit(2)); err != nil {
			t.Fatal(err)
		}
	}
	if said := strings.Count(out.String(), "id="+other.ID); said != 1 || r.Status().Duplicates != 1 {
		t.Errorf("said %d times: %s", said, out.String())
	}
}

// Whoever makes a commit chooses its date, and doesn't escape by it.
func TestImpossibleDates(t *testing.T) {
	tests := []struct {
		name string
		at   time.Time
		want time.Time
	}{
		{"in a hundred years", later.AddDate(100, 0, 0), later},
		{"a century ago", later.AddDate(-100, 0, 0), later}, // the log's own time
		{"none", time.Time{}, later},
		{"last week", later.AddDate(0, 0, -7), later.AddDate(0, 0, -7)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tr := newTrace(t)
			r := newTestRecorder(tr)
			d := aCommit(1)
			d.At = tt.at
			for range 2 {
				if err := r.put(t.Context(), d); err != nil {
					t.Fatal(err)
				}
				r = newTestRecorder(tr)
			}
			records := tr.records()
			if len(records) != 1 || !records[0].At.Equal(tt.want) {
				t.Errorf("records = %+v, want one at %s", records, tt.want)
			}
		})
	}
}

func TestRememberIsBounded(t *testing.T) {
	tr := newTrace(t)
	r := newTestRecorder(tr)
	for n := range maxRecent + 10 {
		r.remember(fmt.Sprint(n))
	}
	if r.recent.Len() != maxRecent || r.seen("0") || !r.seen(fmt.Sprint(maxRecent+9)) {
		t.Errorf("%d ids remembered", r.recent.Len())
	}
}

func TestShortID(t *testing.T) {
	tests := []struct {
		name, give string
		kept       bool
	}{
		{"as it is", "commit/druppie/x/main/abc", true},
		{"odd letters", "commit/druppie/x/féature/abc", false},
		{"a space", "commit/druppie/x/a b/abc", false},
		{"too long", "commit/" + strings.Repeat("x", 300), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := shortID(tt.give)
			if (got == tt.give) != tt.kept || !strings.HasPrefix(got, "commit/") || len(got) > 250 {
				t.Errorf("shortID(%q) = %q", tt.give, got)
			}
			if !tt.kept && got == shortID(tt.give+"x") {
				t.Error("another id becomes the same")
			}
		})
	}
}

func TestHealth(t *testing.T) {
	h := &health{}
	if s := h.read("pods"); s.Name != "pods" || !s.LastSuccess.IsZero() {
		t.Errorf("at first %+v", s)
	}
	h.ok("b", noon.Add(time.Minute))
	h.ok("a", noon)
	h.failing("b", noon.Add(2*time.Minute), errors.New("out"))
	h.failing("a", noon, context.Canceled)
	h.blocked(noon.Add(3*time.Minute), errors.New("full"))
	got := h.read("pods")
	want := Status{Name: "pods", LastSuccess: noon, LastError: "b: out", LastErrorAt: noon.Add(3 * time.Minute)}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("read (-want +got):\n%s", diff)
	}
	h.drop("b")
	if got := h.read("pods").LastError; got != "log: full" {
		t.Errorf("LastError = %q", got)
	}
}
