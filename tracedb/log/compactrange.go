package log

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/log/store"
)

// compactRange is the compact range of the whole tree (transparency-dev/merkle): all that is needed to grow it.
type compactRange struct {
	r    *compact.Range
	last time.Time // log time of the last record
}

// ranges makes those of RFC 6962's trees.
var ranges = &compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}

// errCorrupt says that the stored tree contradicts its own head.
var errCorrupt = errors.New("the stored tree isn't the one its newest head names: the database was changed or damaged; check says where")

// loadCompactRange reads that of the tree that head names. It takes some twenty tiles at a million records.
func loadCompactRange(ctx context.Context, q store.Querier, head store.Head) (*compactRange, error) {
	var hashes [][]byte
	for _, id := range compact.RangeNodes(0, uint64(head.Size), nil) {
		index := tlog.StoredHashIndex(int(id.Level), int64(id.Index))
		t := tlog.TileForIndex(tileHeight, index)
		data, err := readTile(ctx, q, t)
		if err != nil {
			return nil, fmt.Errorf("read the compact range: %w", err)
		}
		h, err := tlog.HashFromTile(t, data, index)
		if err != nil {
			return nil, fmt.Errorf("read the compact range: %w", err)
		}
		hashes = append(hashes, h[:])
	}
	r, err := ranges.NewRange(0, uint64(head.Size), hashes)
	if err != nil {
		return nil, fmt.Errorf("read the compact range: %w", err)
	}
	c := &compactRange{r: r, last: head.Time}
	if !c.matches(head) {
		return nil, errCorrupt
	}
	return c, nil
}

// clone is a range that grows apart from c.
func (c *compactRange) clone() (*compactRange, error) {
	r, err := ranges.NewRange(0, c.r.End(), slices.Clone(c.r.Hashes()))
	return &compactRange{r: r, last: c.last}, err
}

func (c *compactRange) size() int64 { return int64(c.r.End()) }

// matches says whether the range is that of the tree that head names.
func (c *compactRange) matches(head store.Head) bool {
	root, err := c.root()
	return err == nil && c.size() == head.Size && root == head.Root
}

// append adds a leaf and returns the nodes to store that it completed.
func (c *compactRange) append(leaf tlog.Hash, nodes []store.Node) ([]store.Node, error) {
	err := c.r.Append(leaf[:], func(id compact.NodeID, hash []byte) {
		if id.Level > 0 && id.Level%tileHeight == 0 {
			nodes = append(nodes, store.Node{Level: int(id.Level / tileHeight), Index: int64(id.Index), Hash: tlog.Hash(hash)})
		}
	})
	return nodes, err
}

func (c *compactRange) root() (tlog.Hash, error) {
	if c.r.End() == 0 {
		return tlog.TreeHash(0, nil)
	}
	root, err := c.r.GetRootHash(nil)
	if err != nil {
		return tlog.Hash{}, err
	}
	return tlog.Hash(root), nil
}

// head is the tree as it is now.
func (c *compactRange) head() (store.Head, error) {
	root, err := c.root()
	return store.Head{Size: c.size(), Root: root, Time: c.last}, err
}

// stamp is the log time of a record taken now: never before the one before it.
func (c *compactRange) stamp(now time.Time) time.Time {
	now = tracedb.Instant(now)
	if now.Before(c.last) {
		now = c.last
	}
	c.last = now
	return now
}
