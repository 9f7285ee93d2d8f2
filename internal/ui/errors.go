package ui

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// Exit codes of the command.
const (
	exitOK    = 0
	exitError = 1
	exitUsage = 2
)

type hinted struct {
	err  error
	hint string
}

func (e *hinted) Error() string { return e.err.Error() }
func (e *hinted) Unwrap() error { return e.err }

// WithHint adds what the human can do about an error, apart from what is wrong. A nil error stays nil.
func WithHint(err error, hint string) error {
	if err == nil {
		return nil
	}
	return &hinted{err, hint}
}

// Hint gives the hint nearest to the surface, also from errors that were wrapped or joined after it
// was given; it is empty where nobody had one.
func Hint(err error) string {
	var h *hinted
	if errors.As(err, &h) {
		return h.hint
	}
	return ""
}

type usage struct{ err error }

func (e *usage) Error() string { return e.err.Error() }
func (e *usage) Unwrap() error { return e.err }

// Usage marks an error as the user's input: nothing was changed, and the exit code is 2. A nil error
// stays nil.
func Usage(err error) error {
	if err == nil {
		return nil
	}
	return &usage{err}
}

// ExitCode gives the process's exit code for an error: 0 for none, 2 for bad input, 1 for the rest.
func ExitCode(err error) int {
	if err == nil {
		return exitOK
	}
	var u *usage
	if errors.As(err, &u) {
		return exitUsage
	}
	return exitError
}

// WriteError writes the error that ended a command, and its hint, in the way of the given mode. It
// takes several lines where the error has several, since joined errors are reported together.
func WriteError(w io.Writer, mode string, err error) {
	if err == nil {
		return
	}
	if mode == ModeJSON {
		_ = json.NewEncoder(w).Encode(event{
			Time: stamp(time.Now()), Event: "error", Error: err.Error(), Hint: Hint(err),
		})
		return
	}
	s := newStyles(w)
	fmt.Fprintln(w, s.bad.Render("error:")+" "+indentRest(err.Error(), "       "))
	if h := Hint(err); h != "" {
		fmt.Fprintln(w, s.strong.Render(" hint:")+" "+indentRest(h, "       "))
	}
}

// indentRest lines up all lines after the first, and takes control characters out of each.
func indentRest(text, indent string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	for i, l := range lines {
		lead := l[:len(l)-len(strings.TrimLeft(l, " "))]
		lines[i] = lead + OneLine(l)
	}
	return strings.Join(lines, "\n"+indent)
}
