package catalog

import (
	"context"
	"fmt"
	"time"

	"github.com/druppie/druppie-up/tracedb"
)

const (
	// atOnce is how many entries are read in one go while catching up.
	atOnce = 500
	// pause is how long Run waits before it follows again a log that couldn't be read.
	pause = time.Second
	// entryTimeout is how long Run may take for an entry, which keeps those who sync waiting.
	entryTimeout = 10 * time.Second
)

// lock is a mutex for which nobody need wait longer than their context lasts.
type lock chan struct{}

func (l lock) acquire(ctx context.Context) error {
	select {
	case l <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l lock) release() { <-l }

// Run follows the log until ctx ends, and returns its error.
func (c *Catalog) Run(ctx context.Context) error {
	for {
		if err := c.follow(ctx); err != nil && ctx.Err() == nil {
			c.logger.Error("can't follow the log; trying again", "error", err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

func (c *Catalog) follow(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	if err := c.syncing.acquire(ctx); err != nil {
		return err
	}
	from := c.next
	c.syncing.release()
	entries, err := c.log.Follow(ctx, from)
	if err != nil {
		return err
	}
	for e := range entries {
		if err := c.applyLocked(ctx, e); err != nil {
			return err
		}
	}
	return nil
}

// applyLocked is applyEntry under the lock. A read that doesn't come back must not keep the lock for
// ever: then the log is followed again, from the same entry.
func (c *Catalog) applyLocked(ctx context.Context, e tracedb.Entry) error {
	if err := c.syncing.acquire(ctx); err != nil {
		return err
	}
	defer c.syncing.release()
	ctx, stop := context.WithTimeout(ctx, entryTimeout)
	defer stop()
	return c.applyEntry(ctx, e)
}

// Sync reads what was appended to the log since the catalog last did, and all provenance of those images. After a
// refusal because of something unknown, or of somebody else's image, a caller may sync and decide once
// more: another program may have written the evidence a moment ago. It ends with ctx, also while another
// caller reads.
func (c *Catalog) Sync(ctx context.Context, images ...string) error {
	if err := c.sync(ctx, images); err != nil {
		return fmt.Errorf("catch up with the log: %w", err)
	}
	return nil
}

func (c *Catalog) sync(ctx context.Context, images []string) error {
	if err := c.syncing.acquire(ctx); err != nil {
		return err
	}
	defer c.syncing.release()
	for {
		entries, err := c.log.Range(ctx, c.next, atOnce)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if err := c.applyEntry(ctx, e); err != nil {
				return err
			}
		}
		if len(entries) < atOnce {
			break
		}
	}
	for _, image := range images {
		if digest := Digest(image); digest != "" {
			if err := c.reload(ctx, TableImage, digest); err != nil {
				return err
			}
		}
	}
	return nil
}

// applyEntry applies what an entry brought. Entries come in order; one that was applied is skipped.
func (c *Catalog) applyEntry(ctx context.Context, e tracedb.Entry) error {
	if e.Seq < c.next {
		return nil
	}
	for table, keys := range factKeys(e) {
		for _, key := range keys {
			if err := c.reload(ctx, table, key); err != nil {
				return err
			}
		}
	}
	c.next = e.Seq + 1
	return nil
}

// reload applies every fact of a table and key.
func (c *Catalog) reload(ctx context.Context, table, key string) error {
	facts, err := c.log.History(ctx, table, key)
	if err != nil {
		return err
	}
	for _, f := range facts {
		c.Apply(f)
	}
	return nil
}

// factKeys are the keys of the facts that an entry may have brought, by table.
func factKeys(e tracedb.Entry) map[string][]string {
	images, algorithms := e.Values(tracedb.RefImage), e.Values(tracedb.RefAlgorithm)
	switch e.Kind {
	case tracedb.KindProvenance:
		return map[string][]string{TableImage: images}
	case tracedb.KindRegister:
		return map[string][]string{TableOwner: algorithms, TableIdentity: e.Values(tracedb.RefRepository), TableRegister: algorithms}
	case tracedb.KindException:
		var keys []string
		for _, id := range algorithms {
			for _, image := range append(images, "") {
				keys = append(keys, ExceptionKey(id, RuleStatus, image))
			}
		}
		return map[string][]string{TableException: keys}
	}
	return nil
}
