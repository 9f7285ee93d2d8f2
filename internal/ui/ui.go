// Package ui owns what druppie-up prints while it works: the three streams, the progress reporter and
// the errors meant for people. It refuses to decide anything: it never exits, never asks, and touches
// no stream it wasn't given.
//
// The rules of the UI:
//
//   - Results go to standard output, and nothing else does. Progress, notes and errors go to
//     standard error, so that a pipe gets the result alone.
//   - One line a step. A step that ended stays on the screen, with what came of it and how long it
//     took; only steps that are running are redrawn, and only on a terminal.
//   - A step that waits names what it waits for.
//   - Time left is worked out from work done, not promised: it is shown as "about", and not before
//     there is something to work it out from.
//   - Colour never carries meaning alone, NO_COLOR is kept, and what isn't a terminal gets plain
//     lines: a start, an end, and between them at most one line every ten seconds for each step.
//   - With JSON every line is one event, and the hint for the human is a field apart from the error.
//   - Errors are lower case and say what is wrong; the hint says what to do about it.
//   - Text from elsewhere (a pod's message, a module's name) can't move the cursor: control
//     characters become spaces.
package ui

import (
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"

	"golang.org/x/term"
)

// Streams are a command's standard streams. Main hands out the process's own, tests hand out buffers.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}

// Reporter tells the user what is going on. It is safe for use by several goroutines, and several
// tasks may run at once.
type Reporter interface {
	// Start begins a step. The id is for programs and stays the same between versions; the title is for people.
	Start(id, title string) Task
	// Note writes a line of information that belongs to no step.
	Note(format string, args ...any)
}

// Task is a step that began. Exactly one of Done, Skip and Fail ends it; what comes after is ignored.
type Task interface {
	// Detail says what the step is doing or waiting for now.
	Detail(format string, args ...any)
	// Progress counts units of work of whatever size; a total of 0 means that nobody knows it yet.
	// What the first call finds done already is not taken for speed.
	Progress(done, total int64)
	// Done ends the step well, with a short summary that may be empty.
	Done(format string, args ...any)
	// Skip ends a step that had nothing to do.
	Skip(reason string)
	// Fail ends the step with the error that stopped it.
	Fail(err error)
}

// Run reports f as a step: what it returns ends the step.
func Run(rep Reporter, id, title string, f func(Task) (summary string, err error)) error {
	task := rep.Start(id, title)
	summary, err := f(task)
	if err != nil {
		task.Fail(err)
		return err
	}
	task.Done("%s", summary)
	return nil
}

// The ways to report progress, as --progress takes them.
const (
	ModeAuto     = "auto"
	ModeTerminal = "terminal"
	ModePlain    = "plain"
	ModeJSON     = "json"
)

// NewReporter gives the reporter for a mode. Auto draws where w is a terminal that can redraw lines
// and writes plain lines elsewhere. An unknown mode is the user's error.
func NewReporter(w io.Writer, mode string) (Reporter, error) {
	r := &reporter{}
	switch {
	case mode == ModeTerminal, (mode == ModeAuto || mode == "") && IsTerminal(w) && os.Getenv("TERM") != "dumb":
		r.renderer = &terminal{mu: &r.mu, w: w, s: newStyles(w)}
	case mode == ModePlain, mode == ModeAuto, mode == "":
		r.renderer = plain{w}
	case mode == ModeJSON:
		r.renderer = newJSON(w)
	}
	if r.renderer != nil {
		return r, nil
	}
	return nil, WithHint(Usage(fmt.Errorf("unknown way to report progress %q", mode)),
		"use one of auto, terminal, plain, json")
}

// Discard gives a reporter that says nothing.
func Discard() Reporter { return discard{} }

type discard struct{}

func (discard) Start(string, string) Task { return discard{} }
func (discard) Note(string, ...any)       {}
func (discard) Detail(string, ...any)     {}
func (discard) Progress(int64, int64)     {}
func (discard) Done(string, ...any)       {}
func (discard) Skip(string)               {}
func (discard) Fail(error)                {}

// IsTerminal says whether a stream is a terminal, with somebody before it.
func IsTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// OneLine makes text from anywhere fit for one line of a terminal or a log: it can't move the cursor.
func OneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
			return ' '
		}
		return r
	}, s)
	return strings.Join(strings.Fields(s), " ")
}

// format is Sprintf that leaves a text without arguments alone, so that a percent sign in it survives.
func format(text string, args []any) string {
	if len(args) > 0 {
		text = fmt.Sprintf(text, args...)
	}
	return OneLine(text)
}
