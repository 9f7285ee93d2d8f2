package collect

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/utils/lru"

	"github.com/druppie/druppie-up/tracedb"
)

const (
	// maxBatch is how many records go to the log at once.
	maxBatch = 100
	// maxRecent is how many ids are remembered to spare the log a query.
	maxRecent = 8192
	// skew is how far the clocks of the cluster may be apart from the log's.
	skew = time.Hour
	// maxSearchPages bounds how far back the log is searched.
	maxSearchPages = 20

	// perSecond and burst bound a collector's records: what it reads from has those that wait. A flight makes some sixty.
	perSecond = 5
	burst     = 500

	initialBackoff = time.Second
	maxBackoff     = time.Minute
)

// recorder brings the drafts of one collector to the log.
type recorder struct {
	Options
	name     string // in Status: gitea-forge
	identity tracedb.Identity
	health   health
	now      func() time.Time
	pause    func(ctx context.Context, d time.Duration) error
	relist   time.Duration
	recent   *lru.Cache // ids that the log has
	limit    *rate.Limiter
}

// newRecorder is the recorder of a collector. Those of one source, such as gitea and gitea-forge, write under
// one name, by which the log knows a record again.
func newRecorder(name string, o Options, kinds ...tracedb.Kind) *recorder {
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler)).With("collector", name)
	source, _, _ := strings.Cut(name, "-")
	return &recorder{
		Options: o, name: name, now: time.Now, pause: sleep, relist: relist, recent: lru.New(maxRecent), limit: rate.NewLimiter(perSecond, burst),
		identity: tracedb.Identity{Name: "collector:" + source, Roles: []tracedb.Role{tracedb.RoleWriter}, Kinds: kinds},
	}
}

// Status is how the collector is doing.
func (r *recorder) Status() Status { return r.health.read(r.name) }

