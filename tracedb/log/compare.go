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

// bucket is how many records one sum is over.
const bucket = 256

// multisetHash sums up hashes of rows that come in one order, to compare them with the same rows in another without
// holding or sorting them: equal multisets give equal sums, and where sums differ, one looks closer.
type multisetHash struct{ sums []sum }

type sum struct{ rows, hash uint64 }

func newMultisetHash(size int64) *multisetHash { return &multisetHash{make([]sum, size/bucket+1)} }

func (m *multisetHash) add(seq int64, row string) {
	h := sha256.Sum256(fmt.Appendf(nil, "%d %s", seq, row))
	s := &m.sums[seq/bucket]
	s.rows++
	s.hash += binary.BigEndian.Uint64(h[:])
}

// differ are the buckets in which two differ.
func (m *multisetHash) differ(other *multisetHash) map[int64]bool {
	out := map[int64]bool{}
	for i := range m.sums {
		if m.sums[i] != other.sums[i] {
			out[int64(i)] = true
		}
	}
	return out
}

// rows is a table that is derived from the log.
type rows struct {
	place Place
	want  *multisetHash // as the records give them
	// scan calls each with every stored row that a record still accounts for.
	scan func(each func(seq int64, row string)) error
	// of says which rows one record gives; found are those that are stored.
	of func(s *store.Stored, found []string) ([]string, error)
}

// compare compares stored rows with those that the records give, and names the records whose differ.
func (c *checker) compare(ctx context.Context, r rows) error {
	within := func(seq int64) bool { return seq >= 0 && seq < c.head.Size }
	stored := newMultisetHash(c.head.Size)
	err := r.scan(func(seq int64, row string) {
		if within(seq) {
			stored.add(seq, row)
		}
	})
	if err != nil {
		return c.unreadable(r.place, -1, err)
	}
	wrong := r.want.differ(stored)
	if len(wrong) == 0 {
		return nil
	}
	found := map[int64][]string{}
	err = r.scan(func(seq int64, row string) {
		if within(seq) && wrong[seq/bucket] {
			found[seq] = append(found[seq], row)
		}
	})
	if err != nil {
		return c.unreadable(r.place, -1, err)
	}
	return c.compareRecords(ctx, wrong, r, found)
}

// compareRefs compares the stored refs with those of the leaves.
func (c *checker) compareRefs(ctx context.Context) error {
	return c.compare(ctx, rows{PlaceRef, c.refs,
		func(each func(int64, string)) error {
			return store.ScanRefs(ctx, c.log.db.Read, func(seq int64, r tracedb.Ref) error {
				each(seq, encodeRef(r))
				return nil
			})
		},
		func(s *store.Stored, _ []string) ([]string, error) {
			e, err := tracedb.ParseLeaf(s.Leaf)
			var want []string
			for _, r := range e.Refs {
				want = append(want, encodeRef(r))
			}
			return want, err
		}})
}

// compareFacts compares the stored facts with those that the payloads give, and counts them.
func (c *checker) compareFacts(ctx context.Context) error {
	scan := func(each func(int64, string)) error {
		c.report.Facts = 0
		return store.ScanFacts(ctx, c.log.db.Read, func(f tracedb.Fact) error {
			if f.Seq >= 0 && f.Seq < c.head.Size {
				c.report.Facts++
				if !c.gone(f.Seq) {
					each(f.Seq, encodeFact(f))
				}
			}
			return nil
		})
	}
	if c.derive == nil {
		if err := scan(func(int64, string) {}); err != nil {
			return c.unreadable(PlaceFact, -1, err)
		}
		return nil
	}
	return c.compare(ctx, rows{PlaceFact, c.facts, scan, func(s *store.Stored, found []string) ([]string, error) {
		e, err := attributed(s)
		if e == nil || err != nil {
			return nil, err
		}
		facts, err := c.derive.derive(*e, s.Payload)
		if err == nil {
			facts, err = compactFacts(facts)
		}
		var want []string
		for _, f := range facts {
			// A bound fact that an earlier record brought isn't stored again.
			row := encodeFact(f)
			if f.Bound && !slices.Contains(found, row) {
				if earlier, err := store.History(ctx, c.log.db.Read, f.Table, f.Key); err == nil && len(earlier) > 0 && earlier[0].Seq < s.Seq {
					continue
				}
			}
			want = append(want, row)
		}
		return want, err
	}})
}

// compareAttestations compares the stored attestations with those that the payloads hold: one that isn't
// known could be recorded again.
func (c *checker) compareAttestations(ctx context.Context) error {
	if c.log.opts.Unique == nil {
		return nil
	}
	return c.compare(ctx, rows{PlaceAttestation, c.attested,
		func(each func(int64, string)) error {
			return store.ScanAttestations(ctx, c.log.db.Read, func(seq int64, digest string) error {
				if seq >= 0 && seq < c.head.Size && !c.gone(seq) {
					each(seq, encodeAttestation(digest))
				}
				return nil
			})
		},
		func(s *store.Stored, _ []string) ([]string, error) {
			e, err := attributed(s)
			if e == nil || err != nil {
				return nil, err
			}
			digest, err := c.log.opts.Unique(*e, s.Payload)
			if digest == "" || err != nil {
				return nil, err
			}
			return []string{encodeAttestation(digest)}, nil
		}})
}

// attributed is the entry whose payload is there and its own; nil if there is none.
func attributed(s *store.Stored) (*tracedb.Entry, error) {
	if s.Payload == nil {
		return nil, nil
	}
	e, err := tracedb.ParseLeaf(s.Leaf)
	if err == nil && !matchesDigest(e, s.Payload) {
		err = errCorrupt
	}
	return &e, err
}

// compareRecords compares each record of the buckets that differ, and names those whose rows aren't as wanted.
func (c *checker) compareRecords(ctx context.Context, buckets map[int64]bool, r rows, found map[int64][]string) error {
	for _, b := range slices.Sorted(maps.Keys(buckets)) {
		err := store.Scan(ctx, c.log.db.Read, b*bucket, min((b+1)*bucket, c.head.Size), func(s *store.Stored) error {
			want, err := r.of(s, found[s.Seq])
			if err != nil {
				return nil // the walk has named it
			}
			got := slices.Sorted(slices.Values(found[s.Seq]))
			slices.Sort(want)
			if !slices.Equal(got, want) {
				c.report.fault(r.place, s.Seq, "stored: [%s]; the record says: [%s]", strings.Join(got, "; "), strings.Join(want, "; "))
			}
			return nil
		})
		if err != nil {
			return c.unreadable(r.place, b*bucket, err)
		}
	}
	return nil
}
