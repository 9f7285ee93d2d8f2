package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/log"
)

// largeMeasurements are what is measured on the large log that dsn names, in this order. Each is in a file
// of its own.
var largeMeasurements = []struct {
	name    string
	measure func(ctx context.Context, b *bench, t *table, dsn string) error
}{
	{"start", measureStart},
	{"check", measureCheck},
	{"service", measureService},
}

// measureLarge makes a log of many records in each engine, and measures what depends on its size.
func measureLarge(ctx context.Context, b *bench, t *table) error {
	engines, done, err := b.engines(ctx)
	if err != nil {
		return err
	}
	defer done()
	var errs []error
	for _, e := range engines {
		dsn, err := b.large(ctx, t, e)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", e.name, err))
			continue
		}
		for _, m := range largeMeasurements {
			if !b.wants("large", m.name) {
				continue
			}
			if err := m.measure(ctx, b, t, dsn); err != nil {
				errs = append(errs, fmt.Errorf("%s: %s: %w", e.name, m.name, err))
			}
		}
	}
	return errors.Join(errs...)
}

// large names the large log, and makes it unless it was kept.
func (b *bench) large(ctx context.Context, t *table, e engine) (dsn string, err error) {
	if b.keep == "" || e.name != "sqlite" {
		if dsn, err = e.fresh(ctx); err != nil {
			return "", err
		}
		return dsn, b.build(ctx, t, e, dsn)
	}
	if _, err := os.Stat(b.keep); err == nil {
		return sqliteScheme + b.keep, nil
	}
	part := b.keep + ".part"
	for _, name := range []string{part, part + "-wal", part + "-shm"} {
		if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
			return "", err
		}
	}
	if err := b.build(ctx, t, e, sqliteScheme+part); err != nil {
		return "", err
	}
	return sqliteScheme + b.keep, os.Rename(part, b.keep)
}

// build appends release after release of all services, as fast as it goes.
func (b *bench) build(ctx context.Context, t *table, e engine, dsn string) error {
	l, err := openLog(ctx, dsn)
	if err != nil {
		return err
	}
	b.say("large: building a log of %d records on %s", b.records, e.name)
	start := time.Now()
	var next atomic.Int64
	errs := make([]error, writers)
	var wait sync.WaitGroup
	for w := range writers {
		wait.Go(func() {
			teller := newStoryteller(byte(w))
			for l.Size() < int64(b.records) && ctx.Err() == nil && errs[w] == nil {
				var drafts []log.Prepared
				for range 20 {
					// All services' first releases come first, then all second ones.
					i := next.Add(1) - 1
					var release []log.Prepared
					if release, errs[w] = teller.release(Service(i%services), int(i/services)); errs[w] != nil {
						return
					}
					drafts = append(drafts, release...)
				}
				_, errs[w] = l.Append(ctx, plainWriter, drafts)
			}
		})
	}
	wait.Wait()
	took, size := time.Since(start), l.Size()
	if err := errors.Join(append(errs, ctx.Err(), l.Close())...); err != nil {
		return err
	}
	bytes, err := e.bytes(ctx, dsn)
	if err != nil {
		return err
	}
	return t.print("the large log, on "+e.name, [][]string{{"records", "built in", "records/s", "disk"},
		{fmt.Sprint(size), took.Round(time.Second).String(), fmt.Sprintf("%.0f", float64(size)/took.Seconds()), fmt.Sprintf("%d MiB", bytes>>20)}})
}

// measureStart opens the large log in a process of its own.
func measureStart(ctx context.Context, b *bench, _ *table, dsn string) error {
	return b.child(ctx, "start", dsn)
}

// child measures something in a process of its own, which prints it.
func (b *bench) child(ctx context.Context, name string, args ...string) error {
	if b.self == "" {
		f, err := childOf(name)
		if err != nil {
			return err
		}
		return f(ctx, &table{w: b.out}, args)
	}
	cmd := exec.CommandContext(ctx, b.self, append([]string{"-child", name}, args...)...)
	cmd.Stdout, cmd.Stderr = b.out, b.progress
	return cmd.Run()
}

// childStart opens a log and reads from it as a service does that has just started, and prints how long
// that took and what memory it has then.
func childStart(ctx context.Context, t *table, args []string) error {
	if len(args) != 1 {
		return errors.New("the log's DSN is missing")
	}
	start := time.Now()
	l, err := openLog(ctx, args[0])
	if err != nil {
		return err
	}
	defer l.Close()
	if _, err := l.Checkpoint(ctx); err != nil {
		return err
	}
	opened := time.Since(start)
	afterOpen, err := memory()
	if err != nil {
		return err
	}
	reads, err := readLarge(ctx, l)
	if err != nil {
		return err
	}
	afterReads, err := memory()
	if err != nil {
		return err
	}
	rows := [][]string{{"records", "open", "memory then", "memory after reading", "most memory"},
		{fmt.Sprint(l.Size()), opened.Round(time.Millisecond / 10).String(), afterOpen.rss(), afterReads.rss(), afterReads.peak()}}
	if err := t.print("start of the log alone; goals for the whole service: 2s, 100 MiB", rows); err != nil {
		return err
	}
	return t.print("reading from the log alone, one at a time", reads)
}

