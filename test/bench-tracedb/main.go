// Command bench-tracedb measures the Traceability DB side by side with what it is built on, in one run: how fast
// the log takes records, durably and with its tree, beside plain inserts of the same rows in the same
// engine; and how a log of a million records starts and what it takes of memory. It owns the folder and
// the PostgreSQL server that it makes, and refuses to touch any other. `make bench-tracedb` runs it.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	b := bench{progress: os.Stderr, self: os.Args[0]}
	short := flag.Bool("short", false, "measure little, to see that it works")
	flag.StringVar(&b.dir, "dir", "", "folder for the databases, on the disk to be measured; default: a temporary one")
	flag.IntVar(&b.records, "records", 1_000_000, "records in the large log")
	flag.DurationVar(&b.span, "span", 5*time.Second, "time for each measurement of appends; each is made three times")
	flag.StringVar(&b.keep, "keep", "", "file for the large log on SQLite, which is kept, and used if it is there")
	flag.StringVar(&b.engine, "engine", "", "measure only on this one: sqlite or postgres")
	only := flag.String("only", "", "measure only these, by comma: append, http, large, or of large: start, check, service")
	flag.StringVar(&b.tracedb, "tracedb", "", "the service's program; default: build it")
	child := flag.String("child", "", "for the program itself: measure this one thing in a process of its own")
	flag.Parse()
	if *short {
		b.span, b.records = 500*time.Millisecond, min(b.records, 20_000)
	}
	if *only != "" {
		b.only = strings.Split(*only, ",")
	}
	if err := b.run(ctx, os.Stdout, *child, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}
