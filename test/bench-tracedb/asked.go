package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/druppie/druppie-up/internal/names"
	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/api/apitest"
	"github.com/druppie/druppie-up/tracedb/catalog"
	"github.com/druppie/druppie-up/tracedb/log"
	"github.com/druppie/druppie-up/tracedb/why"
)

const (
	// asked is how many questions a second come to the door, whether it answers or not.
	asked = 1000
	// overHTTP is how many records a writer brings at once over HTTP.
	overHTTP = 100
)

// measureHTTP brings releases to the service in batches of a hundred, four of seven records signed.
func measureHTTP(ctx context.Context, b *bench, t *table) error {
	engines, done, err := b.engines(ctx)
	if err != nil {
		return err
	}
	defer done()
	var errs []error
	for _, e := range engines {
		if err := measureRecording(ctx, b, t, e); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", e.name, err))
		}
	}
	return errors.Join(errs...)
}

func measureRecording(ctx context.Context, b *bench, t *table, e engine) (err error) {
	dsn, err := e.fresh(ctx)
	if err != nil {
		return err
	}
	s, err := b.serve(ctx, dsn)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	// Signing is the foundry's work: it is done before the clock starts. There is more than can be taken.
	count := max(2*writers, int(b.span.Seconds()*60))
	b.say("http: signing %d batches", count)
	ready := make([][]tracedb.Draft, count)
	signed := 0
	for i, n := 0, 0; i < count; i++ {
		for len(ready[i]) < overHTTP {
			release, err := apitest.Release(s.signer, apitest.NewService(fmt.Sprintf("druppie/service-%03d", n%services), "", n))
			if err != nil {
				return err
			}
			n++
			ready[i] = append(ready[i], release[:min(len(release), overHTTP-len(ready[i]))]...)
		}
		for _, d := range ready[i] {
			if info, _ := d.Kind.Info(); len(info.Predicate) > 0 {
				signed++
			}
		}
	}
	var next atomic.Int64
	times := make([]time.Duration, count)
	errs := make([]error, writers)
	before, err := s.processor()
	if err != nil {
		return err
	}
	start := time.Now()
	var wait sync.WaitGroup
	for w := range writers {
		wait.Go(func() {
			c := s.client(writerToken)
			for time.Since(start) < b.span && ctx.Err() == nil && errs[w] == nil {
				i := int(next.Add(1) - 1)
				if i >= count {
					return
				}
				begun := time.Now()
				_, errs[w] = c.Record(ctx, ready[i])
				times[i] = time.Since(begun)
			}
		})
	}
	wait.Wait()
	took := time.Since(start)
	after, err := s.processor()
	if err := errors.Join(append(errs, err, ctx.Err())...); err != nil {
		return err
	}
	done := min(int(next.Load()), count)
	times = times[:done]
	slices.Sort(times)
	records := float64(done * overHTTP)
	return t.print(fmt.Sprintf("over HTTP on %s, %d writers, batches of %d, checked and durable", e.name, writers, overHTTP), [][]string{
		{"records/s", "signatures/s", "batch p50", "batch p99", "processors"},
		{
			fmt.Sprintf("%.0f", records/took.Seconds()), fmt.Sprintf("%.0f", records/took.Seconds()*float64(signed)/float64(count*overHTTP)),
			short(part(times, 50)), short(part(times, 99)), fmt.Sprintf("%.2f", (after-before).Seconds()/took.Seconds()),
		},
	})
}

// measureService asks the real service about the large log, and the log without it.
func measureService(ctx context.Context, b *bench, t *table, dsn string) (err error) {
	s, err := b.serve(ctx, dsn)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	first, err := s.phase()
	if err != nil {
		return err
	}
	page, err := s.client(auditorToken).Search(ctx, tracedb.Query{Limit: 1})
	if err != nil {
		return err
	}
	size := page.Entries[0].Seq + 1
	door := [][]string{{"questions/s", "p50", "p99", "p99.9", "most"}}
	for range rounds {
		row, err := askDoor(ctx, b, s, size)
		if err != nil {
			return fmt.Errorf("admission: %w", err)
		}
		door = append(door, row)
	}
	second, err := s.phase()
	if err != nil {
		return err
	}
	chains, err := askWhy(ctx, b, s, dsn, size)
	if err != nil {
		return fmt.Errorf("why: %w", err)
	}
	last, err := s.phase()
	if err != nil {
		return err
	}
	return errors.Join(
		t.print("the service on the large log; goals: 2s, 100 MiB", [][]string{
			{"records", "start", "memory (most)", "after admission", "after why"},
			{fmt.Sprint(size), short(s.started), first.String(), second.String(), last.String()},
		}),
		t.print(fmt.Sprintf("admission, %d questions a second, from when each was due, %d times; goal: p99 2ms", asked, rounds), door),
		t.print("why, a chain of eighteen records and more; goal: p99 10ms", chains),
	)
}

