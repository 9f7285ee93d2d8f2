package admission

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/catalog"
	"github.com/druppie/druppie-up/tracedb/ingest"
	"github.com/druppie/druppie-up/tracedb/redact"
)

// Under load, a transaction for each decision costs as much processor time as answering it: up to maxBatch are
// recorded in one, and the next begins batchPause after it at the earliest.
const (
	maxBatch   = 256
	batchPause = 2 * time.Millisecond
)

// Run records the decisions, until ctx ends, and then those that still wait, for a while. It returns ctx's
// error. One Run is enough, and there must be one.
func (c *Controller) Run(ctx context.Context) error {
	// What is being written when the end comes is written to its end.
	writing, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	defer context.AfterFunc(ctx, func() {
		select {
		case <-time.After(drainTimeout):
			stop()
		case <-writing.Done():
		}
	})()
	for {
		select {
		case d := <-c.queue:
			c.record(writing, c.batch(d))
			select {
			case <-time.After(batchPause):
			case <-ctx.Done():
			}
		case <-ctx.Done():
			for {
				select {
				case d := <-c.queue:
					c.record(writing, c.batch(d))
				default:
					return ctx.Err()
				}
			}
		}
	}
}

// batch is the first decision and those that wait behind it.
func (c *Controller) batch(first *decision) []*decision {
	out := []*decision{first}
	for len(out) < maxBatch {
		select {
		case d := <-c.queue:
			out = append(out, d)
		default:
			return out
		}
	}
	return out
}

// record adds decisions to the log, and how many were dropped since it last knew.
func (c *Controller) record(ctx context.Context, batch []*decision) {
	drafts := make([]tracedb.Draft, 0, len(batch)+1)
	for _, d := range batch {
		drafts = append(drafts, d.draft())
	}
	dropped := c.dropped.Load()
	if lost := dropped - c.reported.Load(); lost > 0 {
		drafts = append(drafts, c.lost(lost))
	}
	c.append(ctx, drafts)
	c.reported.Store(dropped)
	c.waiting.Add(-int64(len(batch)))
}

// append tries as long as the log can't take the drafts. What the log refuses it refuses for ever: then each is
// tried alone, and those that it refuses are left out.
func (c *Controller) append(ctx context.Context, drafts []tracedb.Draft) {
	for wait := retryMin; ; wait = min(2*wait, retryMax) {
		_, err := c.o.Records.AppendOwn(ctx, drafts)
		if err == nil {
			return
		}
		if e := tracedb.AsError(err); e.Status < 500 && e.Code != tracedb.ErrTooMany.Code {
			if len(drafts) == 1 {
				// The same admission request, repeated after the decision changed: the first holds.
				if e.Code != tracedb.ErrConflict.Code {
					c.dropped.Add(1)
					c.o.Logger.ErrorContext(ctx, "a decision can't be recorded", "error", err)
				}
				return
			}
			for i := range drafts {
				c.append(ctx, drafts[i:i+1])
			}
			return
		}
		c.o.Logger.WarnContext(ctx, "decisions wait for the log", "decisions", len(drafts), "error", err)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			c.dropped.Add(int64(len(drafts)))
			c.o.Logger.ErrorContext(ctx, "decisions were lost at the end", "decisions", len(drafts))
			return
		}
	}
}

// draft is the record of a decision. Its id is the admission request's, so that one that is repeated is
// recorded once; without one, the same decision on the same request counts once a minute. A pod that is made has the
// request's id as its uid; what is decided about it later has that in its id too.
func (d *decision) draft() tracedb.Draft {
	q := d.request
	payload := tracedb.Admission{
		Namespace: q.Namespace, Resource: clip(q.Resource), Algorithm: clip(q.Algorithm),
		Images: []string{}, Policy: Policy, Reason: d.Reason, Remedy: d.Remedy,
		ReasonNL: d.ReasonNL, RemedyNL: d.RemedyNL, Exception: d.Exception,
	}
	for _, image := range q.Images {
		if digest := catalog.Digest(image); digest != "" {
			image = digest
		}
		if image = clip(image); image == "" || !ingest.OneLine(image) {
			image = "(no name)"
		}
		payload.Images = append(payload.Images, image)
	}
	raw := tracedb.MustJSON(payload)
	draft := tracedb.Draft{Kind: tracedb.KindAdmission, At: d.at, Outcome: tracedb.Denied, Payload: raw}
	if d.Allowed {
		draft.Outcome = tracedb.Allowed
	}
	if d.Repository != "" {
		draft.Refs = []tracedb.Ref{{Type: tracedb.RefRepository, Value: d.Repository}}
	}
	draft.ID = "admission/" + q.UID
	if q.UID == "" || !ingest.ValidID(draft.ID) {
		hash := fmt.Sprintf("%x", sha256.Sum256(fmt.Appendf(raw, "%s %s", draft.Outcome, d.at.UTC().Format("2006-01-02T15:04"))))
		if draft.ID = "admission/" + q.Pod + "/" + hash; q.Pod == "" || !ingest.ValidID(draft.ID) {
			draft.ID = "admission/" + hash
		}
	}
	return draft
}

// lost says in the log that it doesn't know everything.
func (c *Controller) lost(n int64) tracedb.Draft {
	return tracedb.Draft{ID: "unrecorded/" + rand.Text(), Kind: tracedb.KindRefusal, At: c.o.Now(), Outcome: tracedb.Denied, Payload: tracedb.MustJSON(tracedb.Refusal{
		Kind: tracedb.KindAdmission, Code: "unrecorded",
		Reason: fmt.Sprintf("%d admission decisions weren't recorded: they came faster than the log could take them", n),
	})}
}

// clip is s as a payload can hold it. What replaces a secret may be longer than the secret, and
// what is cut may look like one: then less of it must do.
func clip(s string) string {
	for most := maxText; ; most /= 2 {
		s, _ = redact.Text(tracedb.Clip(s, most))
		if len(s) <= ingest.MaxName {
			return s
		}
	}
}
