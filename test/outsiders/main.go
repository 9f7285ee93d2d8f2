// Command outsiders judges the platform that is up by what others wrote: fixtures, conformance suites, schemas and
// scanners that come as Go modules, npm packages and Debian packages (tools/outsiders, suites.yaml). It owns how each
// is run and what its outcome counts for. It refuses to count what wasn't run as passed, to excuse a failure that
// suites.yaml doesn't explain, and to keep an explanation of what no longer fails. `make outsiders` runs it.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var o options
	flag.StringVar(&o.name, "name", "druppie", "name of the platform")
	flag.StringVar(&o.only, "only", "", "run these suites alone, with commas between them")
	flag.StringVar(&o.write, "write", "", "write the outcome to this document too")
	flag.Parse()
	o.out, o.progress = os.Stdout, os.Stderr
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "outsiders:", err)
		os.Exit(1)
	}
}
