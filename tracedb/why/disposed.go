package why

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/druppie/druppie-up/tracedb"
)

// read reads the payloads of all records. What is too large to be told isn't read for it.
func (w *walk) read(ctx context.Context) error {
	var unread []int64
	for _, e := range w.entries {
		if _, ok := w.bodies[e.Seq]; !ok && (e.Kind != tracedb.KindSBOM || e.Size <= MaxSBOM) {
			unread = append(unread, e.Seq)
		}
	}
	found, err := w.Payloads(ctx, unread...)
	if err != nil {
		return fmt.Errorf("read the records' payloads: %w", err)
	}
	for _, seq := range unread {
		raw, ok := found[seq]
		w.bodies[seq] = body{raw, !ok}
	}
	return nil
}

// disposals adds the records that say why payloads of the story are gone, also of those that weren't
// read. They are few, and without them nothing would account for what is missing: no bound leaves one out.
func (w *walk) disposals(ctx context.Context) error {
	by, err := w.DisposedBy(ctx, slices.Collect(maps.Keys(w.entries))...)
	if err != nil {
		return fmt.Errorf("find what was disposed of: %w", err)
	}
	for seq := range by {
		w.bodies[seq] = body{disposed: true}
	}
	entries, err := w.Entries(ctx, slices.Collect(maps.Values(by))...)
	if err != nil {
		return fmt.Errorf("read the disposals: %w", err)
	}
	for _, e := range entries {
		if _, err := w.body(ctx, e); err != nil {
			return fmt.Errorf("read record %d: %w", e.Seq, err)
		}
		w.entries[e.Seq] = e
	}
	return nil
}
