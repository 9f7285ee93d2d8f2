package collect

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/druppie/druppie-up/tracedb"
)

const (
	// maxBatch is how many records go to the log at once.
	maxBatch = 100
	// maxRecent is how many ids are remembered to spare the log a question.
	maxRecent = 8192
	// skew is how far the clocks of the cluster may be apart from the log's.
	skew = time.Hour

	firstPause = time.Second
	lastPause  = time.Minute
)

// recorder brings the drafts of one collector to the log.
type recorder struct {
	name   string // collector's, gitea
	kinds  []tracedb.Kind
	sink   Sink
	log    tracedb.Reader // nil: the sink alone says what is there
	logger *slog.Logger
	health *health
	now    func() time.Time
	pause  func(ctx context.Context, d time.Duration) error

	mu     sync.Mutex
	recent map[string]bool
	order  []string // of recent, oldest first
}

// newRecorder fills in what a caller may leave out.
func newRecorder(name string, sink Sink, log tracedb.Reader, logger *slog.Logger, h *health, kinds ...tracedb.Kind) *recorder {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	return &recorder{
		name: name, kinds: kinds, sink: sink, log: log, logger: logger.With("collector", name),
		health: h, now: time.Now, pause: sleep, recent: map[string]bool{},
	}
}

func (r *recorder) identity() tracedb.Identity {
	return tracedb.Identity{
		Name: "collector:" + r.name, Roles: []tracedb.Role{tracedb.RoleWriter}, Kinds: slices.Clone(r.kinds),
	}
}

