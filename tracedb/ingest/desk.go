// Package ingest owns the way into the log: who may add what, whether a record says what its kind
// must say, whether its signature holds, that no secret comes along, and what it adds to the facts.
// It refuses, with the place and the remedy, whatever doesn't pass, and records that it refused.
package ingest

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/attest"
	"github.com/druppie/druppie-up/tracedb/catalog"
	"github.com/druppie/druppie-up/tracedb/log"
)

// Writer is the name under which the service itself writes.
const Writer = "tracedb"

// MaxBatch is the most drafts that are taken at once.
const MaxBatch = 500

// Log is where records go; *log.Log is one.
type Log interface {
	tracedb.Reader
	Append(ctx context.Context, writer string, drafts []log.Prepared) ([]tracedb.Receipt, error)
}

// Desk takes records. Its fields are set before its first use; it is safe for concurrent use.
type Desk struct {
	Log     Log
	Keyring *attest.Keyring
	Catalog *catalog.Catalog
	Now     func() time.Time // nil: time.Now
	Logger  *slog.Logger     // nil: silent

	refusals  refusals
	reads     reads
	decisions decisions
	once      sync.Once
}

// Stats are the desk's counters since it began.
type Stats struct {
	Refused            int64 // drafts that were refused
	RefusalsUnrecorded int64 // refusals that weren't written down: too many at once, or the log failed
	DecisionsWaiting   int64 // admission decisions that are not in the log yet
	DecisionsDropped   int64 // admission decisions that never will be; the log tells how many and when
}

// Stats are the counters as they are now.
func (d *Desk) Stats() Stats {
	d.ready()
	return Stats{
		Refused: d.refusals.refused.Load(), RefusalsUnrecorded: d.refusals.unrecorded.Load(),
		DecisionsWaiting: d.decisions.waiting.Load(), DecisionsDropped: d.decisions.dropped.Load(),
	}
}

// ready fills what was left empty.
func (d *Desk) ready() {
	d.once.Do(func() {
		if d.Now == nil {
			d.Now = time.Now
		}
		if d.Logger == nil {
			d.Logger = slog.New(slog.DiscardHandler)
		}
		d.decisions.queue = make(chan *decision, maxWaiting)
	})
}

// Take checks the drafts and adds them to the log, all or none: on return they are durable. A draft
// that its writer recorded before, with the same id, kind, outcome and payload, gets the receipt of then.
//
// What is refused is a *tracedb.Error whose Field is the place: records[3].payload.commit. Refusals
// that somebody may want to know of later (a kind that the writer may not write, a signature that
// doesn't hold, a replay, an id of another repository, another record under a used id, a secret, too
// much) are recorded, too; that they couldn't be is never the answer.
func (d *Desk) Take(ctx context.Context, who tracedb.Identity, drafts []tracedb.Draft) ([]tracedb.Receipt, error) {
	d.ready()
	if who.Name == "" {
		return nil, tracedb.ErrUnauthenticated
	}
	switch {
	case len(drafts) == 0:
		return nil, tracedb.ErrInvalid.Says("want at least one record").At("records")
	case len(drafts) > MaxBatch:
		err := tracedb.ErrTooLarge.Says("want at most %d records at once", MaxBatch).At("records")
		d.refuse(ctx, who, tracedb.Draft{}, err)
		return nil, err
	}
	prepared := make([]log.Prepared, len(drafts))
	for i, draft := range drafts {
		p, err := d.prepare(ctx, who, draft)
		if err != nil {
			e := tracedb.AsError(err)
			if e.Code == tracedb.ErrInternal.Code {
				return nil, fmt.Errorf("check record %d: %w", i, err)
			}
			e = e.At("records[%d]", i)
			d.refuse(ctx, who, draft, e)
			return nil, e
		}
		prepared[i] = p
	}
	receipts, err := d.append(ctx, who.Name, prepared)
	if err != nil {
		return nil, d.explain(ctx, who, drafts, err)
	}
	return receipts, nil
}

// append adds what was prepared, and makes the catalog know it at once.
func (d *Desk) append(ctx context.Context, writer string, prepared []log.Prepared) ([]tracedb.Receipt, error) {
	receipts, err := d.Log.Append(ctx, writer, prepared)
	if err != nil {
		return nil, err
	}
	if d.Catalog == nil {
		return receipts, nil
	}
	for i, p := range prepared {
		if receipts[i].Duplicate {
			continue
		}
		for _, f := range p.Facts {
			f.Seq = receipts[i].Seq
			d.Catalog.Apply(f)
		}
	}
	return receipts, nil
}

// explain puts what the log refused into the terms of the request.
func (d *Desk) explain(ctx context.Context, who tracedb.Identity, drafts []tracedb.Draft, err error) error {
	e := tracedb.AsError(err)
	if e.Code == tracedb.ErrInternal.Code {
		return fmt.Errorf("append to the log: %w", err)
	}
	var i int
	if _, scan := fmt.Sscanf(e.Field, "[%d]", &i); scan != nil || i < 0 || i >= len(drafts) {
		return e
	}
	if _, rest, ok := strings.Cut(e.Field, "]"); ok {
		c := *e
		c.Field = strings.TrimPrefix(rest, ".")
		e = &c
	}
	switch e.Code {
	case tracedb.ErrBound.Code:
		c := *e
		c.Field = "payload.repository"
		e = c.WithHint("an algorithm id and the repository that registered it first belong together for ever: keep the repository's own, or give another repository another id")
	case tracedb.ErrReplayed.Code:
		c := *e
		c.Field = "payload"
		e = c.WithHint("an attestation is recorded once; say in the statement which run it is of, and sign it anew")
	case tracedb.ErrConflict.Code:
		c := *e
		c.Field = "id"
		e = c.WithHint("give the record an id of its own")
	}
	if e.Field == "" {
		c := *e
		c.Field = fmt.Sprintf("records[%d]", i)
		e = &c
	} else {
		e = e.At("records[%d]", i)
	}
	d.refuse(ctx, who, drafts[i], e)
	return e
}
