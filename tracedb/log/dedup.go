package log

import (
	"context"
	"maps"
	"slices"

	"github.com/druppie/druppie-up/tracedb/log/store"
)

type (
	idKey   struct{ writer, id string }
	factKey struct{ table, key string }
)

// dedupIndex is what the log holds already of what a batch brings, also what the batch itself has brought.
type dedupIndex struct {
	ids      map[idKey]store.Existing
	attested map[string]bool
	bound    map[factKey][]byte
	disposed map[int64]int64

	undos []func()
}

// loadDedupIndex reads it for the requests of a batch.
func loadDedupIndex(ctx context.Context, db *store.DB, q store.Querier, requests []*request) (*dedupIndex, error) {
	k := &dedupIndex{ids: map[idKey]store.Existing{}, attested: map[string]bool{}, bound: map[factKey][]byte{}, disposed: map[int64]int64{}}
	ids := map[string][]string{}
	tables := map[string]map[string]bool{}
	var digests []string
	for _, r := range requests {
		disposed, err := db.DisposedBy(ctx, q, r.dispose)
		if err != nil {
			return nil, err
		}
		for _, d := range disposed {
			k.disposed[d.Seq] = d.By
		}
		for _, d := range r.drafts {
			ids[r.writer] = append(ids[r.writer], d.ID)
			if d.Unique != "" {
				digests = append(digests, d.Unique)
			}
			for _, f := range d.Facts {
				if tables[f.Table] == nil {
					tables[f.Table] = map[string]bool{}
				}
				tables[f.Table][f.Key] = true
			}
		}
	}
	for writer, ids := range ids {
		found, err := db.ByID(ctx, q, writer, ids)
		if err != nil {
			return nil, err
		}
		for _, f := range found {
			k.ids[idKey{writer, f.ID}] = f
		}
	}
	attested, err := db.Attested(ctx, q, digests)
	if err != nil {
		return nil, err
	}
	for _, digest := range attested {
		k.attested[digest] = true
	}
	for table, keys := range tables {
		facts, err := db.Bound(ctx, q, table, slices.Collect(maps.Keys(keys)))
		if err != nil {
			return nil, err
		}
		for _, f := range facts {
			k.bound[factKey{f.Table, f.Key}] = f.Value
		}
	}
	return k, nil
}

// savepoint is a moment that rollback can go back to.
func (k *dedupIndex) savepoint() int { return len(k.undos) }

func (k *dedupIndex) rollback(savepoint int) {
	for _, undo := range k.undos[savepoint:] {
		undo()
	}
	k.undos = k.undos[:savepoint]
}

func (k *dedupIndex) bind(key factKey, value []byte) {
	k.bound[key] = value
	k.undos = append(k.undos, func() { delete(k.bound, key) })
}

func (k *dedupIndex) add(writer string, o candidate, row store.Row) store.Existing {
	id := idKey{writer, o.ID}
	existing := store.Existing{Seq: row.Seq, ID: o.ID, Kind: o.Kind, Outcome: o.Outcome, Digest: o.digest[:], Time: row.Time.UnixMicro(), Hash: row.Hash[:]}
	k.ids[id] = existing
	if o.Unique != "" {
		k.attested[o.Unique] = true
	}
	k.undos = append(k.undos, func() {
		delete(k.ids, id)
		if o.Unique != "" {
			delete(k.attested, o.Unique)
		}
	})
	return existing
}
