package log

import (
	"context"
	"encoding/json"
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

// Dispose deletes the payloads whose kind's term was over at now, counted from the log's own time, and
// records which: the records of kind disposal are in the same transaction as the deletions. The leaves
// stay, and so do the facts. It returns the receipts of those records, none if nothing was due.
func (l *Log) Dispose(ctx context.Context, now time.Time) ([]tracedb.Receipt, error) {
	var out []tracedb.Receipt
	for _, info := range tracedb.Kinds() {
		if info.Term == 0 {
			continue
		}
		receipts, err := l.disposeKind(ctx, info, tracedb.Instant(now.Add(-info.Term)))
		out = append(out, receipts...)
		if err != nil {
			return out, fmt.Errorf("dispose of payloads of kind %s: %w", info.Kind, err)
		}
	}
	if len(out) == 0 {
		return nil, nil
	}
	return out, l.db.Explain(l.db.Forget(ctx))
}

func (l *Log) disposeKind(ctx context.Context, info tracedb.KindInfo, before time.Time) ([]tracedb.Receipt, error) {
	var out []tracedb.Receipt
	lost := ""
	for {
		seqs, err := store.Due(ctx, l.db.Read, info.Kind, before.UnixMicro(), disposedAtOnce)
		if err != nil {
			return out, l.db.Explain(err)
		}
		if len(seqs) == 0 {
			return out, nil
		}
		payload, err := json.Marshal(tracedb.Disposal{Kind: info.Kind, Before: before, Seqs: seqs, Reason: "the term of " + info.Term.String() + " was over"})
		if err != nil {
			return out, err
		}
		// Two replicas that dispose of the same find out by the id: the second sees that nothing is left.
		id := fmt.Sprintf("disposal/%s/%d-%d", info.Kind, seqs[0], seqs[len(seqs)-1])
		o, refused := prepare(Prepared{Draft: tracedb.Draft{ID: id, Kind: tracedb.KindDisposal, Actor: Self, Payload: payload}})
		if refused != nil {
			return out, refused
		}
		receipts, err := l.commit(&call{ctx: ctx, writer: Self, drafts: []offer{o}, dispose: seqs})
		switch {
		case errors.Is(err, tracedb.ErrConflict) && lost != id:
			lost = id
		case err != nil:
			return out, err
		case receipts[0].Duplicate:
			return out, nil
		default:
			out = append(out, receipts...)
		}
	}
}
