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

// edge is the tree's right edge: all that is needed to grow it.
type edge struct {
	ranges *compact.RangeFactory
	r      *compact.Range
	last   time.Time // log time of the last record
}

// errBroken says that the stored tree contradicts its own head.
var errBroken = errors.New("the stored tree isn't the one its newest head names: the database was changed or damaged; check says where")

// loadEdge reads the edge of the tree that head names. It takes some twenty tiles at a million records.
func loadEdge(ctx context.Context, q store.Querier, head store.Head) (*edge, error) {
	ranges := &compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}
	var hashes [][]byte
	for _, id := range compact.RangeNodes(0, uint64(head.Size), nil) {
		index := tlog.StoredHashIndex(int(id.Level), int64(id.Index))
		t := tlog.TileForIndex(tileHeight, index)
		data, err := readTile(ctx, q, t)
		if err != nil {
			return nil, fmt.Errorf("read the tree's edge: %w", err)
		}
		h, err := tlog.HashFromTile(t, data, index)
		if err != nil {
			return nil, fmt.Errorf("read the tree's edge: %w", err)
		}
		hashes = append(hashes, h[:])
	}
	r, err := ranges.NewRange(0, uint64(head.Size), hashes)
	if err != nil {
		return nil, fmt.Errorf("read the tree's edge: %w", err)
	}
	e := &edge{ranges: ranges, r: r, last: head.Time}
	if !e.is(head) {
		return nil, errBroken
	}
	return e, nil
}

// clone is an edge that grows apart from e.
func (e *edge) clone() (*edge, error) {
	hashes := slices.Clone(e.r.Hashes())
	r, err := e.ranges.NewRange(0, e.r.End(), hashes)
	return &edge{ranges: e.ranges, r: r, last: e.last}, err
}

func (e *edge) size() int64 { return int64(e.r.End()) }

// is says whether the edge is that of the tree that head names.
func (e *edge) is(head store.Head) bool {
	root, err := e.root()
	return err == nil && e.size() == head.Size && root == head.Root
}

// append adds a leaf and returns the nodes to store that it completed.
func (e *edge) append(leaf tlog.Hash, nodes []store.Node) ([]store.Node, error) {
	err := e.r.Append(leaf[:], func(id compact.NodeID, hash []byte) {
		if id.Level > 0 && id.Level%tileHeight == 0 {
			nodes = append(nodes, store.Node{Level: int(id.Level / tileHeight), Index: int64(id.Index), Hash: tlog.Hash(hash)})
		}
	})
	return nodes, err
}

func (e *edge) root() (tlog.Hash, error) {
	if e.r.End() == 0 {
		return tlog.TreeHash(0, nil)
	}
	root, err := e.r.GetRootHash(nil)
	if err != nil {
		return tlog.Hash{}, err
	}
	return tlog.Hash(root), nil
}

// head is the tree as it is now.
func (e *edge) head() (store.Head, error) {
	root, err := e.root()
	return store.Head{Size: e.size(), Root: root, Time: e.last}, err
}

// tick is the log time of a record taken now: never before the one before it.
func (e *edge) tick(now time.Time) time.Time {
	now = tracedb.Instant(now)
	if now.Before(e.last) {
		now = e.last
	}
	e.last = now
	return now
}
