package log

import (
	"bytes"
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

// projection is a table that is derived from the log, and how it is compared with it.
type projection struct {
	place Place
	want  *multisetHash // as the records give it
	// scan calls f with every stored row that a record still accounts for.
	scan func(f func(seq int64, row string)) error
	// rows are those that a record gives; payload is nil if it is gone or isn't the record's. Nil: the rows can't be
	// derived here.
	rows func(e tracedb.Entry, payload []byte) ([]string, error)
	// payload says that the rows are derived from the payload.
	payload bool
}

// expect notes the rows that a record gives.
func (p *projection) expect(c *checker, e tracedb.Entry, payload []byte) {
	if p.rows == nil || p.payload && payload == nil {
		return
	}
	rows, err := p.rows(e, payload)
	if err != nil {
		c.report.fault(p.place, e.Seq, "can't be derived: %v", err)
	}
	for _, row := range rows {
		p.want.add(e.Seq, row)
	}
}

// within says whether a record is of the log that is checked.
func (c *checker) within(seq int64) bool { return seq >= 0 && seq < c.head.Size }

// compare compares stored rows with those that the records give, and names the records whose differ.
func (c *checker) compare(ctx context.Context, p *projection) error {
	stored := newMultisetHash(c.head.Size)
	err := p.scan(func(seq int64, row string) { stored.add(seq, row) })
	if err != nil {
		return c.unreadable(p.place, -1, err)
	}
	wrong := p.want.differ(stored)
	if p.rows == nil || len(wrong) == 0 {
		return nil
	}
	found := map[int64][]string{}
	err = p.scan(func(seq int64, row string) {
		if wrong[seq/bucket] {
			found[seq] = append(found[seq], row)
		}
	})
	if err != nil {
		return c.unreadable(p.place, -1, err)
	}
	for _, b := range slices.Sorted(maps.Keys(wrong)) {
		err := store.Scan(ctx, c.log.db.Read, b*bucket, min((b+1)*bucket, c.head.Size), func(s store.Stored) error {
			e, err := tracedb.ParseLeaf(s.Leaf)
			if err != nil || p.payload && s.Payload != nil && !e.HasPayload(s.Payload) {
				return nil // it was named when the record was read
			}
			var want []string
			if !p.payload || s.Payload != nil {
				if want, err = p.rows(e, s.Payload); err != nil {
					return nil // so was this
				}
			}
			got := slices.Sorted(slices.Values(found[s.Seq]))
			slices.Sort(want)
			if !slices.Equal(got, want) {
				c.report.fault(p.place, s.Seq, "stored: [%s]; the record says: [%s]", strings.Join(got, "; "), strings.Join(want, "; "))
			}
			return nil
		})
		if err != nil {
			return c.unreadable(p.place, b*bucket, err)
		}
	}
	return nil
}

// refs are compared with those of the leaves.
func (c *checker) refs(ctx context.Context) *projection {
	encode := func(r tracedb.Ref) string { return fmt.Sprintf("%q %q", r.Type, r.Value) }
	return &projection{
		place: PlaceRef, want: newMultisetHash(c.head.Size),
		scan: func(f func(int64, string)) error {
			return store.ScanRefs(ctx, c.log.db.Read, func(r store.StoredRef) error {
				if c.within(r.Seq) {
					f(r.Seq, encode(r.Ref))
				}
				return nil
			})
		},
		rows: func(e tracedb.Entry, _ []byte) (rows []string, _ error) {
			for _, r := range e.Refs {
				rows = append(rows, encode(r))
			}
			return rows, nil
		},
	}
}

// facts are compared with those that the payloads give, and counted.
func (c *checker) facts(ctx context.Context) *projection {
	encode := func(f tracedb.Fact) string {
		return fmt.Sprintf("%q %q %q %t", f.Table, f.Key, bytes.TrimSpace(f.Value), f.Bound)
	}
	p := &projection{
		place: PlaceFact, want: newMultisetHash(c.head.Size), payload: true,
		scan: func(each func(int64, string)) error {
			c.report.Facts = 0
			return store.ScanFacts(ctx, c.log.db.Read, func(f tracedb.Fact) error {
				if c.within(f.Seq) {
					c.report.Facts++
					if !c.gone(f.Seq) {
						each(f.Seq, encode(f))
					}
				}
				return nil
			})
		},
	}
	if c.log.opts.Derive == nil {
		return p
	}
	derive := &deriver{derive: c.log.opts.Derive, bound: map[factKey]int64{}}
	p.rows = func(e tracedb.Entry, payload []byte) (rows []string, _ error) {
		facts, err := derive.facts(e, payload)
		for _, f := range facts {
			rows = append(rows, encode(f))
		}
		return rows, err
	}
	return p
}

// attestations are compared with those that the payloads hold: one that isn't known could be recorded again.
func (c *checker) attestations(ctx context.Context) *projection {
	encode := func(digest string) string { return fmt.Sprintf("%q", digest) }
	return &projection{
		place: PlaceAttestation, want: newMultisetHash(c.head.Size), payload: true,
		scan: func(f func(int64, string)) error {
			return store.ScanAttestations(ctx, c.log.db.Read, func(a store.StoredAttestation) error {
				if c.within(a.Seq) && !c.gone(a.Seq) {
					f(a.Seq, encode(a.Digest))
				}
				return nil
			})
		},
		rows: func(e tracedb.Entry, payload []byte) ([]string, error) {
			digest, err := c.log.opts.Unique(e, payload)
			if digest == "" || err != nil {
				return nil, err
			}
			return []string{encode(digest)}, nil
		},
	}
}
