package api

import (
	"context"
	"net/http"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/druppie/druppie-up/tracedb"
)

// maxBody is the most bytes that a request's body may have.
const maxBody = 16 << 20

// lane bounds how much of one sort of work is under way, so that no sort takes the others' place.
type lane struct {
	places *semaphore.Weighted
	size   int64
	wait   time.Duration // how long to wait for a place
	weigh  bool          // by the body's bytes instead of one each
}

// lanes are those of the service. What they allow together bounds its memory.
type lanes struct{ door, read, write, export, stream, pages *lane }

func newLanes() lanes {
	count := func(n int64, wait time.Duration) *lane {
		return &lane{places: semaphore.NewWeighted(n), size: n, wait: wait}
	}
	return lanes{
		door:   count(256, time.Second),
		read:   count(64, 2*time.Second),
		write:  &lane{places: semaphore.NewWeighted(3 * maxBody), size: 3 * maxBody, wait: 5 * time.Second, weigh: true},
		export: count(4, 2*time.Second),
		stream: count(128, 0),
		pages:  count(64, 2*time.Second),
	}
}

// enter takes a place; the returned function gives it back.
func (l *lane) enter(r *http.Request) (leave func(), err error) {
	if l == nil {
		return func() {}, nil
	}
	weight := int64(1)
	if l.weigh {
		switch {
		case r.ContentLength > maxBody:
			return nil, tracedb.ErrTooLarge.Says("the body has more than %d bytes", maxBody)
		case r.ContentLength < 0:
			weight = maxBody
		default:
			// What a small record takes beside its bytes.
			weight = r.ContentLength + 64<<10
		}
		weight = min(weight, l.size)
	}
	if !l.places.TryAcquire(weight) {
		ctx, cancel := context.WithTimeout(r.Context(), l.wait)
		defer cancel()
		if err := l.places.Acquire(ctx, weight); err != nil {
			return nil, tracedb.ErrTooMany.Says("too many requests of this sort are being answered").WithHint("try again in a second")
		}
	}
	return func() { l.places.Release(weight) }, nil
}