// put brings drafts to the log, in order, and retries with exponential backoff until they are there or ctx ends: who calls it
// waits, and so does what it reads from, which keeps what comes meanwhile.
func (r *recorder) put(ctx context.Context, drafts ...tracedb.Draft) error {
	for wait := initialBackoff; ; wait = min(2*wait, maxBackoff) {
		err := r.tryPut(ctx, drafts)
		if err == nil {
			r.health.drop("log")
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		r.health.blocked(r.now(), err)
		r.Logger.WarnContext(ctx, "the log took nothing; trying again", "error", err, "pause", wait)
		if err := r.pause(ctx, wait); err != nil {
			return err
		}
	}
}

// tryPut brings drafts to the log and tries once. What the log will never take is logged and dropped, or
// one record would stop all that follow.
func (r *recorder) tryPut(ctx context.Context, drafts []tracedb.Draft) error {
	drafts = slices.DeleteFunc(slices.Clone(drafts), func(d tracedb.Draft) bool { return r.seen(d.ID) })
	for i := range drafts {
		drafts[i].At = plausibleTime(drafts[i].At, r.now())
	}
	for batch := range slices.Chunk(drafts, maxBatch) {
		batch = slices.DeleteFunc(slices.Clone(batch), func(d tracedb.Draft) bool {
			if !r.recorded(ctx, d) {
				return false
			}
			r.health.count(0, 1, 0)
			r.remember(d.ID)
			return true
		})
		if len(batch) == 0 {
			continue
		}
		if err := r.slow(ctx); err != nil {
			return err
		}
		if err := r.append(ctx, batch); err != nil {
			return err
		}
		r.limit.ReserveN(r.now(), len(batch)) // what is tried again in vain costs nothing
	}
	return nil
}

// slow waits until more may go to the log: whoever makes things happen fast must not fill the disk, nor keep others from
// the log.
func (r *recorder) slow(ctx context.Context) error {
	now := r.now()
	wait := r.limit.ReserveN(now, 0).DelayFrom(now)
	if wait == 0 {
		return nil
	}
	r.Logger.WarnContext(ctx, "more happens than is recorded at once; the rest waits", "pause", wait)
	return r.pause(ctx, wait)
}

// plausibleTime is when it happened, if it can have been then: whoever makes a commit chooses its date, and
// must not escape the log by choosing one that it refuses.
func plausibleTime(at, now time.Time) time.Time {
	switch {
	case at.After(now):
		return tracedb.Instant(now)
	case at.Year() < 2000:
		return time.Time{}
	}
	return at
}

// append adds a batch to the log. If the log will never take it, each record is tried alone, since the others
// must not be lost for one of them.
func (r *recorder) append(ctx context.Context, batch []tracedb.Draft) error {
	receipts, err := r.Sink(ctx, r.identity, batch)
	switch {
	case err == nil:
	case !permanent(err):
		return err
	case len(batch) == 1:
		r.refused(ctx, batch[0], err)
		return nil
	default:
		for i := range batch {
			if err := r.append(ctx, batch[i:i+1]); err != nil {
				return err
			}
		}
		return nil
	}
	duplicates := 0
	for i, receipt := range receipts {
		if receipt.Duplicate {
			duplicates++
		}
		r.remember(batch[i].ID)
	}
	r.health.count(len(batch)-duplicates, duplicates, 0)
	return nil
}

// refused logs that the log will never take a record.
func (r *recorder) refused(ctx context.Context, d tracedb.Draft, err error) {
	if errors.Is(err, tracedb.ErrConflict) || errors.Is(err, tracedb.ErrReplayed) {
		// The same event in other words, most likely; or another event was given the same id, and is lost.
		r.health.count(0, 1, 0)
		r.Logger.WarnContext(ctx, "the log has another record under this id", "id", d.ID, "kind", d.Kind, "error", err)
	} else {
		r.health.count(0, 0, 1)
		r.Logger.ErrorContext(ctx, "the log refuses a record", "id", d.ID, "kind", d.Kind, "error", err)
	}
	r.remember(d.ID)
}

// recorded asks the log whether it has the record: the same event may come with other words the second
// time (through the webhook, and from the list), and the first record stays.
func (r *recorder) recorded(ctx context.Context, d tracedb.Draft) bool {
	if r.Log == nil {
		return false
	}
	q := tracedb.Query{Kinds: []tracedb.Kind{d.Kind}, Refs: selectiveRefs(d.Refs), Limit: tracedb.MaxPage}
	if !d.At.IsZero() {
		q.From = d.At.Add(-skew) // nothing is in the log before it happened
	}
	page, err := r.Log.Search(ctx, q)
	if err != nil {
		// The sink knows it too, but refuses it in other words.
		r.Logger.WarnContext(ctx, "can't ask the log whether it has a record", "id", d.ID, "kind", d.Kind, "error", err)
		return false
	}
	return slices.ContainsFunc(page.Entries, func(e tracedb.Entry) bool { return e.ID == d.ID && e.Writer == r.identity.Name })
}

// own calls each with the collector's own entries that a search finds, newest first.
func (r *recorder) own(ctx context.Context, q tracedb.Query, each func(tracedb.Entry) error) error {
	q.Limit = tracedb.MaxPage
	for range maxSearchPages {
		page, err := r.Log.Search(ctx, q)
		if err != nil {
			return err
		}
		for _, e := range page.Entries {
			if e.Writer != r.identity.Name {
				continue
			}
			if err := each(e); err != nil {
				return err
			}
		}
		if page.Next == 0 {
			return nil
		}
		q.Before = page.Next
	}
	r.Logger.WarnContext(ctx, "too many records: older ones aren't looked for", "kinds", q.Kinds, "refs", q.Refs, "before", q.Before)
	return nil
}

// selectiveRefs are as many of a record's refs as one search takes, one of each type before a second of any: few
// records are about the same thing of every type.
func selectiveRefs(refs []tracedb.Ref) []tracedb.Ref {
	refs = tracedb.SortRefs(refs)
	seen := map[tracedb.RefType]int{}
	nth := make(map[tracedb.Ref]int, len(refs))
	for _, r := range refs {
		nth[r] = seen[r.Type]
		seen[r.Type]++
	}
	slices.SortStableFunc(refs, func(a, b tracedb.Ref) int { return nth[a] - nth[b] })
	return refs[:min(len(refs), tracedb.MaxQueryRefs)]
}

func (r *recorder) seen(id string) bool {
	_, ok := r.recent.Get(id)
	return ok
}

func (r *recorder) remember(id string) { r.recent.Add(id, nil) }

// sleep waits, or ends with ctx.
func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// draft makes a record with its payload, a struct of package tracedb.
func draft(id string, kind tracedb.Kind, actor string, at time.Time, outcome tracedb.Outcome, payload any, refs ...tracedb.Ref) tracedb.Draft {
	// What isn't shaped as a name of its type comes from somebody who wrote something else there.
	refs = tracedb.SortRefs(slices.DeleteFunc(slices.Clone(refs), func(r tracedb.Ref) bool { return r.Check() != nil }))
	if len(refs) > tracedb.MaxRefs {
		refs = refs[:tracedb.MaxRefs]
	}
	return tracedb.Draft{
		ID: shortID(id), Kind: kind, Actor: actor, At: tracedb.Instant(at), Outcome: outcome, Refs: refs, Payload: tracedb.MustJSON(payload),
	}
}

// shortID keeps ids short and printable, whatever a branch may be called.
func shortID(id string) string {
	const most = 250
	odd := strings.ContainsFunc(id, func(r rune) bool { return r <= ' ' || r > '~' })
	if len(id) <= most && !odd {
		return id
	}
	kind, _, _ := strings.Cut(id, "/")
	return kind + "/" + hash(id)
}

func ref(t tracedb.RefType, value string) tracedb.Ref { return tracedb.Ref{Type: t, Value: value} }

func refs(t tracedb.RefType, values []string) []tracedb.Ref {
	out := make([]tracedb.Ref, len(values))
	for i, v := range values {
		out[i] = ref(t, v)
	}
	return out
}

// hash is a short digest of texts, for ids: long enough not to collide by chance, and
// nobody who could choose the texts gains by a collision, since an id only tells records of one writer apart.
func hash(texts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(texts, "\x00")))
	return hex.EncodeToString(sum[:12])
}

// maxName is the most of a name or a title from outside that goes into a payload.
const maxName = 300

// unknown is the name where one must be and none is given.
const unknown = "unknown"

// first is the first text that isn't empty, as a name.
func first(texts ...string) string { return tracedb.Clip(cmp.Or(append(texts, unknown)...), maxName) }

// maxText is the most of a text from outside that goes into a payload.
const maxText = 16 << 10