// released is a release that a log of that size surely holds, another for each i, from all over it.
func released(i int, size int64) (Service, int) {
	// A release has at most nineteen records; what measurements have added since is few beside them.
	r := i * 7919 % max(int(size)/24, 1)
	return Service(r % services), r / services
}

// readLarge reads what is spread over the whole log.
func readLarge(ctx context.Context, l *log.Log) ([][]string, error) {
	rows := [][]string{{"read", "p50", "p99", "most"}}
	size := l.Size()
	var entries []tracedb.Entry
	for _, r := range []struct {
		name string
		read func(i int) error
	}{
		{"records of an image", func(i int) (err error) {
			service, n := released(i, size)
			entries, err = l.ByRef(ctx, ref(tracedb.RefImage, service.Digest(n)), 1000)
			return err
		}},
		{"records of a commit", func(i int) (err error) {
			service, n := released(i, size)
			entries, err = l.ByRef(ctx, ref(tracedb.RefCommit, service.Commit(n)), 1000)
			return err
		}},
		{"payload", func(i int) error { _, err := l.Payload(ctx, int64(i)*7919%size); return err }},
		{"inclusion proof", func(i int) error { _, err := l.Prove(ctx, int64(i)*7919%size, size); return err }},
		{"consistency proof", func(i int) error { _, err := l.Consistency(ctx, int64(i)*7919%size, size); return err }},
		{"search by kind and service", func(i int) error {
			_, err := l.Search(ctx, tracedb.Query{Kinds: []tracedb.Kind{tracedb.KindReview}, Refs: []tracedb.Ref{ref(tracedb.RefRepository, Service(i%services).Repository())}})
			return err
		}},
		{"search by kind", func(i int) error {
			_, err := l.Search(ctx, tracedb.Query{Kinds: []tracedb.Kind{tracedb.KindRegister, tracedb.KindException}, Before: int64(i)*7919%size + 1})
			return err
		}},
		{"search by actor and outcome", func(i int) error {
			_, err := l.Search(ctx, tracedb.Query{Actor: "bram", Outcome: tracedb.Approved, Before: int64(i)*7919%size + 1})
			return err
		}},
		{"search for nothing", func(i int) error {
			_, err := l.Search(ctx, tracedb.Query{Actor: "bram", Outcome: tracedb.Denied, Kinds: []tracedb.Kind{tracedb.KindRun}})
			return err
		}},
		{"newest", func(int) error { _, err := l.Search(ctx, tracedb.Query{}); return err }},
	} {
		times := make([]time.Duration, 300)
		for i := range times {
			start := time.Now()
			if err := r.read(i); err != nil {
				return nil, fmt.Errorf("%s: %w", r.name, err)
			}
			times[i] = time.Since(start)
		}
		slices.Sort(times)
		name := r.name
		if strings.HasPrefix(name, "records of") {
			name += fmt.Sprintf(" (%d)", len(entries))
		}
		rows = append(rows, []string{name, short(times[150]), short(times[297]), short(times[299])})
	}
	return rows, nil
}

func short(d time.Duration) string { return d.Round(10 * time.Microsecond).String() }

// resident is what a process has of memory, in KiB.
type resident struct{ now, most int64 }

func (r resident) rss() string    { return fmt.Sprintf("%d MiB", r.now>>10) }
func (r resident) String() string { return fmt.Sprintf("%d MiB (%d)", r.now>>10, r.most>>10) }
func (r resident) peak() string   { return fmt.Sprintf("%d MiB", r.most>>10) }

// memory reads this process's as Linux counts it.
func memory() (resident, error) { return memoryOf("self") }

// memoryOf reads that of a process.
func memoryOf(process string) (resident, error) {
	raw, err := os.ReadFile(filepath.Join("/proc", process, "status"))
	var r resident
	for line := range strings.Lines(string(raw)) {
		fields := strings.Fields(line)
		if len(fields) != 3 {
			continue
		}
		switch n, _ := strconv.ParseInt(fields[1], 10, 64); fields[0] {
		case "VmRSS:":
			r.now = n
		case "VmHWM:":
			r.most = n
		}
	}
	return r, err
}
