package ingest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/singleflight"
	"k8s.io/utils/lru"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/log"
)

// AppendOwn adds records of the service's own kinds, under its own name.
func (in *Ingester) AppendOwn(ctx context.Context, drafts []tracedb.Draft) ([]tracedb.Receipt, error) {
	prepared := make([]log.Prepared, len(drafts))
	for i, draft := range drafts {
		info, ok := draft.Kind.Info()
		if !ok || !info.Internal && draft.Kind != tracedb.KindAdmission {
			return nil, fmt.Errorf("append: the service doesn't write records of the kind %q", draft.Kind)
		}
		p, err := in.check(ctx, Writer, draft)
		if err != nil {
			return nil, fmt.Errorf("append %s: %w", draft.Kind, err)
		}
		prepared[i] = p
	}
	return in.append(ctx, Writer, prepared)
}

// RecordKeyring records what changed in the keyring since the log last knew: keys that joined, that may sign
// something else now, that were retired, and that are gone, which the log calls retired, too.
func (in *Ingester) RecordKeyring(ctx context.Context) error {
	facts, err := in.o.Log.Facts(ctx, TableKey)
	if err != nil {
		return fmt.Errorf("read the keyring that the log knows: %w", err)
	}
	known := map[string]tracedb.Key{}
	seqs := map[string]int64{}
	for _, f := range facts {
		var k tracedb.Key
		if err := json.Unmarshal(f.Value, &k); err != nil {
			return fmt.Errorf("read the keyring that the log knows: %w", err)
		}
		known[f.Key], seqs[f.Key] = k, f.Seq+1
	}
	keys := in.o.Keyring.Keys(in.o.Now())
	here := map[string]bool{}
	for _, k := range keys {
		here[k.Fingerprint] = true
	}
	for fingerprint, k := range known {
		if !here[fingerprint] {
			k.Retired = true
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, func(a, b tracedb.Key) int { return strings.Compare(a.Fingerprint, b.Fingerprint) })
	var drafts []tracedb.Draft
	for _, k := range keys {
		old, ok := known[k.Fingerprint]
		if ok && old.Name == k.Name && old.Retired == k.Retired && slices.Equal(old.Kinds, k.Kinds) {
			continue
		}
		// Several programs that start at once say the same under one id.
		drafts = append(drafts, tracedb.Draft{
			ID:   fmt.Sprintf("key/%s/%d", strings.TrimPrefix(k.Fingerprint, "SHA256:"), seqs[k.Fingerprint]),
			Kind: tracedb.KindKey, Payload: tracedb.MustJSON(k),
		})
	}
	if len(drafts) == 0 {
		return nil
	}
	if _, err := in.AppendOwn(ctx, drafts); err != nil {
		return fmt.Errorf("record the keyring: %w", err)
	}
	return nil
}

const (
	// readEvery is how long one record covers an auditor's reads of the same thing.
	readEvery = time.Minute
	// readTimeout is how long a read may take to be recorded; those who read the same thing wait as long.
	readTimeout = 10 * time.Second
	// maxReads is how many reads are remembered before the old ones are forgotten.
	maxReads = 10_000
)

// reads remembers when who read what, and was recorded.
type reads struct {
	flight singleflight.Group
	last   *lru.Cache // time.Time by who, what and of
}

func newReads() *reads { return &reads{last: lru.New(maxReads)} }

// recorded says whether a read was recorded in the minute before now.
func (r *reads) recorded(key string, now time.Time) bool {
	found, _ := r.last.Get(key)
	last, ok := found.(time.Time)
	return ok && now.Sub(last) < readEvery && !now.Before(last)
}

// RecordRead records that an auditor read something, at most once a minute for who, what and of. When it
// returns nil the record is in the log, also for those who read the same thing at the same time. What
// can't be recorded isn't to be shown, except that a full disk stops no reading: it must not blind those who look
// for the cause, and the service's own log has the read. What is read must fit into the record: a part of a query
// doesn't say what was read.
func (in *Ingester) RecordRead(ctx context.Context, who tracedb.Identity, read tracedb.Read) error {
	if who.Name == "" {
		return tracedb.ErrUnauthenticated
	}
	if len(read.Of) > MaxName {
		return tracedb.ErrInvalid.Says("what is asked for is too long to be recorded: it has more than %d bytes", MaxName).WithHint("ask for less at once")
	}
	sum := sha256.Sum256([]byte(who.Name + "\x00" + read.What + "\x00" + read.Of))
	key := hex.EncodeToString(sum[:16])
	_, err, _ := in.reads.flight.Do(key, func() (any, error) {
		now := in.o.Now()
		if in.reads.recorded(key, now) {
			return nil, nil
		}
		// Others wait for this record too, so it mustn't end with the first one's request.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readTimeout)
		defer cancel()
		if err := in.appendRead(ctx, who, read, fmt.Sprintf("read/%s/%d", key, now.UnixMicro())); err != nil {
			return nil, err
		}
		in.reads.last.Add(key, now)
		return nil, nil
	})
	if errors.Is(err, tracedb.ErrFull) {
		in.o.Logger.WarnContext(ctx, "a read could not be recorded: the disk is full", "who", who.Name, "what", read.What, "of", read.Of)
		return nil
	}
	return err
}

func (in *Ingester) appendRead(ctx context.Context, who tracedb.Identity, read tracedb.Read, id string) error {
	_, err := in.AppendOwn(ctx, []tracedb.Draft{{ID: id, Kind: tracedb.KindRead, Actor: actor("", who.Name, Writer), Payload: tracedb.MustJSON(read)}})
	return err
}
