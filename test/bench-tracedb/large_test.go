package bench

import (
	"errors"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/ingest"
	"github.com/druppie/druppie-up/tracedb/log"
	"github.com/druppie/druppie-up/tracedb/why"
)

// BenchmarkLargeLog makes a log of a million records and measures what depends on its size: a check of
// everything, and the service's start (goal: 2 s, with 100 MiB at most), its answers to admission and those to
// why (goal: p99 10 ms).
func BenchmarkLargeLog(b *testing.B) {
	for _, e := range engines(b) {
		b.Run(e.name, func(b *testing.B) {
			dsn := largeLog(b, e)
			b.Run("check", func(b *testing.B) { benchmarkCheck(b, e, dsn) })
			b.Run("start", func(b *testing.B) {
				s := startService(b, e, dsn)
				defer s.stop()
				b.ReportMetric(0, "ns/op")
				b.ReportMetric(s.started.Seconds(), "s")
				b.ReportMetric(s.peak(b), "peak-MiB")
			})
			b.Run("admission", func(b *testing.B) { benchmarkAdmission(b, e, dsn) })
			b.Run("why", func(b *testing.B) { benchmarkWhy(b, e, dsn) })
		})
	}
}

// largeLog names the large log, and makes it unless it was kept.
func largeLog(b *testing.B, e engine) (dsn string) {
	b.Helper()
	if *keep == "" || e.server != nil {
		dsn = e.fresh(b)
		fillLog(b, dsn)
		return dsn
	}
	if _, err := os.Stat(*keep); err == nil {
		return sqliteScheme + *keep
	}
	unfinished := *keep + ".part"
	for _, name := range []string{unfinished, unfinished + "-wal", unfinished + "-shm"} {
		if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
			b.Fatal(err)
		}
	}
	fillLog(b, sqliteScheme+unfinished)
	if err := os.Rename(unfinished, *keep); err != nil {
		b.Fatal(err)
	}
	return sqliteScheme + *keep
}

// fillLog appends release after release of all services, as fast as it goes.
func fillLog(b *testing.B, dsn string) {
	b.Helper()
	l := openLog(b, dsn)
	var next atomic.Int64
	group, ctx := errgroup.WithContext(b.Context())
	for w := range writers {
		group.Go(func() error {
			g := newGenerator(byte(w))
			for l.Size() < *records && ctx.Err() == nil {
				var drafts []log.Prepared
				for range 20 {
					// All services' first releases come first, then all second ones.
					i := next.Add(1) - 1
					release, err := g.release(serviceID(i%services), int(i/services))
					if err != nil {
						return err
					}
					drafts = append(drafts, release...)
				}
				if _, err := l.Append(ctx, writer, drafts); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := errors.Join(group.Wait(), l.Close()); err != nil {
		b.Fatal(err)
	}
}

// benchmarkCheck checks everything: leaves, tree, payloads, columns, references, facts and attestations.
func benchmarkCheck(b *testing.B, e engine, dsn string) {
	l, err := log.Open(b.Context(), log.Options{DSN: dsn, ReadOnly: true, Derive: ingest.Facts, Unique: ingest.Unique})
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	for b.Loop() {
		report, err := l.Check(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		if !report.OK() {
			b.Fatalf("the log isn't sound: %s", report.Faults[0])
		}
	}
	b.ReportMetric(float64(l.Size()), "records")
	b.ReportMetric(e.mebibytes(b, dsn), "disk-MiB")
}

// releaseIn is a release that a log of that size surely holds, another for each i, from all over it.
func releaseIn(i int, size int64) (serviceID, int) {
	// A release has at most nineteen records; what measurements have added since is few beside them.
	r := i * 7919 % max(int(size)/24, 1)
	return serviceID(r % services), r / services
}

// benchmarkWhy asks for chains one after the other, of another service and release each time: over HTTPS, where
// each read is recorded before it is answered, and from the log itself.
func benchmarkWhy(b *testing.B, e engine, dsn string) {
	count := 500
	if testing.Short() {
		count = 50
	}
	s := startService(b, e, dsn)
	defer s.stop()
	l, err := log.Open(b.Context(), log.Options{DSN: dsn, ReadOnly: true})
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	c := s.client(auditorToken)
	next := 0
	for _, bm := range []struct {
		name  string
		opts  why.Options
		chain func(tracedb.Ref, why.Options) (*why.Chain, error)
	}{
		{"https", why.Options{}, func(r tracedb.Ref, o why.Options) (*why.Chain, error) { return c.Why(b.Context(), r.String(), o) }},
		{"https+proofs", why.Options{Proofs: true}, func(r tracedb.Ref, o why.Options) (*why.Chain, error) { return c.Why(b.Context(), r.String(), o) }},
		{"library", why.Options{}, func(r tracedb.Ref, o why.Options) (*why.Chain, error) { return why.Ask(b.Context(), l, r, o) }},
		{"library+proofs", why.Options{Proofs: true}, func(r tracedb.Ref, o why.Options) (*why.Chain, error) { return why.Ask(b.Context(), l, r, o) }},
	} {
		b.Run(bm.name, func(b *testing.B) {
			times := make([]time.Duration, count)
			links := 0
			for i := range times {
				svc, release := releaseIn(next, l.Size())
				next++
				begun := time.Now()
				chain, err := bm.chain(ref(tracedb.RefImage, svc.Digest(release)), bm.opts)
				if err != nil {
					b.Fatal(err)
				}
				times[i] = time.Since(begun)
				links += len(chain.Links)
			}
			reportPercentiles(b, times)
			b.ReportMetric(float64(links)/float64(count), "links")
			b.ReportMetric(s.peak(b), "peak-MiB")
		})
	}
}
