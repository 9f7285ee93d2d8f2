package ui

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

// report is a run with all that can happen in it; every mode shows it in its own way.
func report(t *testing.T, rep Reporter) {
	t.Helper()
	rep.Note("supply: %s, since no registry answers", "modules")

	host := rep.Start("host", "Check the host")
	time.Sleep(300 * time.Millisecond)
	host.Done("8 checks")

	fill := rep.Start("supply", "Fill the store")
	node := rep.Start("cluster", "Create the cluster")
	fill.Progress(3, 10)
	time.Sleep(20 * time.Second)
	fill.Detail("building %s", "etcd")
	fill.Progress(5, 10)
	node.Detail("waiting for node image")
	time.Sleep(4 * time.Second)
	node.Detail("100% of the image\x1b[2J is\nthere")
	time.Sleep(5 * time.Second)
	node.Done("2 nodes")
	fill.Progress(10, 10)
	fill.Done("")
	fill.Done("twice")

	rep.Start("gpu", "Advertise GPUs").Skip("no GPU nodes asked for")

	gitea := rep.Start("gitea", "Install Gitea")
	time.Sleep(61 * time.Second)
	gitea.Fail(WithHint(errors.New("pod gitea-0: crash loop:\n  exit code 1\n  exit code 1"), "look at its log"))
	gitea.Done("after the end")
}

func TestReportGolden(t *testing.T) {
	for _, mode := range []string{ModePlain, ModeJSON, ModeTerminal} {
		t.Run(mode, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var out bytes.Buffer
				rep, err := NewReporter(&out, mode)
				if err != nil {
					t.Fatal(err)
				}
				report(t, rep)
				got := out.String()
				if mode == ModeTerminal {
					got = screen(got)
				}
				golden(t, "report."+mode, got)
			})
		})
	}
}

// TestTerminalWhileRunning looks at the screen in the middle of the work.
func TestTerminalWhileRunning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out locked
		rep, _ := NewReporter(&out, ModeTerminal)
		fill, node := rep.Start("supply", "Fill the store"), rep.Start("cluster", "Create the cluster")
		fill.Progress(0, 4)
		time.Sleep(10 * time.Second)
		fill.Progress(1, 4)
		fill.Detail("building %s", strings.Repeat("a very long name ", 20))
		node.Detail("waiting for the node image")
		time.Sleep(time.Second)
		golden(t, "running.terminal", screen(out.String()))
		fill.Done("")
		node.Done("")
	})
}

func TestManyRunningFitTheWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out locked
		rep, _ := NewReporter(&out, ModeTerminal)
		var tasks []Task
		for i := range maxLive + 3 {
			tasks = append(tasks, rep.Start("t", fmt.Sprintf("task %d", i)))
		}
		got := strings.Split(strings.TrimSpace(screen(out.String())), "\n")
		if len(got) != maxLive+1 || !strings.Contains(got[maxLive], "and 3 more") {
			t.Errorf("%d lines, last %q", len(got), got[len(got)-1])
		}
		for _, task := range tasks {
			task.Done("")
		}
	})
}

// screen plays the few cursor movements that the reporter uses, and gives what is left to see.
func screen(out string) string {
	var lines []string
	for i, piece := range strings.Split(out, "\x1b[") {
		if i > 0 {
			var up int
			if n, _ := fmt.Sscanf(piece, "%dA", &up); n == 1 {
				lines = lines[:len(lines)-up]
				continue
			}
			piece = strings.TrimPrefix(piece, "J")
		}
		for line := range strings.Lines(piece) {
			lines = append(lines, strings.TrimLeft(line, "\r"))
		}
	}
	return strings.Join(lines, "")
}

