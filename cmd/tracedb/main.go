// Command tracedb is the Traceability DB: the service, and the tools for its database. This package
// owns the command line, the configuration and the wiring: which part is given what, what runs when,
// and how all of it ends. It refuses to know how anything is done. Only this file touches the process.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/druppie/druppie-up/internal/ui"
)

func main() {
	// The first signal asks the service to finish what it began; a second one ends it at once.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], ui.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
}
