// Package ingest owns the way into the log: who may add what, whether a record says what its kind
// must say, whether its signature holds, that no secret comes along, and what it adds to the facts.
// It refuses, with the place and the remedy, whatever doesn't pass, and records that it refused; it
// decides nothing about workloads.
package ingest

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"strings"
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

// Options are what an Ingester works with.
type Options struct {
	Log     Log
	Catalog *catalog.Catalog
	Keyring *attest.Keyring  // nil: no attestation is taken
	Now     func() time.Time // nil: time.Now
	Logger  *slog.Logger     // nil: silent
}

// Ingester takes records into the log. It is safe for concurrent use.
type Ingester struct {
	o        Options
	refusals *refusals
	reads    *reads
}

// New returns an Ingester.
func New(o Options) *Ingester {
	if o.Now == nil {
		o.Now = time.Now
	}
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	return &Ingester{o: o, refusals: newRefusals(), reads: newReads()}
}

// Stats are the counters since the Ingester was made.
type Stats struct {
	Refused            int64 // drafts that were refused
	RefusalsUnrecorded int64 // refusals that weren't written down: too many at once, or the log failed
}

// Stats are the counters as they are now.
func (in *Ingester) Stats() Stats {
	return Stats{Refused: in.refusals.refused.Load(), RefusalsUnrecorded: in.refusals.unrecorded.Load()}
}

// Append checks the drafts and adds them to the log, all or none: on return they are durable. A draft
// that its writer recorded before, with the same id, kind, outcome and payload, gets the receipt of then.
//
// What is refused is a *tracedb.Error whose Field is the place: records[3].payload.commit. Refusals
// that somebody may want to know of later (a kind that the writer may not write, a signature that
// doesn't hold, a replay, an id of another repository, another record under a used id, a secret, too
// much) are recorded, too; that they couldn't be is never the answer.
func (in *Ingester) Append(ctx context.Context, who tracedb.Identity, drafts []tracedb.Draft) ([]tracedb.Receipt, error) {
	if who.Name == "" {
		return nil, tracedb.ErrUnauthenticated
	}
	switch {
	case len(drafts) == 0:
		return nil, tracedb.ErrInvalid.Says("want at least one record").At("records")
	case len(drafts) > MaxBatch:
		err := tracedb.ErrTooLarge.Says("want at most %d records at once", MaxBatch).At("records")
		in.refuse(ctx, who, tracedb.Draft{}, err)
		return nil, err
	}
	prepared := make([]log.Prepared, len(drafts))
	for i, draft := range drafts {
		p, err := in.prepare(ctx, who, draft)
		if err != nil {
			e := tracedb.AsError(err)
			if e.Code == tracedb.ErrInternal.Code {
				return nil, fmt.Errorf("check record %d: %w", i, err)
			}
			e = e.At("records[%d]", i)
			in.refuse(ctx, who, draft, e)
			return nil, e
		}
		prepared[i] = p
	}
	receipts, err := in.append(ctx, who.Name, prepared)
	if err != nil {
		return nil, in.explain(ctx, who, drafts, err)
	}
	return receipts, nil
}

// append adds what was prepared, and makes the catalog know it at once.
func (in *Ingester) append(ctx context.Context, writer string, prepared []log.Prepared) ([]tracedb.Receipt, error) {
	receipts, err := in.o.Log.Append(ctx, writer, prepared)
	if err != nil {
		return nil, err
	}
	for i, p := range prepared {
		if receipts[i].Duplicate {
			continue
		}
		for _, f := range p.Facts {
			f.Seq = receipts[i].Seq
			in.o.Catalog.Apply(f)
		}
	}
	return receipts, nil
}

// explain puts what the log refused into the terms of the request.
func (in *Ingester) explain(ctx context.Context, who tracedb.Identity, drafts []tracedb.Draft, err error) error {
	e := tracedb.AsError(err)
	if e.Code == tracedb.ErrInternal.Code {
		return fmt.Errorf("append to the log: %w", err)
	}
	var i int
	if _, scan := fmt.Sscanf(e.Field, "[%d]", &i); scan != nil || i < 0 || i >= len(drafts) {
		return e
	}
	c := *e
	_, c.Field, _ = strings.Cut(e.Field, "]")
	c.Field = strings.TrimPrefix(c.Field, ".")
	switch c.Code {
	case tracedb.ErrBound.Code:
		c.Field = "payload.repository"
		c.Hint = "an algorithm id and the repository that registered it first belong together for ever: keep the repository's own, or give another repository another id"
	case tracedb.ErrReplayed.Code:
		c.Field, c.Hint = "payload", "an attestation is recorded once; say in the statement which run it is of, and sign it anew"
	case tracedb.ErrConflict.Code:
		c.Field, c.Hint = "id", "give the record an id of its own"
	}
	e = c.At("records[%d]", i)
	in.refuse(ctx, who, drafts[i], e)
	return e
}
