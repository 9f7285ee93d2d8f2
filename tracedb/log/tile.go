package log

import (
	"context"
	"encoding/binary"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/log/store"
)

// Tiles are those of C2SP tlog-tiles: of height 8, so of 256 hashes when they are full.
const (
	tileHeight = 8
	tileWidth  = 1 << tileHeight
)

// cachedTiles bounds what full tiles, which never change, take of memory: 8 KiB each.
const cachedTiles = 256

// readTile reads a tile's hashes from the database.
func readTile(ctx context.Context, q store.Querier, t tlog.Tile) ([]byte, error) {
	from := t.N << tileHeight
	var hashes []tlog.Hash
	var err error
	if t.L == 0 {
		hashes, err = store.LeafHashes(ctx, q, from, t.W)
	} else {
		hashes, err = store.NodeHashes(ctx, q, t.L, from, t.W)
	}
	if err != nil {
		return nil, fmt.Errorf("read tile %s: %w", t.Path(), err)
	}
	if len(hashes) != t.W {
		return nil, fmt.Errorf("read tile %s: %d of %d hashes are there", t.Path(), len(hashes), t.W)
	}
	data := make([]byte, 0, t.W*tlog.HashSize)
	for _, h := range hashes {
		data = append(data, h[:]...)
	}
	return data, nil
}

// Tile returns the hashes of a tile (C2SP tlog-tiles, height 8). A tile that isn't wholly in the tree
// is ErrNotFound.
func (l *Log) Tile(ctx context.Context, t tlog.Tile) ([]byte, error) {
	if t.H != tileHeight || t.L < 0 || t.L > 7 || t.N < 0 || t.W < 1 || t.W > tileWidth {
		return nil, tracedb.ErrNotFound.Says("no such tile")
	}
	head, err := l.headAtLeast(ctx, 0)
	if err != nil {
		return nil, err
	}
	// Of its level, the tree has as many hashes as it has complete subtrees of that height.
	if have := head.Size >> (tileHeight * t.L); t.N > have>>tileHeight || t.N<<tileHeight+int64(t.W) > have {
		return nil, tracedb.ErrNotFound.Says("the tree of %d records has no such tile yet", head.Size)
	}
	data, err := l.readTile(ctx, t)
	return data, l.db.Translate(err)
}

// EntryBundle returns the leaves from index*256 on, width of them, each after its length in two bytes
// (C2SP tlog-tiles). A bundle that isn't wholly in the tree is ErrNotFound.
func (l *Log) EntryBundle(ctx context.Context, index int64, width int) ([]byte, error) {
	head, err := l.headAtLeast(ctx, 0)
	if err != nil {
		return nil, err
	}
	if index < 0 || width < 1 || width > tileWidth || index > head.Size>>tileHeight || index<<tileHeight+int64(width) > head.Size {
		return nil, tracedb.ErrNotFound.Says("the tree of %d records has no such bundle", head.Size)
	}
	leaves, err := store.Leaves(ctx, l.db.Read, index<<tileHeight, width)
	if err != nil {
		return nil, l.db.Translate(err)
	}
	var out []byte
	for i := range width {
		if want := index<<tileHeight + int64(i); i >= len(leaves) || leaves[i].Seq != want {
			return nil, fmt.Errorf("leaf %d is missing", want)
		}
		leaf := leaves[i]
		out = binary.BigEndian.AppendUint16(out, uint16(len(leaf.Leaf)))
		out = append(out, leaf.Leaf...)
	}
	return out, nil
}

// readTile is readTile with the cache before it.
func (l *Log) readTile(ctx context.Context, t tlog.Tile) ([]byte, error) {
	if data, ok := l.tiles.Get(t); ok {
		return data.([]byte), nil
	}
	return readTile(ctx, l.db.Read, t)
}

// tileReader lets tlog read the log's tiles. Only what tlog found to fit the tree's root is cached.
type tileReader struct {
	ctx context.Context
	log *Log
}

func (r tileReader) Height() int { return tileHeight }

func (r tileReader) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	out := make([][]byte, len(tiles))
	for i, t := range tiles {
		data, err := r.log.readTile(r.ctx, t)
		if err != nil {
			return nil, err
		}
		out[i] = data
	}
	return out, nil
}

func (r tileReader) SaveTiles(tiles []tlog.Tile, data [][]byte) {
	for i, t := range tiles {
		if t.W == tileWidth {
			r.log.tiles.Add(t, data[i])
		}
	}
}
