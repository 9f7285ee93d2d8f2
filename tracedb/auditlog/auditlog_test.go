package auditlog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// logs is a folder with a log, and what was passed on of it.
type logs struct {
	*testing.T
	dir, position string
	got           []string
	ends          int
	fail          error
}

func newLogs(t *testing.T) *logs {
	return &logs{T: t, dir: t.TempDir(), position: filepath.Join(t.TempDir(), "position")}
}

func (l *logs) write(text string) {
	l.Helper()
	f, err := os.OpenFile(filepath.Join(l.dir, Current), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		l.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		l.Fatal(err)
	}
}

// rotate renames the log as the API server does.
func (l *logs) rotate(time string) {
	l.Helper()
	if err := os.Rename(filepath.Join(l.dir, Current), filepath.Join(l.dir, "audit-"+time+".log")); err != nil {
		l.Fatal(err)
	}
}

// follow starts a follower anew, as after a restart, and has it go to the end.
func (l *logs) follow() error {
	l.Helper()
	f := &Follower{Dir: l.dir, Position: l.position, Logger: slog.New(slog.DiscardHandler), Lines: func(_ context.Context, lines [][]byte) error {
		if l.fail != nil {
			return l.fail
		}
		for _, line := range lines {
			l.got = append(l.got, string(line))
		}
		if len(lines) == 0 {
			l.ends++
		}
		return nil
	}}
	at, err := f.load()
	if err != nil {
		return err
	}
	for more := true; more; {
		if more, err = f.step(l.Context(), &at); err != nil {
			return err
		}
	}
	return nil
}

func (l *logs) want(lines ...string) {
	l.Helper()
	if err := l.follow(); err != nil {
		l.Fatal(err)
	}
	if diff := cmp.Diff(lines, l.got); diff != "" {
		l.Errorf("lines (-want +got):\n%s", diff)
	}
	if l.ends != 1 {
		l.Errorf("the end was told %d times", l.ends)
	}
	l.got, l.ends = nil, 0
}

func TestFollow(t *testing.T) {
	l := newLogs(t)
	l.write("1\n2\n\n3")
	l.want("1", "2") // what has no end is still being written
	l.want()
	l.write("3\n")
	l.want("33")
}

// TestRotation follows through files that were renamed while nobody read.
func TestRotation(t *testing.T) {
	l := newLogs(t)
	l.write("1\n")
	l.want("1")
	l.write("2\n")
	l.rotate("2026-11-30T10-00-00.000")
	l.write("3\n")
	l.rotate("2026-11-30T11-00-00.000")
	l.write("4\n")
	l.want("2", "3", "4")
	l.rotate("2026-11-30T12-00-00.000")
	l.write("")
	l.want()
}

// TestLost begins at the oldest file where the one that was read is gone.
func TestLost(t *testing.T) {
	l := newLogs(t)
	l.write("1\n")
	l.want("1")
	l.rotate("2026-11-30T10-00-00.000")
	l.write("2\n")
	l.rotate("2026-11-30T11-00-00.000")
	l.write("3\n")
	if err := os.Remove(filepath.Join(l.dir, "audit-2026-11-30T10-00-00.000.log")); err != nil {
		t.Fatal(err)
	}
	l.want("2", "3")
}

// TestNotTaken passes on again what wasn't taken.
func TestNotTaken(t *testing.T) {
	l := newLogs(t)
	l.write("1\n")
	l.fail = errors.New("no")
	if err := l.follow(); !errors.Is(err, l.fail) {
		t.Fatal("went on:", err)
	}
	l.fail = nil
	l.want("1")
}

func TestLongLines(t *testing.T) {
	l := newLogs(t)
	l.write("1\n" + strings.Repeat("x", maxLine) + "\n2\n")
	l.want("1", "2")
}

func TestMany(t *testing.T) {
	l := newLogs(t)
	var want []string
	for i := range 3*maxLines + 1 {
		want = append(want, fmt.Sprint(i))
		l.write(fmt.Sprintln(i))
	}
	l.want(want...)
}

func TestNoLog(t *testing.T) {
	l := newLogs(t)
	if err := l.follow(); err == nil || !strings.Contains(err.Error(), "there is no audit.log") {
		t.Error("followed a log that isn't there:", err)
	}
}

// TestBadPosition reads from the beginning what was read to nobody knows where.
func TestBadPosition(t *testing.T) {
	l := newLogs(t)
	l.write("1\n")
	if err := os.WriteFile(l.position, []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	l.want("1")
}
