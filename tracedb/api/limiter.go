package api

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/auth"
)

const (
	// maxBody is the most bytes that a request's body may have.
	maxBody = 16 << 20
	// maxEvent is the most bytes of a webhook.
	maxEvent = 1 << 20
)

// limiter is a concurrency limiter, not a rate limiter, though it answers 429 as well: it bounds how much of one sort of work is under way, so that no sort
// takes the others' place. A place is held until the answer is written, so whoever reads slowly holds it
// long: anonymous callers, who are all callers without a role, have places of their own, and no address has
// more than its share of them.
type limiter struct {
	authenticated *semaphore.Weighted
	anonymous     *anonymous
	wait          time.Duration // how long to wait for a place
	maxBytes      int64         // above 0: places are bytes, of a body that has at most so many
}

// limiters are those of the service. What they allow together bounds its memory.
type limiters struct{ admission, read, write, hook, export, stream, pages *limiter }

func newLimiters() limiters {
	count := func(n int64, wait time.Duration) *limiter {
		return &limiter{authenticated: semaphore.NewWeighted(n), anonymous: newAnonymous(n), wait: wait}
	}
	maxBytes := func(body, n int64) *limiter {
		l := count(n*body, 5*time.Second)
		l.maxBytes = body
		return l
	}
	return limiters{
		admission: count(256, time.Second),
		read:      count(64, 2*time.Second),
		write:     maxBytes(maxBody, 3),
		hook:      maxBytes(maxEvent, 16),
		export:    count(4, 2*time.Second),
		stream:    count(128, 0),
		pages:     count(64, 2*time.Second),
	}
}

// acquire takes a place; the returned function gives it back.
func (l *limiter) acquire(r *http.Request) (release func(), err error) {
	if l == nil {
		return func() {}, nil
	}
	weight, err := l.weight(r)
	if err != nil {
		return nil, err
	}
	if len(auth.From(r.Context()).Roles) > 0 {
		release, err = take(r.Context(), l.authenticated, weight, l.wait)
	} else {
		release, err = l.anonymous.take(r, weight, l.wait)
	}
	if err != nil {
		return nil, tracedb.ErrTooMany.Says("too many requests of this sort are being answered").WithHint("try again in a second")
	}
	return release, nil
}

func (l *limiter) weight(r *http.Request) (int64, error) {
	switch n := r.ContentLength; {
	case l.maxBytes == 0:
		return 1, nil
	case n > l.maxBytes:
		return 0, tracedb.ErrTooLarge.Says("the body has more than %d bytes", l.maxBytes)
	case n < 0:
		return l.maxBytes, nil
	default:
		// What a small record takes beside its bytes.
		return min(n+64<<10, l.maxBytes), nil
	}
}

func take(ctx context.Context, places *semaphore.Weighted, weight int64, wait time.Duration) (release func(), err error) {
	if !places.TryAcquire(weight) {
		ctx, cancel := context.WithTimeout(ctx, wait)
		defer cancel()
		if err := places.Acquire(ctx, weight); err != nil {
			return nil, err
		}
	}
	return func() { places.Release(weight) }, nil
}

// anonymous callers share places by the address that they call from. It is a pod's own within the cluster; those
// outside may have one together.
type anonymous struct {
	all   *semaphore.Weighted
	share int64

	mu   sync.Mutex
	from map[string]*address
}

// address is one that somebody calls from now.
type address struct {
	places *semaphore.Weighted
	users  int // that hold places, or wait for them
}

func newAnonymous(n int64) *anonymous {
	return &anonymous{all: semaphore.NewWeighted(n), share: n / 4, from: map[string]*address{}}
}

func (s *anonymous) take(r *http.Request, weight int64, wait time.Duration) (release func(), err error) {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	a := s.join(host)
	releaseShare, err := take(r.Context(), a.places, weight, wait)
	if err != nil {
		s.leave(host, a)
		return nil, err
	}
	releaseAll, err := take(r.Context(), s.all, weight, wait)
	if err != nil {
		releaseShare()
		s.leave(host, a)
		return nil, err
	}
	return func() {
		releaseAll()
		releaseShare()
		s.leave(host, a)
	}, nil
}

func (s *anonymous) join(host string) *address {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.from[host]
	if a == nil {
		a = &address{places: semaphore.NewWeighted(s.share)}
		s.from[host] = a
	}
	a.users++
	return a
}

func (s *anonymous) leave(host string, a *address) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a.users--; a.users == 0 {
		delete(s.from, host)
	}
}
