package catalog

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/druppie/druppie-up/tracedb"
)

// slow is a log with one entry, whose facts come when they are let go, or never.
type slow struct {
	tracedb.Reader
	asked chan struct{}
	free  chan struct{}
}

func (s *slow) Follow(ctx context.Context, _ int64) (<-chan tracedb.Entry, error) {
	entries := make(chan tracedb.Entry, 1)
	entries <- tracedb.Entry{Kind: tracedb.KindProvenance, Refs: []tracedb.Ref{{Type: tracedb.RefImage, Value: image(1)}}}
	context.AfterFunc(ctx, func() { close(entries) })
	return entries, nil
}

func (s *slow) Range(context.Context, int64, int) ([]tracedb.Entry, error) { return nil, nil }

func (s *slow) History(ctx context.Context, _, _ string) ([]tracedb.Fact, error) {
	s.asked <- struct{}{}
	select {
	case <-s.free:
		return nil, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (s *slow) Checkpoint(context.Context) (tracedb.Checkpoint, error) {
	return tracedb.Checkpoint{}, nil
}

func (s *slow) Facts(context.Context, string, ...string) ([]tracedb.Fact, error) { return nil, nil }

// TestSyncEnds holds that whoever catches up waits no longer than they can for a read that doesn't come
// back, and that such a read ends and is tried again.
func TestSyncEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &slow{asked: make(chan struct{}), free: make(chan struct{})}
		c := open(t, s)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- c.Run(ctx) }()
		<-s.asked

		patient, done := context.WithTimeout(ctx, time.Second)
		defer done()
		asked := time.Now()
		if err := c.Sync(patient); !errors.Is(err, context.DeadlineExceeded) || time.Since(asked) != time.Second {
			t.Errorf("Sync() = %v after %s, want it to end with its context", err, time.Since(asked))
		}
		<-s.asked
		if waited := time.Since(asked); waited > entryTimeout+pause {
			t.Errorf("the read was tried again after %s", waited)
		}
		close(s.free)
		if err := c.Sync(ctx); err != nil {
			t.Errorf("Sync() = %v, once the log answers", err)
		}
		stop()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("Run() = %v", err)
		}
	})
}
