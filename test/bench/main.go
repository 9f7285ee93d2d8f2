// Command bench measures what the README promises about a warm machine: how long down, up, a second up
// and a first flight take, beside the floor that none of them can beat, and how much memory the platform
// uses. It owns a cluster of its own name, drives the built command, and refuses to run on a store that
// isn't complete, since then it would measure a network or a compiler. `make bench` runs it.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	b := bench{druppie: "bin/druppie-up", name: "druppie-bench", progress: os.Stderr}
	if err := b.run(ctx, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}
