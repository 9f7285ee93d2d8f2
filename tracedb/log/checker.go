package log

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/log/store"
)

// checker reads the log once, tile by tile.
type checker struct {
	log    *Log
	head   store.Head
	report *Report

	tree   *compactRange
	signed map[int64][]tlog.Hash
	last   time.Time // log time of the record before

	wrongHeads int

	projections []*projection
	disposed    []uint64          // a bit for every record
	pending     map[int64][]int64 // by record of disposal: payloads that are gone because of it
}

func newChecker(ctx context.Context, l *Log, head store.Head, report *Report) *checker {
	c := &checker{
		log: l, head: head, report: report, signed: map[int64][]tlog.Hash{},
		tree:     &compactRange{r: ranges.NewEmptyRange(0)},
		disposed: make([]uint64, head.Size/64+1), pending: map[int64][]int64{},
	}
	c.projections = []*projection{c.refs(ctx), c.facts(ctx)}
	if l.opts.Unique != nil {
		c.projections = append(c.projections, c.attestations(ctx))
	}
	return c
}

// leaves is what was read of a tile's leaves: the hashes as stored, and as computed.
type leaves struct {
	from             int64
	stored, computed []tlog.Hash
	times            []time.Time
	seen             []bool
}

func (c *checker) tile(ctx context.Context, from, until int64) error {
	n := until - from
	t := &leaves{from: from, stored: make([]tlog.Hash, n), computed: make([]tlog.Hash, n), times: make([]time.Time, n), seen: make([]bool, n)}
	each := func(s store.Stored) error { return c.record(t, &s) }
	err := store.Scan(ctx, c.log.db.Read, from, until, each)
	if err != nil {
		if !errors.Is(c.log.db.Translate(err), store.ErrCorrupt) {
			return err
		}
		// Something among these is damaged: one by one shows which.
		for seq := from; seq < until; seq++ {
			if t.seen[seq-from] {
				continue
			}
			if err := store.Scan(ctx, c.log.db.Read, seq, seq+1, each); err != nil {
				t.seen[seq-from] = true
				if err := c.unreadable(PlaceRecord, seq, err); err != nil {
					return err
				}
			}
		}
	}
	for i, seen := range t.seen {
		if !seen {
			c.report.fault(PlaceLeaf, from+int64(i), "missing")
		}
	}
	hashes, err := c.pick(ctx, t)
	if err != nil {
		return err
	}
	return c.grow(ctx, hashes, t.times)
}

// pick decides, where stored and computed hashes differ, which of them the tree above is made of, so
// that the fault is named where it is and not in all that follows.
func (c *checker) pick(ctx context.Context, t *leaves) ([]tlog.Hash, error) {
	if slices.Equal(t.stored, t.computed) {
		return t.stored, nil
	}
	fits := func(hashes []tlog.Hash) (bool, error) {
		e, err := c.tree.clone()
		if err != nil {
			return false, err
		}
		var node *store.Node
		for _, h := range hashes {
			nodes, err := e.append(h, nil)
			if err != nil {
				return false, err
			}
			if len(nodes) > 0 {
				node = &nodes[0]
			}
		}
		if node == nil {
			root, err := e.root()
			return root == c.head.Root, err
		}
		stored, err := store.NodeHashes(ctx, c.log.db.Read, node.Level, node.Index, 1)
		return err == nil && len(stored) == 1 && stored[0] == node.Hash, nil
	}
	leafWrong, err := fits(t.stored)
	if err != nil {
		return nil, err
	}
	hashWrong, err := fits(t.computed)
	if err != nil {
		return nil, err
	}
	for i := range t.stored {
		seq := t.from + int64(i)
		switch {
		case t.stored[i] == t.computed[i]:
		case leafWrong:
			c.report.fault(PlaceLeaf, seq, "its bytes aren't those that were hashed into the tree")
		case hashWrong:
			c.report.fault(PlaceHash, seq, "the stored hash isn't the leaf's, which the tree vouches for")
		default:
			c.report.fault(PlaceLeaf, seq, "bytes and stored hash differ, and the tree above vouches for neither")
		}
	}
	if hashWrong {
		return t.computed, nil
	}
	return t.stored, nil
}

// record compares everything that is stored of one record.
func (c *checker) record(t *leaves, s *store.Stored) error {
	i := s.Seq - t.from
	if t.seen[i] {
		return nil
	}
	t.seen[i] = true
	t.computed[i] = tlog.RecordHash(s.Leaf)
	copy(t.stored[i][:], s.Hash)
	e, err := tracedb.ParseLeaf(s.Leaf)
	if err != nil || e.Seq != s.Seq {
		if err == nil {
			err = fmt.Errorf("it says that it is record %d", e.Seq)
		}
		c.report.fault(PlaceLeaf, s.Seq, "%v", err)
		return nil
	}
	if e.Time.Before(c.last) {
		c.report.fault(PlaceLeaf, s.Seq, "its time is before that of the record before it")
	}
	c.last, t.times[i] = e.Time, e.Time
	c.columns(e, s)
	payload := c.payload(e, s)
	for _, p := range c.projections {
		p.expect(c, e, payload)
	}
	return nil
}