func TestETA(t *testing.T) {
	start := time.Unix(0, 0)
	at := func(s int) time.Time { return start.Add(time.Duration(s) * time.Second) }
	tests := []struct {
		name   string
		report [][3]int64 // second, done, total
		asked  int
		want   time.Duration
		wantOK bool
	}{
		{name: "nothing counted", asked: 60},
		{name: "too early", report: [][3]int64{{0, 0, 10}, {2, 5, 10}}, asked: 2},
		{name: "too little", report: [][3]int64{{0, 0, 1000}, {60, 10, 1000}}, asked: 60},
		{name: "total unknown", report: [][3]int64{{0, 0, 0}, {60, 10, 0}}, asked: 60},
		{name: "half", report: [][3]int64{{0, 0, 10}, {60, 5, 10}}, asked: 60, want: time.Minute, wantOK: true},
		{name: "grows with the clock while nothing moves", report: [][3]int64{{0, 0, 10}, {60, 5, 10}}, asked: 90, want: 90 * time.Second, wantOK: true},
		{name: "doesn't jump when a late unit ends", report: [][3]int64{{0, 0, 10}, {60, 5, 10}, {120, 5, 10}}, asked: 120, want: 2 * time.Minute, wantOK: true},
		{name: "resumed work is not speed", report: [][3]int64{{0, 50, 100}, {60, 75, 100}}, asked: 60, want: time.Minute, wantOK: true},
		{name: "work undone doesn't count twice", report: [][3]int64{{0, 0, 100}, {30, 50, 100}, {60, 0, 100}}, asked: 60, want: time.Minute, wantOK: true},
		{name: "done", report: [][3]int64{{0, 0, 10}, {60, 10, 10}}, asked: 60},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tr := track{began: start}
			for _, r := range tt.report {
				tr.progress(at(int(r[0])), r[1], r[2])
			}
			got, ok := tr.eta(at(tt.asked))
			if got != tt.want || ok != tt.wantOK {
				t.Errorf("eta = %v, %v, want %v, %v", got, ok, tt.want, tt.wantOK)
			}
		})
	}
}

// TestBarNeverFalls reports what must not pull a bar back: less done than before, and more to do.
func TestBarNeverFalls(t *testing.T) {
	tests := []struct {
		name   string
		report [][2]int64 // done, total
		want   float64
		counts string
	}{
		{"less done", [][2]int64{{5, 10}, {3, 10}}, 0.5, "5/10"},
		{"more to do", [][2]int64{{5, 10}, {5, 20}}, 0.5, "5/20"},
		{"more to do, as a percentage", [][2]int64{{4300, 10_000}, {4300, 20_000}}, 0.43, "43%"},
		{"catches up with what was added", [][2]int64{{5, 10}, {5, 20}, {15, 20}}, 0.75, "15/20"},
		{"total forgotten", [][2]int64{{5, 10}, {6, 0}}, 0.5, "6"},
		{"more done than there is", [][2]int64{{12, 10}}, 1, "10/10"},
		{"nothing known", [][2]int64{{-1, 0}}, 0, "0"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var tr track
			for _, r := range tt.report {
				tr.progress(time.Unix(0, 0), r[0], r[1])
			}
			if tr.share != tt.want || tr.counts() != tt.counts {
				t.Errorf("bar at %v, %s; want %v, %s", tr.share, tr.counts(), tt.want, tt.counts)
			}
		})
	}
}

func TestDurations(t *testing.T) {
	for d, want := range map[time.Duration]string{
		1234 * time.Millisecond: "1.2s", 59 * time.Second: "59s", 61 * time.Second: "1m01s", 3*time.Hour + 5*time.Minute: "3h05m",
	} {
		if got := short(d); got != want {
			t.Errorf("short(%v) = %q, want %q", d, got, want)
		}
	}
	for d, want := range map[time.Duration]string{
		9 * time.Second: "a few seconds left", 44 * time.Second: "about 40s left",
		754 * time.Second: "about 13m left", 100 * time.Minute: "about 1h40m left",
	} {
		if got := about(d); got != want {
			t.Errorf("about(%v) = %q, want %q", d, got, want)
		}
	}
}

