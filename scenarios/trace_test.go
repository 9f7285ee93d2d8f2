package scenarios

import (
	"archive/zip"
	"bytes"
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

var (
	twoRuns = [2]string{"trace search", `{"entries": [{"seq": 9, "id": "run/b"}, {"seq": 7, "id": "run/a"}]}`}
	nine    = [2]string{"record:9", `{"links": [{"seq": 7, "title": "tasks that failed: check"}, {"seq": 9, "title": "Run b: failed", "details": [{"name": "tasks that failed", "value": "test"}]}]}`}
	seven   = [2]string{"record:7", `{"links": [{"seq": 7, "title": "Run a: failed", "details": [{"name": "tasks that failed", "value": "check"}]}]}`}
)

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
			e, calls := answering(t, twoRuns, nine, seven)
			c, texts := &call{engine: e, ctx: t.Context()}, map[int64]string{}
			if tt.pattern != "" {
				c.pattern = regexp.MustCompile(tt.pattern)
			}
			for range 2 { // what a record says is asked once
				got, _, err := c.findRecord("run", "failed", "commit:x", texts)
				if err != nil || got != tt.want {
					t.Errorf("got %d, %v, want %d", got, err, tt.want)
				}
			}
			whys := slices.DeleteFunc(calls(), func(args string) bool { return !strings.HasPrefix(args, "trace why record:") })
			if len(whys) != tt.whys {
				t.Errorf("asked %q, want %d", whys, tt.whys)
			}
		})
	}
}

// What an earlier run of the scenario left in the log proves nothing about this one.
func TestOnlyThisRunCounts(t *testing.T) {
	e, calls := answering(t, twoRuns)
	e.since = time.Date(2026, 11, 24, 4, 10, 38, 900_000_000, time.UTC)
	h := runScript(t, e, `
await trace run failed image:registry:5000/druppie/x@sha256:aa
stdout '"seq": 9'
same record $RECORD 9
trace find run - commit:x
`)
	if h.failed {
		t.Fatal(h.log.String())
	}
	want := []string{
		"trace search --kind run --ref image:sha256:aa --from 2026-11-24T04:10:37Z -o json --outcome failed --name p",
		"trace search --kind run --ref commit:x --from 2026-11-24T04:10:37Z -o json --name p",
	}
	if d := cmp.Diff(want, calls()); d != "" {
		t.Error(d)
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