// columns compares the extracted columns with the leaf.
func (c *checker) columns(e tracedb.Entry, s *store.Stored) {
	if !s.Record {
		c.report.fault(PlaceRecord, s.Seq, "its columns are missing")
		return
	}
	var wrong []string
	for _, f := range []struct {
		name string
		ok   bool
	}{
		{"time", s.Time == e.Time.UnixMicro()}, {"id", s.ID == e.ID}, {"kind", s.Kind == string(e.Kind)},
		{"actor", s.Actor == e.Actor}, {"writer", s.Writer == e.Writer}, {"at", s.At == e.At.UnixMicro()},
		{"outcome", s.Outcome == string(e.Outcome)}, {"payload", "sha256:"+hex.EncodeToString(s.Digest) == e.PayloadDigest}, {"size", s.Size == int64(e.Size)},
	} {
		if !f.ok {
			wrong = append(wrong, f.name)
		}
	}
	if len(wrong) > 0 {
		c.report.fault(PlaceRecord, s.Seq, "not what its leaf says: %s", strings.Join(wrong, ", "))
	}
}

// payload compares the payload with its digest, or its absence with the record that explains it. It returns the
// payload if it is the record's.
func (c *checker) payload(e tracedb.Entry, s *store.Stored) []byte {
	if s.Payload == nil {
		c.report.Disposed++
		c.disposed[e.Seq/64] |= 1 << (e.Seq % 64)
		if !s.Disposal.Valid {
			c.report.fault(PlacePayload, e.Seq, "missing, and no disposal names it")
		} else {
			c.pending[s.Disposal.Int64] = append(c.pending[s.Disposal.Int64], e.Seq)
		}
		return nil
	}
	c.report.Payloads++
	if s.Disposal.Valid {
		c.report.fault(PlaceDisposal, e.Seq, "the payload was disposed of, and is there")
	}
	if !e.HasPayload(s.Payload) {
		c.report.fault(PlacePayload, e.Seq, "its bytes aren't those that the leaf names")
		return nil
	}
	if e.Kind == tracedb.KindDisposal {
		c.disposal(e, s.Payload)
	}
	return s.Payload
}

// disposal compares what a record of disposal names with what is gone because of it.
func (c *checker) disposal(e tracedb.Entry, payload []byte) {
	var d tracedb.Disposal
	if err := json.Unmarshal(payload, &d); err != nil {
		c.report.fault(PlaceDisposal, e.Seq, "can't be read: %v", err)
		return
	}
	named := make(map[int64]bool, len(d.Seqs))
	for _, seq := range d.Seqs {
		named[seq] = true
		// What was disposed of while this check is under way was there when it was looked at.
		if e.Seq >= c.head.Size {
			continue
		}
		if seq < 0 || seq >= e.Seq || !c.gone(seq) {
			c.report.fault(PlaceDisposal, e.Seq, "it names record %d, whose payload is there", seq)
		}
	}
	for _, seq := range c.pending[e.Seq] {
		if !named[seq] {
			c.report.fault(PlacePayload, seq, "missing, and the disposal %d doesn't name it", e.Seq)
		}
	}
	delete(c.pending, e.Seq)
}

// gone says whether a record's payload was disposed of.
func (c *checker) gone(seq int64) bool { return c.disposed[seq/64]&(1<<(seq%64)) != 0 }

// rest checks what no single record shows.
func (c *checker) rest(ctx context.Context) error {
	root, err := c.tree.root()
	if err != nil {
		return err
	}
	c.report.Root = root
	if more := c.wrongHeads - namedHeads; more > 0 {
		c.report.fault(PlaceHead, -1, "so are %d later ones", more)
	}
	for _, record := range slices.Sorted(maps.Keys(c.pending)) {
		if record >= c.head.Size {
			// Disposed of while this check was under way.
			err := store.Scan(ctx, c.log.db.Read, record, record+1, func(s store.Stored) error {
				if e, err := tracedb.ParseLeaf(s.Leaf); err == nil && e.Kind == tracedb.KindDisposal {
					c.disposal(e, s.Payload)
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
		for _, seq := range c.pending[record] {
			c.report.fault(PlacePayload, seq, "missing, and record %d, which should say why, is no disposal", record)
		}
	}
	for _, p := range c.projections {
		if err := c.compare(ctx, p); err != nil {
			return err
		}
	}
	orphans, err := store.Orphans(ctx, c.log.db.Read, maxFaults)
	if err != nil {
		return c.unreadable(PlaceDatabase, -1, err)
	}
	for _, s := range orphans {
		place := map[string]Place{"leaves": PlaceLeaf, "records": PlaceRecord, "payloads": PlacePayload, "refs": PlaceRef, "facts": PlaceFact,
			"attestations": PlaceAttestation, "disposals": PlaceDisposal, "nodes": PlaceNode}[s.Table]
		c.report.fault(place, s.Seq, "belongs to no record of the log")
	}
	return nil
}
