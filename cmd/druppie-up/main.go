// Command druppie-up puts the whole platform on one machine. This package owns the command line:
// flags become options, and each command makes one library call and writes its result. It refuses to
// know how anything is done. Only this file touches the process: its streams, its signals, its exit.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/druppie/druppie-up/internal/ui"
)

func main() {
	// The first interrupt asks the work to stop where it can go on from later; with that the handler
	// goes too, so that a second one ends the process at once.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], ui.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
}