// askDoor asks at a fixed rate: a question is sent when it is due, also if those before it aren't
// answered, and its time counts from then. Every decision is recorded.
func askDoor(ctx context.Context, b *bench, s *service, size int64) ([]string, error) {
	span := max(b.span, time.Second)
	if b.span < time.Second/2 {
		span = b.span
	}
	count := int(span.Seconds() * asked)
	c := s.client(doorToken)
	question := func(i int) catalog.Question {
		service, release := released(i, size)
		return catalog.Question{
			Namespace: service.Namespace(), Images: []string{names.RegistryHost + "/" + service.Repository() + "@" + service.Digest(release)},
			Algorithm: service.Algorithm(), Resource: "Pod/bench", UID: fmt.Sprintf("bench-%d-%d", time.Now().UnixNano(), i),
		}
	}
	// Connections are there before the clock starts, as Kyverno's are.
	for i := range 20 {
		if d, err := c.Admission(ctx, question(i)); err != nil || !d.Allowed {
			return nil, fmt.Errorf("question %d: %+v, %w", i, d, err)
		}
	}
	times := make([]time.Duration, count)
	errs := make([]error, count)
	var refused atomic.Int64
	var wait sync.WaitGroup
	// Those who ask have a machine of their own: their garbage mustn't be what is measured.
	defer debug.SetGCPercent(debug.SetGCPercent(1000))
	// Who sleeps in the kernel keeps a processor of Go's for a while.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(4 + runtime.NumCPU()))
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	start := time.Now()
	for i := range count {
		due := start.Add(time.Duration(i) * time.Second / asked)
		if err := sleep(time.Until(due)); err != nil {
			return nil, err
		}
		wait.Go(func() {
			var d catalog.Decision
			d, errs[i] = c.Admission(ctx, question(i))
			times[i] = time.Since(due)
			if !d.Allowed {
				refused.Add(1)
			}
		})
	}
	wait.Wait()
	took := time.Since(start)
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if n := refused.Load(); n > 0 {
		return nil, fmt.Errorf("%d questions of %d were refused", n, count)
	}
	slices.Sort(times)
	return []string{
		fmt.Sprintf("%.0f", float64(count)/took.Seconds()), short(part(times, 50)), short(part(times, 99)), short(times[len(times)*999/1000]), short(times[len(times)-1]),
	}, nil
}

// sleep waits as exactly as the kernel can. Go's own sleep may be a millisecond late when nothing else
// goes on, and a question that is sent late looks like one that was answered late.
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

// askWhy asks for chains one after the other, of another service and release each time: over HTTP, where
// each read is recorded before it is answered, and from the log itself.
func askWhy(ctx context.Context, b *bench, s *service, dsn string, size int64) ([][]string, error) {
	count := 500
	if b.span < time.Second {
		count = 50
	}
	l, err := log.Open(ctx, log.Options{DSN: dsn, ReadOnly: true})
	if err != nil {
		return nil, err
	}
	defer l.Close()
	subject := func(i int) tracedb.Ref {
		service, release := released(i, size)
		return ref(tracedb.RefImage, service.Digest(release))
	}
	c := s.client(auditorToken)
	rows := [][]string{{"", "links", "p50", "p99", "most"}}
	for _, way := range []struct {
		name   string
		proofs bool
		ask    func(i int, opts why.Options) (*why.Chain, error)
	}{
		{"over HTTP", false, func(i int, opts why.Options) (*why.Chain, error) { return c.Why(ctx, subject(i).String(), opts) }},
		{"over HTTP, with proofs", true, func(i int, opts why.Options) (*why.Chain, error) {
			return c.Why(ctx, subject(i+count).String(), opts)
		}},
		{"in the program", false, func(i int, opts why.Options) (*why.Chain, error) { return why.Ask(ctx, l, subject(i+2*count), opts) }},
		{"in the program, with proofs", true, func(i int, opts why.Options) (*why.Chain, error) {
			return why.Ask(ctx, l, subject(i+3*count), opts)
		}},
	} {
		times := make([]time.Duration, count)
		links := 0
		for i := range times {
			begun := time.Now()
			chain, err := way.ask(i, why.Options{Proofs: way.proofs})
			if err != nil {
				return nil, fmt.Errorf("%s, %s: %w", way.name, subject(i), err)
			}
			times[i] = time.Since(begun)
			links += len(chain.Links)
		}
		slices.Sort(times)
		rows = append(rows, []string{way.name, fmt.Sprintf("%.0f", float64(links)/float64(count)), short(part(times, 50)), short(part(times, 99)), short(times[count-1])})
	}
	return rows, nil
}

// part is the time within which percent of them are.
func part(sorted []time.Duration, percent int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)*percent/100, len(sorted)-1)]
}