// put brings drafts to the log, in order, and tries until they are there or ctx ends: who calls it
// waits, and so does what it reads from, which keeps what comes meanwhile.
func (r *recorder) put(ctx context.Context, drafts []tracedb.Draft) error {
	for wait := firstPause; ; wait = min(2*wait, lastPause) {
		err := r.tryPut(ctx, drafts)
		if err == nil {
			r.health.drop("log")
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		r.health.blocked(r.now(), err)
		r.logger.WarnContext(ctx, "the log took nothing; trying again", "error", err, "pause", wait)
		if err := r.pause(ctx, wait); err != nil {
			return err
		}
	}
}

// tryPut brings drafts to the log and tries once. What the log will never take is said and dropped, or
// one record would stop all that follow.
func (r *recorder) tryPut(ctx context.Context, drafts []tracedb.Draft) error {
	drafts = slices.DeleteFunc(slices.Clone(drafts), func(d tracedb.Draft) bool { return r.seen(d.ID) })
	for i := range drafts {
		drafts[i].At = credible(drafts[i].At, r.now())
	}
	for batch := range slices.Chunk(drafts, maxBatch) {
		batch = slices.DeleteFunc(slices.Clone(batch), func(d tracedb.Draft) bool {
			if !r.known(ctx, d) {
				return false
			}
			r.health.count(0, 1, 0)
			r.remember(d.ID)
			return true
		})
		if len(batch) == 0 {
			continue
		}
		err := r.take(ctx, batch)
		if permanent(err) && len(batch) > 1 {
			// One of them; the others must not suffer for it.
			for i := range batch {
				if err = r.take(ctx, batch[i:i+1]); err != nil {
					if err = r.refused(ctx, batch[i], err); err != nil {
						return err
					}
				}
			}
			continue
		}
		if err != nil {
			if len(batch) > 1 {
				return err
			}
			if err := r.refused(ctx, batch[0], err); err != nil {
				return err
			}
		}
	}
	return nil
}

// credible is when it happened, if it can have been then: whoever makes a commit chooses its date, and
// must not escape the log by choosing one that it refuses.
func credible(at, now time.Time) time.Time {
	switch {
	case at.After(now):
		return tracedb.Instant(now)
	case at.Year() < 2000:
		return time.Time{}
	}
	return at
}

func (r *recorder) take(ctx context.Context, batch []tracedb.Draft) error {
	receipts, err := r.sink(ctx, r.identity(), batch)
	if err != nil {
		return err
	}
	duplicates := 0
	for _, receipt := range receipts {
		if receipt.Duplicate {
			duplicates++
		}
	}
	r.health.count(len(batch)-duplicates, duplicates, 0)
	for _, d := range batch {
		r.remember(d.ID)
	}
	return nil
}

// refused deals with the refusal of one record; it returns err if trying again may help.
func (r *recorder) refused(ctx context.Context, d tracedb.Draft, err error) error {
	switch {
	case exists(err):
		// Told again in other words, most likely; or another event was given the same id, and is lost.
		r.health.count(0, 1, 0)
		r.logger.WarnContext(ctx, "the log has another record under this id", "id", d.ID, "kind", d.Kind, "error", err)
	case permanent(err):
		r.health.count(0, 0, 1)
		r.logger.ErrorContext(ctx, "the log refuses a record", "id", d.ID, "kind", d.Kind, "error", err)
	default:
		return err
	}
	r.remember(d.ID)
	return nil
}

// known asks the log whether it has the record: the same event may come with other words the second
// time (through the webhook, and from the list), and the first telling stays.
func (r *recorder) known(ctx context.Context, d tracedb.Draft) bool {
	if r.log == nil {
		return false
	}
	q := tracedb.Query{Kinds: []tracedb.Kind{d.Kind}, Refs: telling(d.Refs), Limit: tracedb.MaxPage}
	if !d.At.IsZero() {
		q.From = d.At.Add(-skew) // nothing is in the log before it happened
	}
	page, err := r.log.Search(ctx, q)
	if err != nil {
		// The sink knows it too, but refuses it in other words.
		r.logger.WarnContext(ctx, "can't ask the log whether it has a record", "id", d.ID, "kind", d.Kind, "error", err)
		return false
	}
	who := r.identity().Name
	return slices.ContainsFunc(page.Entries, func(e tracedb.Entry) bool { return e.ID == d.ID && e.Writer == who })
}

// telling are as many of a record's refs as one search takes, one of each type before a second of any: few
// records are about the same thing of every type.
func telling(refs []tracedb.Ref) []tracedb.Ref {
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
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.recent[id]
}

func (r *recorder) remember(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.recent[id] {
		return
	}
	r.recent[id] = true
	r.order = append(r.order, id)
	if len(r.order) > maxRecent {
		delete(r.recent, r.order[0])
		r.order = r.order[1:]
	}
}

// sleep waits, or ends with ctx.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// draft makes a record with its payload. What can't be encoded is a mistake of ours, since every
// payload is a struct of package tracedb.
func draft(id string, kind tracedb.Kind, actor string, at time.Time, outcome tracedb.Outcome, payload any, refs ...tracedb.Ref) tracedb.Draft {
	body, err := json.Marshal(payload)
	if err != nil {
		panic(fmt.Sprintf("encode a %s: %v", kind, err))
	}
	// What isn't shaped as a name of its type comes from somebody who wrote something else there.
	refs = tracedb.SortRefs(slices.DeleteFunc(slices.Clone(refs), func(r tracedb.Ref) bool { return r.Check() != nil }))
	if len(refs) > tracedb.MaxRefs {
		refs = refs[:tracedb.MaxRefs]
	}
	return tracedb.Draft{
		ID: tidy(id), Kind: kind, Actor: actor, At: tracedb.Instant(at), Outcome: outcome, Refs: refs, Payload: body,
	}
}

// tidy keeps ids short and printable, whatever a branch may be called.
func tidy(id string) string {
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

// hash is a short digest of texts, for ids: long enough that nobody meets another's by chance, and
// nobody who could choose the texts gains by it, since an id only tells records of one writer apart.
func hash(texts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(texts, "\x00")))
	return hex.EncodeToString(sum[:12])
}

// maxName is the most of a name or a title from outside that goes into a payload.
const maxName = 300

// nobody stands where a name must be and nobody said one.
const nobody = "unknown"

// first is the first text that isn't empty, as a name.
func first(texts ...string) string { return tracedb.Clip(cmp.Or(append(texts, nobody)...), maxName) }

// maxText is the most of a text from outside that goes into a payload.
const maxText = 16 << 10
