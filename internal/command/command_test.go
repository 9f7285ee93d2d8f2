package command

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestOutput(t *testing.T) {
	tests := []struct {
		name, script string
		stdout, want string // want: what the error says; empty: there is none
	}{
		{"success", "echo out; echo err >&2", "out\n", ""},
		{"failure keeps the output and tells what standard error says", "echo out; echo why >&2; exit 3", "out\n", "sh -c: exit status 3: why"},
		{"failure that is told on standard output only", "echo why; exit 1", "why\n", "sh -c: exit status 1: why"},
		{"failure without a word", "exit 2", "", "sh -c: exit status 2"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			out, err := Output(t.Context(), "/bin/sh", "-c", tt.script)
			got := ""
			if err != nil {
				got = err.Error()
			}
			if string(out) != tt.stdout || got != tt.want {
				t.Errorf("%q, error %q, want %q, error %q", out, got, tt.stdout, tt.want)
			}
		})
	}
}

func TestOutputNoSuchProgram(t *testing.T) {
	_, err := Output(t.Context(), "no-such-program-here")
	var e *Error
	if !errors.Is(err, exec.ErrNotFound) || !errors.As(err, &e) {
		t.Errorf("%T %v, want an *Error about a program that isn't found", err, err)
	}
}

func TestOutputHandsOn(t *testing.T) {
	var stderr strings.Builder
	dir := t.TempDir()
	out, err := Command{
		Name: "sh", Args: []string{"-c", "cat; pwd; echo $A; echo said >&2"}, Dir: dir,
		Env: []string{"PATH=" + os.Getenv("PATH"), "A=b"}, Stdin: strings.NewReader("in\n"), Stderr: &stderr,
	}.Output(t.Context())
	if want := "in\n" + dir + "\nb\n"; err != nil || string(out) != want || stderr.String() != "said\n" {
		t.Errorf("%q, stderr %q, %v", out, stderr.String(), err)
	}
}

// TestCancelEndsTheWholeGroup: a child that was left behind would go on writing.
func TestCancelEndsTheWholeGroup(t *testing.T) {
	for name, script := range map[string]string{
		"children that end when asked":        "sleep 600 & echo $! >pid; mv pid ready; wait",
		"a child that doesn't end when asked": "trap '' TERM; sleep 600 >/dev/null 2>&1 & echo $! >pid; mv pid ready; trap - TERM; wait",
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			cause := errors.New("the user had enough")
			ctx, cancel := context.WithCancelCause(t.Context())
			go func() {
				for ctx.Err() == nil {
					if _, err := os.Stat(filepath.Join(dir, "ready")); err == nil {
						cancel(cause)
					}
					time.Sleep(5 * time.Millisecond)
				}
			}()
			_, err := Command{Name: "sh", Args: []string{"-c", script}, Dir: dir}.Output(ctx)
			if !errors.Is(err, cause) || strings.Contains(err.Error(), "signal") {
				t.Errorf("error %v, want the context's cause", err)
			}
			pid, err := os.ReadFile(filepath.Join(dir, "ready"))
			if err != nil {
				t.Fatal(err)
			}
			for deadline := time.Now().Add(30 * time.Second); alive(t, strings.TrimSpace(string(pid))); time.Sleep(5 * time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatal("its child still runs")
				}
			}
		})
	}
}

// alive says whether a process runs; one that ended and that nobody has waited for doesn't.
func alive(t *testing.T, pid string) bool {
	t.Helper()
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	if errors.Is(err, os.ErrNotExist) {
		return false
	}
	if err != nil {
		return !strings.Contains(err.Error(), "no such process")
	}
	_, state, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(state, "Z")
}

func TestLastLines(t *testing.T) {
	for _, tt := range []struct {
		name, give string
		n          int
		want       string
	}{
		{"fewer than asked for", "a\nb\n", 3, "a\nb"},
		{"more", "a\nb\nc\n\n", 2, "b\nc"},
		{"one", "a\n  b  \n", 1, "b"},
		{"nothing", " \n", 2, ""},
	} {
		if got := LastLines(tt.give, tt.n); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}
