package bench

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/api/apitest"
)

// BenchmarkRecord brings releases to the service over HTTPS with eight writers, in batches of a hundred records
// of which two thirds are signed.
func BenchmarkRecord(b *testing.B) {
	const perBatch = 100
	for _, e := range engines(b) {
		b.Run(e.name, func(b *testing.B) {
			s := startService(b, e, e.fresh(b))
			defer s.stop()
			// Signing is the foundry's work: it is done before the clock starts. There is more than can be taken.
			batches := make([][]tracedb.Draft, max(2*writers, int(span.Seconds()*60)))
			release := 0
			for i := range batches {
				for ; len(batches[i]) < perBatch; release++ {
					name := fmt.Sprintf("druppie/service-%03d", release%services)
					drafts, err := apitest.Release(s.signer, apitest.NewService(name, "", release))
					if err != nil {
						b.Fatal(err)
					}
					batches[i] = append(batches[i], drafts[:min(len(drafts), perBatch-len(batches[i]))]...)
				}
			}
			var next, recorded atomic.Int64
			start := time.Now()
			var group errgroup.Group
			for range writers {
				group.Go(func() error {
					c := s.client(writerToken)
					for time.Since(start) < *span {
						i := int(next.Add(1) - 1)
						if i >= len(batches) {
							return nil
						}
						if _, err := c.Record(b.Context(), batches[i]); err != nil {
							return err
						}
						recorded.Add(perBatch)
					}
					return nil
				})
			}
			if err := group.Wait(); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(recorded.Load())/time.Since(start).Seconds(), "records/s")
		})
	}
}
