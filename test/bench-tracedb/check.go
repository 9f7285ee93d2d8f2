package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/druppie/druppie-up/tracedb/ingest"
	"github.com/druppie/druppie-up/tracedb/log"
)

// measureCheck checks the whole large log in a process of its own.
func measureCheck(ctx context.Context, b *bench, _ *table, dsn string) error {
	b.say("large: checking everything")
	return b.child(ctx, "check", dsn)
}

func childCheck(ctx context.Context, t *table, args []string) error {
	if len(args) != 1 {
		return errors.New("the log's DSN is missing")
	}
	l, err := log.Open(ctx, log.Options{DSN: args[0], ReadOnly: true, Derive: ingest.Facts, Unique: ingest.Unique})
	if err != nil {
		return err
	}
	defer l.Close()
	start := time.Now()
	report, err := l.Check(ctx)
	if err != nil {
		return err
	}
	took := time.Since(start)
	if !report.OK() {
		return fmt.Errorf("the log isn't sound: %s", report.Faults[0])
	}
	m, err := memory()
	if err != nil {
		return err
	}
	return t.print("check of everything: leaves, tree, payloads, columns, refs, facts, attestations", [][]string{
		{"records", "heads", "nodes", "facts", "took", "most memory"},
		{fmt.Sprint(report.Size), fmt.Sprint(report.Heads), fmt.Sprint(report.Nodes), fmt.Sprint(report.Facts), took.Round(time.Second / 10).String(), m.peak()}})
}
