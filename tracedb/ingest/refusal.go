package ingest

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/druppie/druppie-up/tracedb"
)

// Refusals are recorded at most so often, or a client that is refused could fill the disk with it: in the
// long run one in ten seconds for a writer, and ten a second for all.
const (
	refusalEvery    = 10 * time.Second
	refusalBurst    = 20
	refusalAll      = 10
	refusalAllBurst = 200
	// maxWriters is how many writers have a limiter of their own; the rest share one limiter.
	maxWriters = 1000
	// refusalTime is how long an answer waits at most for its refusal to be written down.
	refusalTime = 2 * time.Second
)

// recordable are the codes of refusals that somebody may want to know of later.
var recordable = []string{
	tracedb.ErrForbidden.Code, tracedb.ErrInvalidSignature.Code, tracedb.ErrReplayed.Code,
	tracedb.ErrBound.Code, tracedb.ErrTooLarge.Code, tracedb.ErrConflict.Code,
}

// refusals limit how many of them are recorded.
type refusals struct {
	refused, unrecorded atomic.Int64

	mu      sync.Mutex
	all     *rate.Limiter
	writers map[string]*limiter
}

func newRefusals() *refusals {
	return &refusals{all: rate.NewLimiter(refusalAll, refusalAllBurst), writers: map[string]*limiter{}}
}

type limiter struct {
	*rate.Limiter
	left int64 // out since the last one that was recorded
}

// allow says whether one more refusal of that writer is recorded, and how many weren't since the last.
func (r *refusals) allow(writer string, now time.Time) (left int64, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.writers[writer]
	if m == nil {
		if len(r.writers) >= maxWriters {
			writer = ""
		}
		if m = r.writers[writer]; m == nil {
			m = &limiter{Limiter: rate.NewLimiter(rate.Every(refusalEvery), refusalBurst)}
			r.writers[writer] = m
		}
	}
	if !m.AllowN(now, 1) || !r.all.AllowN(now, 1) {
		m.left++
		return 0, false
	}
	left, m.left = m.left, 0
	return left, true
}

// refuse records that a draft was refused. Whatever comes of it, the answer to the writer stays.
func (in *Ingester) refuse(ctx context.Context, who tracedb.Identity, draft tracedb.Draft, why *tracedb.Error) {
	in.refusals.refused.Add(1)
	if !slices.Contains(recordable, why.Code) && why.Hint != secretHint {
		return
	}
	left, ok := in.refusals.allow(who.Name, in.o.Now())
	if !ok {
		in.refusals.unrecorded.Add(1)
		return
	}
	payload := tracedb.Refusal{Code: why.Code, Reason: why.Error()}
	if left > 0 {
		payload.Reason += fmt.Sprintf(" (and %d refusals before this one weren't recorded: too many at once)", left)
	}
	// Only what has the right shape is repeated; the rest could be anything.
	if ValidID(draft.ID) {
		payload.ID = draft.ID
	}
	if _, ok := draft.Kind.Info(); ok {
		payload.Kind = draft.Kind
	}
	if len(draft.Payload) > 0 {
		payload.Payload = tracedb.Digest(draft.Payload)
	}
	// A writer that hangs up mustn't get away unseen.
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), refusalTime)
	defer stop()
	_, err := in.AppendOwn(ctx, []tracedb.Draft{{
		ID: "refusal/" + rand.Text(), Kind: tracedb.KindRefusal, Actor: actor("", who.Name, Writer), Outcome: tracedb.Denied, Payload: tracedb.MustJSON(payload),
	}})
	if err != nil {
		in.refusals.unrecorded.Add(1)
		in.o.Logger.ErrorContext(ctx, "a refusal wasn't recorded", "writer", who.Name, "code", why.Code, "error", err)
	}
}
