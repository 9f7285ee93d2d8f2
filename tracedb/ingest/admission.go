package ingest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/catalog"
	"github.com/druppie/druppie-up/tracedb/redact"
)

const (
	// maxWaiting is how many decisions may wait to be recorded.
	maxWaiting = 8192
	// together is how many are recorded in one go, and breath how long it takes at least until the next: of
	// a rush, each alone would cost several times as much, and a crowd would keep the processors from the
	// answers for longer than these take.
	together = 256
	breath   = 2 * time.Millisecond
	// catchUp is how long a question that was refused waits for what other programs wrote.
	catchUp = time.Second
	// again is how long the writer waits before it tries again what failed; it doubles up to the most.
	again, againMost = 100 * time.Millisecond, 10 * time.Second
	// last is how long decisions that wait are still written after the end.
	last = 10 * time.Second
	// maxQuestion is the most bytes of a text in a question.
	maxQuestion = 1000
)

// Policy names in a record who decided: the register's question.
const Policy = "register"

// decisions wait to be recorded.
type decisions struct {
	queue            chan *decision
	waiting, dropped atomic.Int64
	told             atomic.Int64 // of the dropped ones, those that the log knows of
}

type decision struct {
	question catalog.Question
	catalog.Decision
	at time.Time
}

// Admission decides and, unless it was a dry run, leaves the decision to be recorded: the answer
// never waits for the log. A question that names more than any workload has is tracedb.ErrInvalid,
// with the place.
func (d *Desk) Admission(ctx context.Context, q catalog.Question) (catalog.Decision, error) {
	d.ready()
	if err := askable(q); err != nil {
		return catalog.Decision{}, err
	}
	answer := d.Catalog.Decide(q)
	if !answer.Allowed && answer.Unsettled() {
		// Another program may have recorded the provenance a moment ago, so the log is asked; if it
		// doesn't answer, the refusal stands.
		sync, stop := context.WithTimeout(ctx, catchUp)
		err := d.Catalog.Sync(sync, q.Images...)
		stop()
		if err != nil {
			d.Logger.WarnContext(ctx, "decided without the log's newest records", "error", err)
		} else {
			answer = d.Catalog.Decide(q)
		}
	}
	if !q.DryRun {
		d.leave(&decision{question: q, Decision: answer, at: d.Now()})
	}
	return answer, nil
}

func askable(q catalog.Question) error {
	invalid := func(field, format string, args ...any) error {
		return tracedb.ErrInvalid.Says(format, args...).At("%s", field)
	}
	if err := (tracedb.Ref{Type: tracedb.RefNamespace, Value: q.Namespace}).Check(); err != nil {
		return invalid("namespace", "%s", err)
	}
	if len(q.Images) > maxImages {
		return invalid("images", "want at most %d", maxImages)
	}
	for i, image := range q.Images {
		if len(image) > maxQuestion {
			return invalid(fmt.Sprintf("images[%d]", i), "want at most %d bytes", maxQuestion)
		}
	}
	for _, f := range []struct{ field, value string }{{"algorithm", q.Algorithm}, {"resource", q.Resource}, {"uid", q.UID}} {
		if len(f.value) > maxQuestion {
			return invalid(f.field, "want at most %d bytes", maxQuestion)
		}
	}
	return nil
}

// leave puts a decision where Run finds it. If nobody comes for them any more, it is dropped and
// counted, and the log will say how many were.
func (d *Desk) leave(one *decision) {
	d.decisions.waiting.Add(1)
	select {
	case d.decisions.queue <- one:
	default:
		d.decisions.waiting.Add(-1)
		d.decisions.dropped.Add(1)
	}
}

// Run records the decisions that Admission left, until ctx ends, and then those that still wait, for
// a while. It returns ctx's error. One Run is enough, and there must be one.
func (d *Desk) Run(ctx context.Context) error {
	d.ready()
	// What is being written when the end comes is written to its end.
	writing, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	defer context.AfterFunc(ctx, func() {
		select {
		case <-time.After(last):
			stop()
		case <-writing.Done():
		}
	})()
	for {
		select {
		case one := <-d.decisions.queue:
			d.write(writing, d.gather(one))
			select {
			case <-time.After(breath):
			case <-ctx.Done():
			}
		case <-ctx.Done():
			for {
				select {
				case one := <-d.decisions.queue:
					d.write(writing, d.gather(one))
				default:
					return ctx.Err()
				}
			}
		}
	}
}

func (d *Desk) gather(first *decision) []*decision {
	out := []*decision{first}
	for len(out) < together {
		select {
		case one := <-d.decisions.queue:
			out = append(out, one)
		default:
			return out
		}
	}
	return out
}

