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
	// looking is how long Run's look at an entry may take, which keeps those who sync waiting.
	looking = 10 * time.Second
)

// turn is a lock for which nobody need wait longer than they can.
type turn chan struct{}

func (t turn) take(ctx context.Context) error {
	select {
	case t <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (t turn) leave() { <-t }

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
	if err := c.syncing.take(ctx); err != nil {
		return err
	}
	from := c.next
	c.syncing.leave()
	entries, err := c.log.Follow(ctx, from)
	if err != nil {
		return err
	}
	for e := range entries {
		if err := c.lookAlone(ctx, e); err != nil {
			return err
		}
	}
	return nil
}

// lookAlone is look while nobody else does. A read that doesn't come back must not keep its turn for
// ever: then the log is followed again, from the same entry.
func (c *Catalog) lookAlone(ctx context.Context, e tracedb.Entry) error {
	if err := c.syncing.take(ctx); err != nil {
		return err
	}
	defer c.syncing.leave()
	ctx, stop := context.WithTimeout(ctx, looking)
	defer stop()
	return c.look(ctx, e)
}

// Sync reads what the log took since the catalog last looked, and all provenance of those images. Who
// was refused because of something unknown, or of somebody else's image, may call it and ask once
// more: another program may have written the answer a moment ago. It ends with ctx, also while somebody
// else reads.
func (c *Catalog) Sync(ctx context.Context, images ...string) error {
	if err := c.syncing.take(ctx); err != nil {
		return fmt.Errorf("catch up with the log: %w", err)
	}
	defer c.syncing.leave()
	for {
		entries, err := c.log.Range(ctx, c.next, atOnce)
		if err != nil {
			return fmt.Errorf("catch up with the log: %w", err)
		}
		for _, e := range entries {
			if err := c.look(ctx, e); err != nil {
				return fmt.Errorf("catch up with the log: %w", err)
			}
		}
		if len(entries) < atOnce {
			break
		}
	}
	for _, image := range images {
		if digest, ok := imageDigest(image); ok {
			if err := c.recall(ctx, TableImage, digest); err != nil {
				return fmt.Errorf("catch up with the log: %w", err)
			}
		}
	}
	return nil
}

// look takes what an entry brought. Entries come in order; one that was looked at is passed by.
func (c *Catalog) look(ctx context.Context, e tracedb.Entry) error {
	if e.Seq < c.next {
		return nil
	}
	for table, keys := range c.keys(e) {
		for _, key := range keys {
			if err := c.recall(ctx, table, key); err != nil {
				return err
			}
		}
	}
	c.next = e.Seq + 1
	return nil
}

// recall takes every fact of a table and key.
func (c *Catalog) recall(ctx context.Context, table, key string) error {
	facts, err := c.log.History(ctx, table, key)
	if err != nil {
		return err
	}
	for _, f := range facts {
		c.Apply(f)
	}
	return nil
}

// keys says which facts an entry may have brought that the catalog doesn't have yet.
func (c *Catalog) keys(e tracedb.Entry) map[string][]string {
	var images, algorithms, repositories []string
	for _, r := range e.Refs {
		switch r.Type {
		case tracedb.RefImage:
			images = append(images, r.Value)
		case tracedb.RefAlgorithm:
			algorithms = append(algorithms, r.Value)
		case tracedb.RefRepository:
			repositories = append(repositories, r.Value)
		}
	}
	out := map[string][]string{}
	c.mu.RLock()
	defer c.mu.RUnlock()
	switch e.Kind {
	case tracedb.KindProvenance:
		for _, image := range images {
			if d, ok := parseDigest(image); ok && (c.images[d].seq != e.Seq || e.Seq == 0) {
				out[TableImage] = append(out[TableImage], image)
			}
		}
	case tracedb.KindRegister:
		for _, id := range algorithms {
			if a, ok := c.algorithms[id]; !ok || a.Seq < e.Seq {
				out[TableOwner], out[TableIdentity] = append(out[TableOwner], id), repositories
				out[TableRegister] = append(out[TableRegister], id)
			}
		}
	case tracedb.KindException:
		for _, id := range algorithms {
			out[TableException] = append(out[TableException], ExceptionKey(id, RuleStatus, ""))
			for _, image := range images {
				out[TableException] = append(out[TableException], ExceptionKey(id, RuleStatus, image))
			}
		}
	}
	return out
}
