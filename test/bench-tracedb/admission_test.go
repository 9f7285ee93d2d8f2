package bench

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/druppie/druppie-up/internal/names"
	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/catalog"
)

// admissionRate is how many requests a second are sent, whether those before are answered or not.
const admissionRate = 1000

// benchmarkAdmission sends requests at a fixed rate: each when it is due, and its time counts from then. Every
// decision is recorded. The goal is a p99 of 2 ms.
func benchmarkAdmission(b *testing.B, e engine, dsn string) {
	s := startService(b, e, dsn)
	defer s.stop()
	page, err := s.client(auditorToken).Search(b.Context(), tracedb.Query{Limit: 1})
	if err != nil {
		b.Fatal(err)
	}
	size := page.Entries[0].Seq + 1
	c := s.client(admissionToken)
	admit := func(i int) error {
		svc, release := releaseIn(i, size)
		decision, err := c.Admission(b.Context(), catalog.Request{
			Namespace: svc.Namespace(), Images: []string{names.RegistryHost + "/" + svc.Repository() + "@" + svc.Digest(release)},
			Algorithm: svc.Algorithm(), Resource: "Pod/bench", UID: fmt.Sprintf("bench-%d-%d", time.Now().UnixNano(), i),
		})
		if err == nil && !decision.Allowed {
			err = fmt.Errorf("request %d was refused", i)
		}
		return err
	}
	// Connections are there before the clock starts, as Kyverno's are.
	for i := range 20 {
		if err := admit(i); err != nil {
			b.Fatal(err)
		}
	}
	// The callers have a machine of their own: their garbage mustn't be what is measured.
	defer debug.SetGCPercent(debug.SetGCPercent(1000))
	// A thread that sleeps in the kernel keeps one of Go's processors for a while.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(4 + runtime.NumCPU()))
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	times := make([]time.Duration, max(1, int(span.Seconds()*admissionRate)))
	var group errgroup.Group
	start := time.Now()
	for i := range times {
		due := start.Add(time.Duration(i) * time.Second / admissionRate)
		if err := sleep(time.Until(due)); err != nil {
			b.Fatal(err)
		}
		group.Go(func() error {
			defer func() { times[i] = time.Since(due) }()
			return admit(i)
		})
	}
	if err := group.Wait(); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(len(times))/time.Since(start).Seconds(), "requests/s")
	reportPercentiles(b, times)
	b.ReportMetric(s.peak(b), "peak-MiB")
}

// sleep waits as exactly as the kernel can. Go's own sleep may be a millisecond late when nothing else
// goes on, and a request that is sent late looks like one that was answered late.
func sleep(d time.Duration) error {
	if d <= 0 {
		return nil
	}
	left := unix.NsecToTimespec(d.Nanoseconds())
	for {
		err := unix.Nanosleep(&left, &left)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
