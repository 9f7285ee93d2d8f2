package scenarios

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	countEvery   = 250 * time.Millisecond
	countTimeout = 5 * time.Second // of one request
)

// counter asks a service all the time, as its users would, and counts what becomes of it.
type counter struct {
	stop     context.CancelFunc
	done     chan struct{}
	answered int
	lost     int
	why      error // the first was lost
}

// runCount begins to count requests of a service, or stops and says how many were answered and lost.
func runCount(c *call) error {
	if c.args[0] == "stop" {
		return stopCount(c)
	}
	if c.counter != nil {
		return fmt.Errorf("%w: requests are counted already", errUsage)
	}
	path, err := servicePath(c.args[1], c.args[2])
	if err != nil {
		return err
	}
	p, err := c.platform()
	if err != nil {
		return err
	}
	ask := func(ctx context.Context) error {
		return p.Kube.CoreV1().RESTClient().Get().AbsPath(path...).Timeout(countTimeout).Do(ctx).Error()
	}
	c.counter = count(c.ctx, ask)
	c.ts.Defer(c.counter.end)
	return nil
}

// count asks until it is ended. A request that the end cut short counts for nothing.
func count(ctx context.Context, ask func(context.Context) error) *counter {
	ctx, cancel := context.WithCancel(ctx)
	n := &counter{stop: cancel, done: make(chan struct{})}
	go func() {
		defer close(n.done)
		for {
			err := ask(ctx)
			switch {
			case ctx.Err() != nil:
				return
			case err == nil:
				n.answered++
			default:
				n.lost++
				if n.why == nil {
					n.why = err
				}
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(countEvery):
			}
		}
	}()
	return n
}

func (n *counter) end() {
	n.stop()
	<-n.done
}

func stopCount(c *call) error {
	n := c.counter
	if n == nil {
		return fmt.Errorf("%w: no requests are counted", errUsage)
	}
	n.end()
	c.counter = nil
	fmt.Fprintf(c.ts.Stdout(), "%d answered, %d lost\n", n.answered, n.lost)
	switch {
	case n.lost > 0:
		return fmt.Errorf("%d requests of %d were lost, the first: %w", n.lost, n.answered+n.lost, n.why)
	case n.answered == 0:
		return errors.New("no request was made")
	}
	return nil
}