func TestErrors(t *testing.T) {
	base := errors.New("port 8443 is taken")
	tests := []struct {
		name     string
		err      error
		wantCode int
		wantHint string
	}{
		{name: "none"},
		{name: "plain", err: base, wantCode: 1},
		{name: "usage", err: Usage(base), wantCode: 2},
		{name: "usage below wrapping", err: fmt.Errorf("up: %w", WithHint(Usage(base), "choose another")), wantCode: 2, wantHint: "choose another"},
		{name: "outer hint wins", err: WithHint(fmt.Errorf("up: %w", WithHint(base, "inner")), "outer"), wantCode: 1, wantHint: "outer"},
		{name: "joined", err: errors.Join(errors.New("a"), WithHint(base, "stop nginx")), wantCode: 1, wantHint: "stop nginx"},
		{name: "nil stays nil", err: WithHint(Usage(nil), "x")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := ExitCode(tt.err); got != tt.wantCode {
				t.Errorf("ExitCode = %d, want %d", got, tt.wantCode)
			}
			if got := Hint(tt.err); got != tt.wantHint {
				t.Errorf("Hint = %q, want %q", got, tt.wantHint)
			}
		})
	}
}

func TestWriteError(t *testing.T) {
	err := WithHint(errors.New("two things\n- one\x1b[31m\n- two"), "mend both")
	var out bytes.Buffer
	WriteError(&out, ModePlain, err)
	want := "error: two things\n       - one [31m\n       - two\n hint: mend both\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
	out.Reset()
	WriteError(&out, ModeJSON, err)
	var e event
	if uerr := json.Unmarshal(out.Bytes(), &e); uerr != nil || e.Event != "error" || e.Hint != "mend both" {
		t.Errorf("%s: %v", out.String(), uerr)
	}
	out.Reset()
	WriteError(&out, ModePlain, nil)
	if out.Len() > 0 {
		t.Errorf("wrote %q about no error", out.String())
	}
}

func TestModes(t *testing.T) {
	if _, err := NewReporter(&bytes.Buffer{}, "loud"); ExitCode(err) != 2 || Hint(err) == "" {
		t.Errorf("unknown mode: %v", err)
	}
	rep, err := NewReporter(&bytes.Buffer{}, ModeAuto)
	if err != nil {
		t.Fatal(err)
	}
	if r := rep.(*reporter).renderer; !isPlain(r) {
		t.Errorf("auto on a buffer gives %T", r)
	}
	task := Discard().Start("a", "b")
	task.Done("quietly")
}

func isPlain(r renderer) bool {
	_, ok := r.(plain)
	return ok
}

func TestColour(t *testing.T) {
	t.Setenv("CLICOLOR_FORCE", "1")
	var out bytes.Buffer
	rep, _ := NewReporter(&out, ModeTerminal)
	rep.Start("a", "b").Done("")
	if !strings.Contains(out.String(), "\x1b[32m") {
		t.Errorf("control: forced colour is missing in %q", out.String())
	}
	t.Setenv("NO_COLOR", "1")
	out.Reset()
	rep, _ = NewReporter(&out, ModeTerminal)
	rep.Start("a", "b").Done("")
	if strings.Contains(out.String(), "m\u2713") || strings.Contains(out.String(), "[32m") {
		t.Errorf("colour in spite of NO_COLOR: %q", out.String())
	}
}

func TestConcurrentUse(t *testing.T) {
	for _, mode := range []string{ModePlain, ModeJSON, ModeTerminal} {
		var out locked
		rep, _ := NewReporter(&out, mode)
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				task := rep.Start(fmt.Sprint(i), "work")
				task.Progress(1, 2)
				task.Detail("x")
				rep.Note("note")
				task.Done("")
			})
		}
		wg.Wait()
		if mode != ModeJSON {
			continue
		}
		for line := range strings.Lines(out.String()) {
			if !json.Valid([]byte(line)) {
				t.Errorf("not one event: %q", line)
			}
		}
	}
}

func TestTable(t *testing.T) {
	var out bytes.Buffer
	err := Table(&out, []string{"name", "state", "cause"}, [][]string{
		{"gitea", "ready"},
		{"kyverno-admission", "failing", "pod x:\ncrash"},
	})
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "table", out.String())
}

// locked is a buffer that the redrawing goroutine and the test may both use.
type locked struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *locked) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}
