package log

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/log/store"
)

// Self is the writer and actor of the records that the log writes about itself.
const Self = "tracedb"

// disposedAtOnce is how many payloads one record of disposal names.
const disposedAtOnce = 10_000

// maxClockLead is how long nothing needs to come into the log for time to go on, as far as terms are concerned.
const maxClockLead = 3 * 24 * time.Hour

// What was deleted is overwritten when nobody reads it any more: that is waited for so often and so long.
const (
	eraseTries = 30
	erasePause = time.Second
)

// errGone says that somebody else disposed of a payload since it was found to be due.
var errGone = errors.New("some of these payloads were disposed of meanwhile")

// Dispose applies retention: it deletes the payloads whose kind's term was over at Reckoned(now), counted from the log's own
// time, and records which: the records of kind disposal are in the same transaction as the deletions. The
// leaves stay, and so do the facts. It returns the receipts of those records, none if nothing was due. A
// kind that fails doesn't keep the others.
func (l *Log) Dispose(ctx context.Context, now time.Time) ([]tracedb.Receipt, error) {
	now, err := l.Reckoned(ctx, now)
	if err != nil {
		return nil, err
	}
	var out []tracedb.Receipt
	var errs []error
	for _, info := range tracedb.Kinds() {
		if info.Term == 0 {
			continue
		}
		receipts, err := l.disposeKind(ctx, info, tracedb.Instant(now.Add(-info.Term)))
		out = append(out, receipts...)
		if err != nil {
			errs = append(errs, fmt.Errorf("dispose of payloads of kind %s: %w", info.Kind, err))
		}
	}
	return out, errors.Join(append(errs, l.eraseDeleted(ctx))...)
}

// Reckoned is the moment that terms are counted to: now, but no more than a few days after the newest
// record that isn't a disposal itself. What a clock that is wrong for a moment deletes is gone for ever, and
// while a platform is used its log says by itself what time it is.
func (l *Log) Reckoned(ctx context.Context, now time.Time) (time.Time, error) {
	last, ok, err := store.LastTime(ctx, l.db.Read, tracedb.KindDisposal)
	if limit := last.Add(maxClockLead); ok && limit.Before(now) {
		now = limit
	}
	return now, l.db.Translate(err)
}

// eraseDeleted has what was deleted overwritten, now or in a while; what isn't by then, the next disposal does.
func (l *Log) eraseDeleted(ctx context.Context) error {
	for range eraseTries {
		done, err := l.db.EraseDeleted(ctx)
		if done || err != nil {
			return l.db.Translate(err)
		}
		select {
		case <-time.After(erasePause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (l *Log) disposeKind(ctx context.Context, info tracedb.KindInfo, before time.Time) ([]tracedb.Receipt, error) {
	var out []tracedb.Receipt
	for {
		seqs, err := store.Due(ctx, l.db.Read, info.Kind, before.UnixMicro(), disposedAtOnce)
		if err != nil {
			return out, l.db.Translate(err)
		}
		if len(seqs) == 0 {
			return out, nil
		}
		payload := tracedb.MustJSON(tracedb.Disposal{Kind: info.Kind, Before: before, Seqs: seqs, Reason: "the term of " + info.Term.String() + " was over"})
		o, refused := prepare(Prepared{Draft: tracedb.Draft{
			ID: fmt.Sprintf("disposal/%s/%d-%d", info.Kind, seqs[0], seqs[len(seqs)-1]), Kind: tracedb.KindDisposal, Actor: Self, Payload: payload,
		}})
		if refused != nil {
			return out, refused
		}
		receipts, err := l.commit(&request{ctx: ctx, writer: Self, drafts: []candidate{o}, dispose: seqs})
		if errors.Is(err, errGone) {
			continue // another replica did: what is left is due
		}
		if err != nil {
			return out, err
		}
		out = append(out, receipts...)
	}
}
