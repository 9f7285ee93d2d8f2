// Package admission answers whether a workload may run, and records what it answered. It owns that an answer
// never waits for the log, and that no decision is lost without a record of it; it decides nothing by itself: the catalog
// decides.
package admission

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/catalog"
	"github.com/druppie/druppie-up/tracedb/ingest"
)

const (
	// maxWaiting is how many decisions may wait to be recorded.
	maxWaiting = 8192
	// syncTimeout is how long a request that was refused waits for what other programs wrote.
	syncTimeout = time.Second
	// retryMin is how long the writer waits before it tries again what failed; it doubles up to retryMax.
	retryMin, retryMax = 100 * time.Millisecond, 10 * time.Second
	// drainTimeout is how long decisions that wait are still written after the end.
	drainTimeout = 10 * time.Second
	// maxText is the most bytes of a text in a request.
	maxText = 1000
)

// Policy names in a record who decided: the register.
const Policy = "register"

// Recorder adds records of the service's own to the log; *ingest.Ingester is one.
type Recorder interface {
	AppendOwn(ctx context.Context, drafts []tracedb.Draft) ([]tracedb.Receipt, error)
}

// Options are what a Controller works with.
type Options struct {
	Catalog *catalog.Catalog
	Records Recorder
	Now     func() time.Time // nil: time.Now
	Logger  *slog.Logger     // nil: silent
}

// Controller decides, and records decisions while Run runs. It is safe for concurrent use.
type Controller struct {
	o                Options
	queue            chan *decision
	waiting, dropped atomic.Int64
	reported         atomic.Int64 // of the dropped ones, those that the log knows of
}

type decision struct {
	request catalog.Request
	catalog.Decision
	at time.Time
}

// New returns a Controller.
func New(o Options) *Controller {
	if o.Now == nil {
		o.Now = time.Now
	}
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	return &Controller{o: o, queue: make(chan *decision, maxWaiting)}
}

// Stats are the counters since the Controller was made.
type Stats struct {
	Waiting int64 // decisions that are not in the log yet
	Dropped int64 // decisions that never will be; the log says how many and when
}

// Stats are the counters as they are now.
func (c *Controller) Stats() Stats {
	return Stats{Waiting: c.waiting.Load(), Dropped: c.dropped.Load()}
}

// Decide answers and, unless it was a dry run, leaves the decision to be recorded: the answer never waits for
// the log. A request that names more than any workload has is tracedb.ErrInvalid, with the place.
func (c *Controller) Decide(ctx context.Context, q catalog.Request) (catalog.Decision, error) {
	if err := check(q); err != nil {
		return catalog.Decision{}, err
	}
	answer := c.o.Catalog.Decide(q)
	if !answer.Allowed && answer.NeedsSync() {
		// Another program may have recorded the provenance a moment ago, so the log is read; if that
		// fails, the refusal holds.
		ctx, stop := context.WithTimeout(ctx, syncTimeout)
		err := c.o.Catalog.Sync(ctx, q.Images...)
		stop()
		if err != nil {
			c.o.Logger.WarnContext(ctx, "decided without the log's newest records", "error", err)
		} else {
			answer = c.o.Catalog.Decide(q)
		}
	}
	if !q.DryRun {
		c.enqueue(&decision{request: q, Decision: answer, at: c.o.Now()})
	}
	return answer, nil
}

func check(q catalog.Request) error {
	invalid := func(field, format string, args ...any) error {
		return tracedb.ErrInvalid.Says(format, args...).At("%s", field)
	}
	if err := (tracedb.Ref{Type: tracedb.RefNamespace, Value: q.Namespace}).Check(); err != nil {
		return invalid("namespace", "%s", err)
	}
	if len(q.Images) > ingest.MaxImages {
		return invalid("images", "want at most %d", ingest.MaxImages)
	}
	for i, image := range q.Images {
		if len(image) > maxText {
			return invalid(fmt.Sprintf("images[%d]", i), "want at most %d bytes", maxText)
		}
	}
	for _, f := range []struct{ field, value string }{{"algorithm", q.Algorithm}, {"resource", q.Resource}, {"uid", q.UID}, {"pod", q.Pod}} {
		if len(f.value) > maxText {
			return invalid(f.field, "want at most %d bytes", maxText)
		}
	}
	return nil
}

// enqueue puts a decision where Run finds it. If the queue is full, it is dropped and counted, and the log
// will say how many were.
func (c *Controller) enqueue(d *decision) {
	c.waiting.Add(1)
	select {
	case c.queue <- d:
	default:
		c.waiting.Add(-1)
		c.dropped.Add(1)
	}
}
