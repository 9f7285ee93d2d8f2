package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/log"
	"github.com/druppie/druppie-up/tracedb/log/postgres/server"
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

// pair opens the two that are compared, each in a fresh database.
type pair struct {
	engine string
	log    func(context.Context) (*log.Log, error)
	plain  func(context.Context) (plain, error)
}

// measureAppend appends records of 2 KiB with eight writers, to the log and to plain tables in turns.
func measureAppend(ctx context.Context, b *bench, t *table) error {
	pairs, done, err := b.pairs(ctx)
	if err != nil {
		return err
	}
	defer done()
	rows := [][]string{{"engine", "records a call", "log/s", "plain/s", "log/plain", "log µs", "plain µs"}}
	for _, p := range pairs {
		for _, batch := range batches {
			b.say("append: %s, %d records a call", p.engine, batch)
			var logs, plains, ratios, logCPU, plainCPU []float64
			for range rounds {
				with, without, err := p.measure(ctx, b.span, batch)
				if err != nil {
					return fmt.Errorf("%s: %w", p.engine, err)
				}
				logs, plains, ratios = append(logs, with.rate), append(plains, without.rate), append(ratios, with.rate/without.rate)
				logCPU, plainCPU = append(logCPU, with.cpu), append(plainCPU, without.cpu)
			}
			rows = append(rows, []string{p.engine, fmt.Sprint(batch), fmt.Sprintf("%.0f", median(logs)), fmt.Sprintf("%.0f", median(plains)), fmt.Sprintf("%.2f", median(ratios)),
				fmt.Sprintf("%.0f", median(logCPU)), fmt.Sprintf("%.0f", median(plainCPU))})
		}
	}
	return t.print(fmt.Sprintf("append, durable, payloads of %d bytes, %d writers; goals: 5000/s on sqlite, log/plain 0.5\n(medians of %d rounds of %s; µs: this program's processor time for a record)", payloadSize, writers, rounds, b.span), rows)
}

func (p pair) measure(ctx context.Context, span time.Duration, batch int) (with, without speed, err error) {
	l, err := p.log(ctx)
	if err != nil {
		return with, without, err
	}
	with, err = crowd(ctx, l.Append, span, batch)
	if err := errors.Join(err, l.Close()); err != nil {
		return with, without, err
	}
	db, err := p.plain(ctx)
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

// pairs are the engines that this machine has. done ends what they run on.
func (b *bench) pairs(ctx context.Context) (out []pair, done func(), err error) {
	signer, err := newSigner()
	if err != nil {
		return nil, nil, err
	}
	n := 0
	fresh := func(kind string) (string, error) {
		n++
		path := filepath.Join(b.dir, fmt.Sprintf("%s%d", kind, n))
		// What was measured before needn't be kept.
		old, err := filepath.Glob(filepath.Join(b.dir, "append*"))
		for _, name := range old {
			err = errors.Join(err, os.Remove(name))
		}
		return path, err
	}
	out = append(out, pair{"sqlite",
		func(ctx context.Context) (*log.Log, error) {
			path, err := fresh("append-log")
			if err != nil {
				return nil, err
			}
			return log.Open(ctx, log.Options{DSN: "sqlite:" + path, Origin: origin, Signer: signer})
		},
		func(ctx context.Context) (plain, error) {
			path, err := fresh("append-plain")
			if err != nil {
				return nil, err
			}
			return openPlainSQLite(ctx, path)
		},
	})
	s, err := server.StartIn(ctx, b.dir)
	if errors.Is(err, server.ErrAbsent) {
		b.say("LEFT OUT: PostgreSQL: %v", err)
		return out, func() {}, nil
	}
	if err != nil {
		return nil, nil, err
	}
	out = append(out, pair{"postgres",
		func(ctx context.Context) (*log.Log, error) {
			dsn, err := s.Database(ctx)
			if err != nil {
				return nil, err
			}
			return log.Open(ctx, log.Options{DSN: dsn, Origin: origin, Signer: signer})
		},
		func(ctx context.Context) (plain, error) {
			dsn, err := s.Database(ctx)
			if err != nil {
				return nil, err
			}
			return openPlainPostgres(ctx, dsn)
		},
	})
	return out, func() {
		if err := s.Close(); err != nil {
			b.say("stop postgres: %v", err)
		}
	}, nil
}

func newSigner() (note.Signer, error) {
	key, _, err := note.GenerateKey(rand.Reader, origin)
	if err != nil {
		return nil, err
	}
	return note.NewSigner(key)
}
