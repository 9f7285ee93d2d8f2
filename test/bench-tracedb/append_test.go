package bench

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/log"
)

// BenchmarkAppend appends records of 2 KiB with eight writers, to the log and then to plain tables, each in a
// fresh database. The goals are 5,000 records a second on SQLite, and half of what plain tables take.
func BenchmarkAppend(b *testing.B) {
	for _, e := range engines(b) {
		for _, batch := range []int{1, 10, 100} {
			b.Run(fmt.Sprintf("%s/batch=%d", e.name, batch), func(b *testing.B) {
				for b.Loop() {
					l := openLog(b, e.fresh(b))
					logged := appendRate(b, l.Append, batch)
					if err := l.Close(); err != nil {
						b.Fatal(err)
					}
					tables := openPlain(b, e, e.fresh(b))
					plain := appendRate(b, tables.Append, batch)
					if err := tables.Close(); err != nil {
						b.Fatal(err)
					}
					b.ReportMetric(0, "ns/op")
					b.ReportMetric(logged, "records/s")
					b.ReportMetric(plain, "plain-records/s")
					b.ReportMetric(logged/plain, "log/plain")
				}
			})
		}
	}
}

// appendRate lets the writers append for a time, and returns how many records a second were acknowledged.
func appendRate(b *testing.B, appendTo func(context.Context, string, []log.Prepared) ([]tracedb.Receipt, error), batch int) float64 {
	b.Helper()
	var count atomic.Int64
	start := time.Now()
	group, ctx := errgroup.WithContext(b.Context())
	for w := range writers {
		group.Go(func() error {
			drafts := newDrafts(uint64(w))
			for time.Since(start) < *span {
				if _, err := appendTo(ctx, writer, drafts.next(batch)); err != nil {
					return err
				}
				count.Add(int64(batch))
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		b.Fatal(err)
	}
	return float64(count.Load()) / time.Since(start).Seconds()
}