// write records decisions, and tries again as long as the log can't. What the log refuses is refused
// for ever: it is looked at one by one, and left out.
func (d *Desk) write(ctx context.Context, some []*decision) {
	drafts := make([]tracedb.Draft, 0, len(some)+1)
	for _, one := range some {
		drafts = append(drafts, one.draft())
	}
	dropped := d.decisions.dropped.Load()
	if lost := dropped - d.decisions.told.Load(); lost > 0 {
		drafts = append(drafts, d.gap(lost))
	}
	d.record(ctx, drafts)
	d.decisions.told.Store(dropped)
	d.decisions.waiting.Add(-int64(len(some)))
}

func (d *Desk) record(ctx context.Context, drafts []tracedb.Draft) {
	for wait := again; ; wait = min(2*wait, againMost) {
		_, err := d.Note(ctx, drafts)
		if err == nil {
			return
		}
		if e := tracedb.AsError(err); e.Status < 500 && e.Code != tracedb.ErrTooMany.Code {
			if len(drafts) == 1 {
				// The same admission request, asked again after the answer changed: the first stands.
				if e.Code != tracedb.ErrConflict.Code {
					d.decisions.dropped.Add(1)
					d.Logger.ErrorContext(ctx, "a decision can't be recorded", "error", err)
				}
				return
			}
			for i := range drafts {
				d.record(ctx, drafts[i:i+1])
			}
			return
		}
		d.Logger.WarnContext(ctx, "decisions wait for the log", "decisions", len(drafts), "error", err)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			d.decisions.dropped.Add(int64(len(drafts)))
			d.Logger.ErrorContext(ctx, "decisions were lost at the end", "decisions", len(drafts))
			return
		}
	}
}

// draft is the record of a decision. Its id is the admission request's, so that whoever asks twice is
// recorded once; without one, the same answer to the same question counts once a minute.
func (one *decision) draft() tracedb.Draft {
	q := one.question
	payload := tracedb.Admission{
		Namespace: q.Namespace, Resource: clip(q.Resource), Algorithm: clip(q.Algorithm),
		Images: []string{}, Policy: Policy, Reason: one.Reason, Remedy: one.Remedy,
		ReasonNL: one.ReasonNL, RemedyNL: one.RemedyNL, Exception: one.Exception,
	}
	for _, image := range q.Images {
		if digest := catalog.Digest(image); digest != "" {
			image = digest
		}
		if image = clip(image); image == "" || !line(image) {
			image = "(no name)"
		}
		payload.Images = append(payload.Images, image)
	}
	raw, err := encode(payload)
	if err != nil {
		// Texts and whole numbers always encode.
		panic(fmt.Sprintf("encode admission: %v", err))
	}
	draft := tracedb.Draft{Kind: tracedb.KindAdmission, At: one.at, Outcome: tracedb.Denied, Payload: raw}
	if one.Allowed {
		draft.Outcome = tracedb.Allowed
	}
	if one.Repository != "" {
		draft.Refs = []tracedb.Ref{{Type: tracedb.RefRepository, Value: one.Repository}}
	}
	draft.ID = "admission/" + q.UID
	if q.UID == "" || !recordID.MatchString(draft.ID) || redact.Secret(draft.ID) != "" {
		sum := sha256.Sum256(fmt.Appendf(raw, "%s %s", draft.Outcome, one.at.UTC().Format("2006-01-02T15:04")))
		draft.ID = "admission/" + hex.EncodeToString(sum[:])
	}
	return draft
}

// gap says in the log that it doesn't know everything.
func (d *Desk) gap(lost int64) tracedb.Draft {
	raw, err := encode(tracedb.Refusal{
		Kind: tracedb.KindAdmission, Code: "unrecorded",
		Reason: fmt.Sprintf("%d admission decisions weren't recorded: they came faster than the log could take them", lost),
	})
	if err != nil {
		panic(fmt.Sprintf("encode refusal: %v", err))
	}
	return tracedb.Draft{ID: unique("unrecorded"), Kind: tracedb.KindRefusal, At: d.Now(), Outcome: tracedb.Denied, Payload: raw}
}

// clip is s as a payload can hold it. What stands where a secret was may be longer than the secret, and
// what is cut may look like one: then less of it must do.
func clip(s string) string {
	for most := maxQuestion; ; most /= 2 {
		s, _ = redact.Text(tracedb.Clip(s, most))
		if len(s) <= maxName {
			return s
		}
	}
}
