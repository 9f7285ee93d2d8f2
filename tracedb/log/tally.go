package log

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/log/store"
)

// bucket is how many records a tally sums up together.
const bucket = 256

// tally sums up rows that come in one order, to compare them with the same rows in another without
// holding or sorting them: equal multisets give equal sums, and where sums differ, one looks closer.
type tally struct{ sums []sum }

type sum struct{ rows, print uint64 }

func newTally(size int64) *tally { return &tally{make([]sum, size/bucket+1)} }

func (t *tally) add(seq int64, print string) {
	h := sha256.Sum256(fmt.Appendf(nil, "%d %s", seq, print))
	s := &t.sums[seq/bucket]
	s.rows++
	s.print += binary.BigEndian.Uint64(h[:])
}

// differ are the buckets in which two tallies differ.
func (t *tally) differ(other *tally) map[int64]bool {
	out := map[int64]bool{}
	for i := range t.sums {
		if t.sums[i] != other.sums[i] {
			out[int64(i)] = true
		}
	}
	return out
}

// compareRefs compares the stored refs with those of the leaves.
func (c *checker) compareRefs(ctx context.Context) error {
	stored := newTally(c.head.Size)
	err := store.ScanRefs(ctx, c.log.db.Read, func(seq int64, r tracedb.Ref) error {
		if seq >= 0 && seq < c.head.Size {
			stored.add(seq, refPrint(r))
		}
		return nil
	})
	if err != nil {
		return c.unreadable(PlaceRef, -1, err)
	}
	wrong := c.refs.differ(stored)
	if len(wrong) == 0 {
		return nil
	}
	found := map[int64][]string{}
	err = store.ScanRefs(ctx, c.log.db.Read, func(seq int64, r tracedb.Ref) error {
		if wrong[seq/bucket] {
			found[seq] = append(found[seq], refPrint(r))
		}
		return nil
	})
	if err != nil {
		return c.unreadable(PlaceRef, -1, err)
	}
	return c.closer(ctx, wrong, PlaceRef, found, func(s *store.Stored) ([]string, error) {
		e, err := tracedb.ParseLeaf(s.Leaf)
		var want []string
		for _, r := range e.Refs {
			want = append(want, refPrint(r))
		}
		return want, err
	})
}

// compareFacts compares the stored facts with those that the payloads give.
func (c *checker) compareFacts(ctx context.Context) error {
	stored := newTally(c.head.Size)
	gone := func(seq int64) bool { return c.disposed[seq/64]&(1<<(seq%64)) != 0 }
	err := store.ScanFacts(ctx, c.log.db.Read, func(f tracedb.Fact) error {
		if f.Seq >= 0 && f.Seq < c.head.Size {
			c.report.Facts++
			if !gone(f.Seq) {
				stored.add(f.Seq, factPrint(f))
			}
		}
		return nil
	})
	if err != nil {
		return c.unreadable(PlaceFact, -1, err)
	}
	if c.derive == nil {
		return nil
	}
	wrong := c.facts.differ(stored)
	if len(wrong) == 0 {
		return nil
	}
	found := map[int64][]string{}
	err = store.ScanFacts(ctx, c.log.db.Read, func(f tracedb.Fact) error {
		if wrong[f.Seq/bucket] && !gone(f.Seq) {
			found[f.Seq] = append(found[f.Seq], factPrint(f))
		}
		return nil
	})
	if err != nil {
		return c.unreadable(PlaceFact, -1, err)
	}
	return c.closer(ctx, wrong, PlaceFact, found, func(s *store.Stored) ([]string, error) {
		if s.Body == nil {
			return nil, nil
		}
		e, err := tracedb.ParseLeaf(s.Leaf)
		if err == nil && !fits(e, s.Body) {
			err = errBroken
		}
		if err != nil {
			return nil, err
		}
		facts, err := c.derive.derive(e, s.Body)
		if err == nil {
			facts, err = compactFacts(facts)
		}
		var want []string
		for _, f := range facts {
			// A bound fact that an earlier record brought isn't stored again.
			print := factPrint(f)
			if f.Bound && !slices.Contains(found[s.Seq], print) {
				if earlier, err := store.History(ctx, c.log.db.Read, f.Table, f.Key); err == nil && len(earlier) > 0 && earlier[0].Seq < s.Seq {
					continue
				}
			}
			want = append(want, print)
		}
		return want, err
	})
}

// closer looks at each record of the buckets that differ, and names those whose rows aren't as wanted.
func (c *checker) closer(ctx context.Context, buckets map[int64]bool, place Place, found map[int64][]string, want func(*store.Stored) ([]string, error)) error {
	for _, b := range slices.Sorted(maps.Keys(buckets)) {
		err := store.Scan(ctx, c.log.db.Read, b*bucket, min((b+1)*bucket, c.head.Size), func(s *store.Stored) error {
			want, err := want(s)
			if err != nil {
				return nil // the walk has named it
			}
			got := slices.Sorted(slices.Values(found[s.Seq]))
			slices.Sort(want)
			if !slices.Equal(got, want) {
				c.report.fault(place, s.Seq, "stored: [%s]; the record says: [%s]", strings.Join(got, "; "), strings.Join(want, "; "))
			}
			return nil
		})
		if err != nil {
			return c.unreadable(place, b*bucket, err)
		}
	}
	return nil
}
