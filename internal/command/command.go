// Package command runs other programs. It owns how they are ended: when the context is, the whole process
// group is asked to stop and, after a grace time, killed, and the error is then the context's and not
// "signal: killed". It refuses shells, terminals and programs that outlive this one.
package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	// grace is how long a program may take to end by itself once it was asked to.
	grace = 5 * time.Second
	// errorLines is how many of the last lines of a failed program's output an error carries.
	errorLines = 20
)

// Command is one call of a program.
type Command struct {
	Name  string // a path, or a name that is looked up in PATH
	Args  []string
	Dir   string    // where it runs; empty: this process's folder
	Env   []string  // empty: this process's environment
	Stdin io.Reader // nil: nothing to read
	// Stderr receives what the program writes there, as it comes, besides what an error carries of it; may be nil.
	Stderr io.Writer
}

// Error is a program that couldn't be started or ended with another status than zero.
type Error struct {
	Name   string // of the program, without its folder
	Args   []string
	Stdout []byte
	Stderr string
	Err    error
}

func (e *Error) Error() string {
	what := e.Name
	if len(e.Args) > 0 {
		what += " " + e.Args[0]
	}
	said := LastLines(e.Stderr, errorLines)
	if said == "" {
		said = LastLines(string(e.Stdout), errorLines)
	}
	if said == "" {
		return what + ": " + e.Err.Error()
	}
	return what + ": " + e.Err.Error() + ": " + said
}

func (e *Error) Unwrap() error { return e.Err }

// Output runs a program with this process's environment and returns what it wrote to standard output.
func Output(ctx context.Context, name string, args ...string) ([]byte, error) {
	return Command{Name: name, Args: args}.Output(ctx)
}

// Output runs the command and returns what it wrote to standard output, also when it failed. A failure is an
// *Error, unless the context ended: then the error wraps the context's cause.
func (c Command) Output(ctx context.Context) ([]byte, error) {
	cmd := exec.CommandContext(ctx, c.Name, c.Args...)
	cmd.Dir, cmd.Env, cmd.Stdin = c.Dir, c.Env, c.Stdin
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if c.Stderr != nil {
		cmd.Stderr = io.MultiWriter(&stderr, c.Stderr)
	}
	// A group of its own, so that its children end with it; Pdeathsig, should this process be killed.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return signalGroup(cmd, syscall.SIGTERM) }
	// A program that ignores the request, or left a child that holds the pipes, must not hold us up.
	cmd.WaitDelay = grace
	err := cmd.Run()
	if cmd.Process != nil && ctx.Err() != nil {
		_ = signalGroup(cmd, syscall.SIGKILL) // whoever is left of the group
	}
	if err == nil {
		return stdout.Bytes(), nil
	}
	name := filepath.Base(c.Name)
	if ctx.Err() != nil {
		return stdout.Bytes(), fmt.Errorf("%s: %w", name, context.Cause(ctx))
	}
	return stdout.Bytes(), &Error{Name: name, Args: c.Args, Stdout: stdout.Bytes(), Stderr: stderr.String(), Err: err}
}

// signalGroup sends a signal to the program and its children; that nobody is left is no error.
func signalGroup(cmd *exec.Cmd, signal syscall.Signal) error {
	err := syscall.Kill(-cmd.Process.Pid, signal)
	if errors.Is(err, syscall.ESRCH) {
		return nil
	}
	return err
}

// LastLines returns the last n lines of what a program printed, without white space around them.
func LastLines(output string, n int) string {
	lines := strings.Split(strings.TrimSpace(output), "\n")
	return strings.TrimSpace(strings.Join(lines[max(0, len(lines)-n):], "\n"))
}
