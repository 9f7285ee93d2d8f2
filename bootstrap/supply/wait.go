package supply

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/druppie/druppie-up/bootstrap/supply/store"
)

// waitInterval is how often Wait reads the store's index, one small file.
const waitInterval = 500 * time.Millisecond

// Wait returns when the store has all refs, whoever writes them. onWait, which
// may be nil, is called with what is missing at first and each time that changes.
func Wait(ctx context.Context, s *store.Store, refs []string, onWait func(missing []string)) error {
	tick := time.NewTicker(waitInterval)
	defer tick.Stop()
	var reported []string
	for {
		missing, err := s.Missing(refs)
		if err != nil {
			return err
		}
		if len(missing) == 0 {
			return nil
		}
		if onWait != nil && !slices.Equal(missing, reported) {
			onWait(missing)
			reported = missing
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %d images, first %s: %w", len(missing), missing[0], context.Cause(ctx))
		case <-tick.C:
		}
	}
}
