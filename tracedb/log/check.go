package log

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/log/store"
)

// Check computes everything anew that the database stores: every leaf's hash, every column, ref and
// payload digest, every node and head of the tree, and facts and attestations if Options has Derive and
// Unique. What payloads that were disposed of gave can't be known any more. It compares with the checkpoints
// too, whose signatures Options.Verifier verifies. What isn't right is in the report; the error is for what kept
// Check from looking. It may run while the log is written.
func (l *Log) Check(ctx context.Context, checkpoints ...[]byte) (Report, error) {
	report := Report{Origin: l.origin}
	head, err := store.LastHead(ctx, l.db.Read)
	if err != nil {
		return report, l.db.Translate(err)
	}
	report.Size = head.Size
	c := newChecker(ctx, l, head, &report)
	if err := c.inspect(ctx); err != nil {
		return report, err
	}
	for i, raw := range checkpoints {
		if err := c.expect(i, raw); err != nil {
			return report, fmt.Errorf("check: %w", err)
		}
	}
	for from := int64(0); from < head.Size; from += tileWidth {
		if err := c.tile(ctx, from, min(from+tileWidth, head.Size)); err != nil {
			return report, fmt.Errorf("check: %w", l.db.Translate(err))
		}
	}
	if err := c.rest(ctx); err != nil {
		return report, fmt.Errorf("check: %w", l.db.Translate(err))
	}
	return report, nil
}

// expect notes a checkpoint that the tree must contain.
func (c *checker) expect(i int, raw []byte) error {
	if c.log.opts.Verifier == nil {
		return errors.New("checkpoints can't be compared without the log's public key")
	}
	cp, err := tracedb.ParseCheckpoint(raw, c.log.opts.Verifier)
	switch {
	case err != nil:
		c.report.fault(PlaceCheckpoint, -1, "number %d of those given: %v", i+1, err)
	case cp.Size > c.head.Size:
		c.report.fault(PlaceCheckpoint, cp.Size, "the log signed a tree of %d records, and has only %d: records were taken from its end", cp.Size, c.head.Size)
	case cp.Size == 0:
		c.report.Checkpoints = append(c.report.Checkpoints, 0)
	default:
		c.signed[cp.Size] = append(c.signed[cp.Size], cp.Root)
	}
	return nil
}

// inspect lets the engine look at its own structure.
func (c *checker) inspect(ctx context.Context) error {
	lines, err := c.log.db.Inspect(ctx)
	err = c.log.db.Translate(err)
	if err != nil && !errors.Is(err, store.ErrCorrupt) {
		return fmt.Errorf("check: %w", err)
	}
	if err != nil {
		lines = append(lines, err.Error())
	}
	for _, line := range lines {
		c.report.fault(PlaceDatabase, -1, "%s", line)
	}
	return nil
}

// grow adds a tile's hashes, of records with those times, to the tree, and compares the nodes, heads and
// checkpoints on the way.
func (c *checker) grow(ctx context.Context, hashes []tlog.Hash, times []time.Time) error {
	list, err := store.Heads(ctx, c.log.db.Read, c.tree.size(), tileWidth)
	if err != nil {
		if err := c.unreadable(PlaceHead, c.tree.size(), err); err != nil {
			return err
		}
	}
	heads := make(map[int64]store.Head, len(list))
	for _, h := range list {
		heads[h.Size] = h
	}
	for i, h := range hashes {
		nodes, err := c.tree.append(h, nil)
		if err != nil {
			return err
		}
		for _, n := range nodes {
			if err := c.node(ctx, n); err != nil {
				return err
			}
		}
		if err := c.compareHead(heads, times[i]); err != nil {
			return err
		}
	}
	return nil
}

func (c *checker) node(ctx context.Context, n store.Node) error {
	c.report.Nodes++
	first := n.Index << (tileHeight * n.Level)
	stored, err := store.NodeHashes(ctx, c.log.db.Read, n.Level, n.Index, 1)
	switch {
	case err != nil:
		return c.unreadable(PlaceNode, first, err)
	case len(stored) == 0:
		c.report.fault(PlaceNode, first, "node %d of level %d, over the %d records from here on, is missing", n.Index, n.Level, int64(1)<<(tileHeight*n.Level))
	case stored[0] != n.Hash:
		c.report.fault(PlaceNode, first, "node %d of level %d isn't the hash of the %d records from here on: it was changed, or one of them with its hash", n.Index, n.Level, int64(1)<<(tileHeight*n.Level))
	}
	return nil
}

// namedHeads is how many wrong heads are named each: after a change in the tree all later ones are wrong.
const namedHeads = 3

// compareHead compares the tree as it is now with what the database and the checkpoints say it was. The time
// of its last record is zero if that couldn't be read.
func (c *checker) compareHead(heads map[int64]store.Head, last time.Time) error {
	size := c.tree.size()
	h, ok := heads[size]
	if !ok && len(c.signed[size]) == 0 {
		return nil
	}
	root, err := c.tree.root()
	if err != nil {
		return err
	}
	for _, signed := range c.signed[size] {
		if signed != root {
			c.report.fault(PlaceCheckpoint, size, "the log signed another tree of %d records: what is in it now isn't what was then", size)
		} else {
			c.report.Checkpoints = append(c.report.Checkpoints, size)
		}
	}
	if !ok {
		return nil
	}
	c.report.Heads++
	if h.Root == root && (h.Time.Equal(last) || last.IsZero()) {
		return nil
	}
	if c.wrongHeads++; c.wrongHeads <= namedHeads {
		what := "its root isn't that of the records before it"
		if h.Root == root {
			what = "its time isn't that of the record before it"
		}
		c.report.fault(PlaceHead, size, "%s", what)
	}
	return nil
}

// unreadable makes a fault of what the engine says is damaged, and an error of all else.
func (c *checker) unreadable(place Place, seq int64, err error) error {
	if err = c.log.db.Translate(err); !errors.Is(err, store.ErrCorrupt) {
		return err
	}
	c.report.fault(place, seq, "can't be read: %v", err)
	return nil
}
