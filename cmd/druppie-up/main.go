// Command druppie-up puts the whole platform on one machine. This package owns the command line:
// flags become options, and each command makes one library call and writes its result. It refuses to
// know how anything is done. Only this file touches the process: its streams, its signals, its exit.
package main

import (
	"context"
	"os"

	"github.com/druppie/druppie-up/internal/ui"
)

func main() {
	os.Exit(run(ui.UntilSignal(context.Background()), os.Args[1:], ui.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
}
