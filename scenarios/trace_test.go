package scenarios

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/druppie/druppie-up/internal/ui"
	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/why"
)

// runScript runs a script with an engine of the test's.
func runScript(t *testing.T, e *engine, text string) *harness {
	t.Helper()
	file := filepath.Join(t.TempDir(), "fake.txtar")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return e.runScript(file)
}

// answering is an engine whose command prints what belongs to the first of those
// words that are among its arguments; calls gives the arguments of each call.
func answering(t *testing.T, answers ...[2]string) (e *engine, calls func() []string) {
	t.Helper()
	dir := t.TempDir()
	log := filepath.Join(dir, "calls")
	program := fmt.Sprintf("#!/bin/sh\necho \"$*\" >>'%s'\ncase \"$*\" in\n", log)
	for i, a := range answers {
		file := filepath.Join(dir, fmt.Sprint(i))
		if err := os.WriteFile(file, []byte(a[1]), 0o600); err != nil {
			t.Fatal(err)
		}
		program += fmt.Sprintf("*'%s'*) cat '%s' ;;\n", a[0], file)
	}
	command := filepath.Join(dir, "druppie-up")
	if err := os.WriteFile(command, []byte(program+"esac\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	e = newEngine(t.Context(), Options{Command: command, Platform: "p", Reporter: ui.Discard()})
	return e, func() []string {
		data, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Split(strings.TrimSpace(string(data)), "\n")
	}
}

// recorded is a trace that holds these records, whatever it is asked.
type recorded struct {
	links   []why.Link // newest first
	queries []tracedb.Query
	whys    int
	err     error
}

func (r *recorded) Search(_ context.Context, q tracedb.Query) (page tracedb.Page, err error) {
	r.queries = append(r.queries, q)
	for _, l := range r.links {
		page.Entries = append(page.Entries, l.Entry)
	}
	return page, r.err
}

func (r *recorded) Why(context.Context, string, why.Options) (*why.Chain, error) {
	r.whys++
	return &why.Chain{Links: r.links}, r.err
}

// searching is an engine whose trace holds two runs that failed.
func searching(t *testing.T) (*engine, *recorded) {
	t.Helper()
	run := func(seq int64, id, task string) why.Link {
		return why.Link{
			Entry: tracedb.Entry{Seq: seq, ID: "run/" + id}, Title: "Run " + id + ": failed",
			Details: []why.Detail{{Name: "tasks that failed", Value: task}},
		}
	}
	r := &recorded{links: []why.Link{run(9, "b", "test"), run(7, "a", "check")}}
	return newEngine(t.Context(), Options{Reporter: ui.Discard(), Trace: func(context.Context) (Trace, error) { return r, nil }}), r
}

func TestFindRecordByWhatItSays(t *testing.T) {
	tests := []struct {
		name, pattern string
		want          int64
		whys          int // records that had to be asked about
	}{
		{"any", "", 9, 0},
		{"its entry", "run/a", 7, 1},
		{"what it says", "tasks that failed: test", 9, 1},
		{"what an older one says", "tasks that failed: check", 7, 2},
		{"what none says", "tasks that failed: build", -1, 2},
		{"not over lines", "Run b.*test", -1, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e, trace := searching(t)
			c, texts := &call{engine: e, ctx: t.Context()}, map[int64]string{}
			if tt.pattern != "" {
				c.pattern = regexp.MustCompile(tt.pattern)
			}
			for range 2 { // what a record says is asked once
				got, _, err := c.findRecord("run", "failed", "revision:"+strings.Repeat("ab", 20), texts)
				if err != nil || got != tt.want {
					t.Errorf("got %d, %v, want %d", got, err, tt.want)
				}
			}
			if trace.whys != tt.whys {
				t.Errorf("asked about %d records, want %d", trace.whys, tt.whys)
			}
		})
	}
}

// What an earlier run of the scenario left in the log proves nothing about this one.
func TestOnlyThisRunCounts(t *testing.T) {
	e, trace := searching(t)
	e.since = time.Date(2026, 11, 24, 4, 10, 38, 900_000_000, time.UTC)
	image, commit := "sha256:"+strings.Repeat("ab", 32), strings.Repeat("cd", 20)
	h := runScript(t, e, `
await trace run failed image:registry:5000/druppie/x@`+image+`
stdout '"seq": 9'
same record $RECORD 9
trace find run - commit:`+commit+`
stdout '"seq": 7'
`)
	if h.failed {
		t.Fatal(h.log.String())
	}
	query := tracedb.Query{From: time.Date(2026, 11, 24, 4, 10, 37, 0, time.UTC), Kinds: []tracedb.Kind{tracedb.KindRun}, Limit: tracedb.DefaultPage}
	first, second := query, query
	first.Outcome, first.Refs = tracedb.Failed, []tracedb.Ref{{Type: tracedb.RefImage, Value: image}}
	second.Refs = []tracedb.Ref{{Type: tracedb.RefCommit, Value: commit}}
	if d := cmp.Diff([]tracedb.Query{first, second}, trace.queries); d != "" {
		t.Error(d)
	}
}

// A trace that doesn't answer may be on its way back; what can't be asked never will be.
func TestAwaitTraceGivesUpOnMistakes(t *testing.T) {
	for script, want := range map[string]string{
		"await trace rnu - commit:aa":       "no kind",
		"await trace run fialed commit:aa":  "outcome",
		"await trace run failed comit:aa":   "usage",
		"! await trace run failed image:aa": "usage",
	} {
		e, trace := searching(t)
		if h := runScript(t, e, script+"\n"); !h.failed || !strings.Contains(h.log.String(), want) || len(trace.queries) > 0 {
			t.Errorf("%s: %s", script, h.log.String())
		}
	}
	e, trace := searching(t)
	e.patience, trace.err = time.Millisecond, errors.New("it is away")
	if h := runScript(t, e, "await trace run failed image:sha256:"+strings.Repeat("ab", 32)+"\n"); !h.failed || !strings.Contains(h.log.String(), "(it is away)") {
		t.Error(h.log.String())
	}
}

func TestExceptionsEndWithTheScript(t *testing.T) {
	until := time.Now().UTC().AddDate(0, 0, 1).Format(time.DateOnly)
	grant := "trace register grant alg-1 --image x@sha256:aa --by druppie-scenario --reason late --until " + until + " --name p"
	revoke := "trace register revoke alg-1 --image x@sha256:aa --by druppie-scenario --reason %s --name p"
	tests := []struct {
		name, script string
		want         []string
	}{
		{"taken back", "trace grant alg-1 x@sha256:aa late\ntrace revoke alg-1 x@sha256:aa there", []string{grant, fmt.Sprintf(revoke, "there")}},
		{"forgotten", "trace grant alg-1 x@sha256:aa late", []string{grant, fmt.Sprintf(revoke, "the scenario has ended")}},
		{"the script fails", "trace grant alg-1 x@sha256:aa late\nsame x a b", []string{grant, fmt.Sprintf(revoke, "the scenario has ended")}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e, calls := answering(t)
			runScript(t, e, tt.script+"\n")
			if d := cmp.Diff(tt.want, calls()); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestTamperChangesOneBitOfOneFile(t *testing.T) {
	var archive bytes.Buffer
	z := zip.NewWriter(&archive)
	for _, name := range []string{"a", "empty", "b"} {
		f, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store})
		if err == nil && name != "empty" {
			_, err = fmt.Fprintf(f, "what %s says", name)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in.zip"), filepath.Join(dir, "out.zip")
	if err := os.WriteFile(in, archive.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	e, _ := answering(t)
	if h := runScript(t, e, "tamper "+in+" b "+out+"\n"); h.failed {
		t.Fatal(h.log.String())
	}
	got, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	// The middle of eleven bytes is the b.
	want := bytes.Replace(archive.Bytes(), []byte("what b says"), []byte("what c says"), 1)
	if !bytes.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, member := range []string{"c", "empty"} {
		if h := runScript(t, e, "tamper "+in+" "+member+" "+out+"\n"); !h.failed || !strings.Contains(h.log.String(), "holds no "+member) {
			t.Errorf("%s: %s", member, h.log.String())
		}
	}
}

// What asks the platform is told which; what asks none knows no such flag.
func TestTraceCommandsNameThePlatform(t *testing.T) {
	for _, tt := range []struct {
		context, script, want string
	}{
		{"", "trace why commit:x", "trace why commit:x --name p"},
		{"elsewhere", "trace why commit:x", "trace why commit:x --context elsewhere"},
		{"", "trace validate /f", "trace register validate /f"},
	} {
		e, calls := answering(t)
		e.opt.Context = tt.context
		if h := runScript(t, e, "# C1: a fake\n"+tt.script+"\n"); h.failed {
			t.Errorf("%s: %s", tt.script, h.log.String())
			continue
		}
		if got := calls(); !slices.Equal(got, []string{tt.want}) {
			t.Errorf("%s: called %q, want %q", tt.script, got, tt.want)
		}
	}
}

// What was asked wrongly isn't refused, whatever the script expects.
func TestTraceUsageIsNoRefusal(t *testing.T) {
	for code, refused := range map[int]bool{1: true, 2: false} {
		command := filepath.Join(t.TempDir(), "druppie-up")
		if err := os.WriteFile(command, fmt.Appendf(nil, "#!/bin/sh\nexit %d\n", code), 0o700); err != nil {
			t.Fatal(err)
		}
		e := newEngine(t.Context(), Options{Command: command, Platform: "p", Reporter: ui.Discard()})
		if h := runScript(t, e, "# C1: a fake\n! trace why commit:x\n"); h.failed == refused {
			t.Errorf("exit code %d: %s", code, h.log.String())
		}
	}
}
