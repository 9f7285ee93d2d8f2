package why

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/druppie/druppie-up/tracedb"
)

// soon is how long after a payload's term its disposal is looked for first.
const soon = 60 * 24 * time.Hour

// read reads the payloads of all records. What is too large to be told isn't read for it.
func (w *walk) read(ctx context.Context) error {
	for _, e := range w.sorted() {
		if e.Kind == tracedb.KindSBOM && e.Size > MaxSBOM {
			continue
		}
		if _, err := w.body(ctx, e); err != nil {
			return fmt.Errorf("read record %d: %w", e.Seq, err)
		}
	}
	return nil
}

// disposals adds the records that say why payloads of the story are gone.
func (w *walk) disposals(ctx context.Context) error {
	missing := map[int64]bool{}
	for seq, b := range w.bodies {
		if _, ok := w.entries[seq]; ok && b.disposed {
			missing[seq] = true
		}
	}
	for len(missing) > 0 {
		seq := slices.Min(slices.Collect(maps.Keys(missing)))
		e := w.entries[seq]
		info, _ := e.Kind.Info()
		due := e.Time.Add(info.Term)
		// Terms end in the log's order, so what goes together is found together.
		for _, q := range []tracedb.Query{{From: due, Until: due.Add(soon)}, {From: e.Time}} {
			q.Kinds, q.Limit = []tracedb.Kind{tracedb.KindDisposal}, tracedb.MaxPage
			if err := w.disposedBy(ctx, q, seq, missing); err != nil {
				return err
			}
			if !missing[seq] {
				break
			}
		}
		if missing[seq] {
			w.truncated = true // it is somewhere in more than can be looked through here
			delete(missing, seq)
		}
	}
	return nil
}

// disposedBy looks through disposals for the one that names seq, and takes all the others off the list
// that it names.
func (w *walk) disposedBy(ctx context.Context, q tracedb.Query, seq int64, missing map[int64]bool) error {
	page, err := w.Search(ctx, q)
	if err != nil {
		return err
	}
	for _, e := range slices.Backward(page.Entries) {
		b, err := w.body(ctx, e)
		if err != nil {
			return fmt.Errorf("read record %d: %w", e.Seq, err)
		}
		var d tracedb.Disposal
		if err := json.Unmarshal(b.raw, &d); err != nil {
			return fmt.Errorf("read record %d: %w", e.Seq, err)
		}
		for _, gone := range d.Seqs {
			if missing[gone] {
				w.add(e)
				delete(missing, gone)
			}
		}
		if !missing[seq] {
			return nil
		}
	}
	return nil
}
