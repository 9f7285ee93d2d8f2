package supply

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// waitInterval is how often Wait looks: a look is one small file.
const waitInterval = 500 * time.Millisecond

// Wait returns when the store has all refs, whoever writes them. onWait, which
// may be nil, hears what is missing at first and each time that changes.
func (s *Store) Wait(ctx context.Context, refs []string, onWait func(missing []string)) error {
	tick := time.NewTicker(waitInterval)
	defer tick.Stop()
	var told []string
	for {
		missing, err := s.Missing(refs)
		if err != nil {
			return err
		}
		if len(missing) == 0 {
			return nil
		}
		if onWait != nil && !slices.Equal(missing, told) {
			onWait(missing)
			told = missing
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %d images, first %s: %w", len(missing), missing[0], context.Cause(ctx))
		case <-tick.C:
		}
	}
}

// Missing returns those of refs that the store doesn't have, in their order.
func (s *Store) Missing(refs []string) ([]string, error) {
	entries, err := s.Entries()
	if err != nil {
		return nil, err
	}
	var missing []string
	for _, r := range refs {
		switch _, err := find(entries, r); {
		case errors.Is(err, ErrNotFound):
			missing = append(missing, r)
		case err != nil:
			return nil, err
		}
	}
	return missing, nil
}
