package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/log"
)

const (
	origin  = "druppie.io/trace/bench"
	writers = 8
	rounds  = 3
)

// batches are how many records a writer brings at once.
var batches = []int{1, 10, 100}

// taker is the log, or what it is compared with.
type taker func(ctx context.Context, writer string, drafts []log.Prepared) ([]tracedb.Receipt, error)

// measureAppend appends records of 2 KiB with eight writers, to the log and to plain tables in turns.
func measureAppend(ctx context.Context, b *bench, t *table) error {
	engines, done, err := b.engines(ctx)
	if err != nil {
		return err
	}
	defer done()
	rows := [][]string{{"engine", "records a call", "log/s", "plain/s", "log/plain", "log µs", "plain µs"}}
	for _, e := range engines {
		for _, batch := range batches {
			b.say("append: %s, %d records a call", e.name, batch)
			var logs, plains, ratios, logCPU, plainCPU []float64
			for range rounds {
				with, without, err := e.compare(ctx, b.span, batch)
				if err != nil {
					return fmt.Errorf("%s: %w", e.name, err)
				}
				logs, plains, ratios = append(logs, with.rate), append(plains, without.rate), append(ratios, with.rate/without.rate)
				logCPU, plainCPU = append(logCPU, with.cpu), append(plainCPU, without.cpu)
			}
			rows = append(rows, []string{e.name, fmt.Sprint(batch), fmt.Sprintf("%.0f", median(logs)), fmt.Sprintf("%.0f", median(plains)), fmt.Sprintf("%.2f", median(ratios)),
				fmt.Sprintf("%.0f", median(logCPU)), fmt.Sprintf("%.0f", median(plainCPU))})
		}
	}
	return t.print(fmt.Sprintf("append, durable, payloads of %d bytes, %d writers; goals: 5000/s on sqlite, log/plain 0.5\n(medians of %d rounds of %s; µs: this program's processor time for a record)", payloadSize, writers, rounds, b.span), rows)
}

// compare measures the log and the plain tables, each in a fresh database.
func (e engine) compare(ctx context.Context, span time.Duration, batch int) (with, without speed, err error) {
	dsn, err := e.fresh(ctx)
	if err != nil {
		return with, without, err
	}
	l, err := openLog(ctx, dsn)
	if err != nil {
		return with, without, err
	}
	with, err = crowd(ctx, l.Append, span, batch)
	if err := errors.Join(err, l.Close()); err != nil {
		return with, without, err
	}
	if dsn, err = e.fresh(ctx); err != nil {
		return with, without, err
	}
	db, err := e.plain(ctx, dsn)
	if err != nil {
		return with, without, err
	}
	tables := takePlain(ctx, db)
	without, err = crowd(ctx, tables.take, span, batch)
	return with, without, errors.Join(err, tables.close(ctx))
}

// speed is records a second, and microseconds of processor time a record. The latter hardly depends on
// what else the machine is doing.
type speed struct{ rate, cpu float64 }

// crowd lets the writers append for a time, and returns how fast records were acknowledged.
func crowd(ctx context.Context, take taker, span time.Duration, batch int) (speed, error) {
	var wait sync.WaitGroup
	counts, errs := make([]int, writers), make([]error, writers)
	start, used := time.Now(), processor()
	for w := range writers {
		wait.Go(func() {
			records := newRecords(uint64(w))
			for time.Since(start) < span && ctx.Err() == nil {
				if _, errs[w] = take(ctx, plainWriter, records.some(batch)); errs[w] != nil {
					return
				}
				counts[w] += batch
			}
		})
	}
	wait.Wait()
	took := time.Since(start)
	used = processor() - used
	total := 0
	for _, n := range counts {
		total += n
	}
	return speed{float64(total) / took.Seconds(), float64(used.Microseconds()) / float64(max(total, 1))}, errors.Join(append(errs, ctx.Err())...)
}

// processor is the processor time that this program has used.
func processor() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
