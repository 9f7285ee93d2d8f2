package ui

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// ErrInterrupted is why a context of UntilSignal ended. It is a context.Canceled too.
var ErrInterrupted error = interrupted{}

type interrupted struct{}

func (interrupted) Error() string        { return "interrupted" }
func (interrupted) Is(target error) bool { return target == context.Canceled }

// UntilSignal gives a context that ends with ErrInterrupted at the first interrupt, termination or
// hang-up, so that the work can stop where it goes on from later; a second interrupt or termination
// ends the process at once. What the process was started to ignore (nohup) stays ignored. Only main
// calls it.
func UntilSignal(ctx context.Context) context.Context {
	ctx, cancel := context.WithCancelCause(ctx)
	c := make(chan os.Signal, 1)
	for _, s := range []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP} {
		if !signal.Ignored(s) {
			signal.Notify(c, s)
		}
	}
	go func() {
		<-c
		signal.Ignore(syscall.SIGHUP) // the shell and the kernel each send one
		signal.Stop(c)
		cancel(ErrInterrupted)
	}()
	return ctx
}

// Interrupted says of something that failed whether that was because ctx has ended. A terminal sends its
// signals to the programs below too, whose end may be noticed before ours, so it waits a moment.
func Interrupted(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return true
	case <-time.After(100 * time.Millisecond):
		return false
	}
}

// Interruptible reports the steps that fail because ctx has ended as interrupted: how each of the programs
// and connections below ended is nothing to act on.
func Interruptible(ctx context.Context, rep Reporter) Reporter { return interruptible{rep, ctx} }

type interruptible struct {
	Reporter
	ctx context.Context
}

func (r interruptible) Start(id, title string) Task {
	return interruptibleTask{r.Reporter.Start(id, title), r.ctx}
}

type interruptibleTask struct {
	Task
	ctx context.Context
}

func (t interruptibleTask) Fail(err error) {
	if Interrupted(t.ctx) {
		err = ErrInterrupted
	}
	t.Task.Fail(err)
}
