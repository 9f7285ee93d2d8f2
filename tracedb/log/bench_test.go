package log_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/log"
	"github.com/druppie/druppie-up/tracedb/log/logtest"
)

// BenchmarkAppend appends payloads of 2 KiB with eight writers. What `make bench-tracedb` prints is the
// measure; this is for looking into the log with a profiler.
func BenchmarkAppend(b *testing.B) {
	for _, batch := range []int{1, 10, 100} {
		b.Run(fmt.Sprint(batch), func(b *testing.B) {
			l := logtest.New(b)
			var n atomic.Int64
			body := payload(`"` + strings.Repeat("x", 2046) + `"`)
			b.SetParallelism(4)
			b.RunParallel(func(pb *testing.PB) {
				var drafts []log.Prepared
				for pb.Next() {
					i := n.Add(1)
					run := fmt.Sprintf("%040x", i/12)
					drafts = append(drafts, draft(fmt.Sprintf("run-%d", i), body, about(tracedb.RefCommit, run), about(tracedb.RefImage, "sha256:"+run),
						about(tracedb.RefRepository, fmt.Sprint("druppie/service-", i/12%200)), about(tracedb.RefRun, "foundry/"+run)))
					if len(drafts) == batch {
						if _, err := l.Append(b.Context(), "writer", drafts); err != nil {
							b.Error(err)
							return
						}
						drafts = drafts[:0]
					}
				}
			})
		})
	}
}
