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

// lane bounds how much of one sort of work is under way, so that no sort takes the others' place. A
// place is held until the answer is written, so whoever reads slowly holds it long: strangers, who are
// all callers without a role, have places of their own, and no address has more than its share of them.
type lane struct {
	named     *semaphore.Weighted
	strangers *strangers
	wait      time.Duration // how long to wait for a place
	weigh     int64         // above 0: places are bytes, of a body that has at most so many
}

// lanes are those of the service. What they allow together bounds its memory.
type lanes struct{ door, read, write, hook, export, stream, pages *lane }

func newLanes() lanes {
	count := func(n int64, wait time.Duration) *lane {
		return &lane{named: semaphore.NewWeighted(n), strangers: newStrangers(n), wait: wait}
	}
	weigh := func(body, n int64) *lane {
		l := count(n*body, 5*time.Second)
		l.weigh = body
		return l
	}
	return lanes{
		door:   count(256, time.Second),
		read:   count(64, 2*time.Second),
		write:  weigh(maxBody, 3),
		hook:   weigh(maxEvent, 16),
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
	weight, err := l.weight(r)
	if err != nil {
		return nil, err
	}
	if len(auth.From(r.Context()).Roles) > 0 {
		leave, err = take(r.Context(), l.named, weight, l.wait)
	} else {
		leave, err = l.strangers.take(r, weight, l.wait)
	}
	if err != nil {
		return nil, tracedb.ErrTooMany.Says("too many requests of this sort are being answered").WithHint("try again in a second")
	}
	return leave, nil
}

func (l *lane) weight(r *http.Request) (int64, error) {
	switch n := r.ContentLength; {
	case l.weigh == 0:
		return 1, nil
	case n > l.weigh:
		return 0, tracedb.ErrTooLarge.Says("the body has more than %d bytes", l.weigh)
	case n < 0:
		return l.weigh, nil
	default:
		// What a small record takes beside its bytes.
		return min(n+64<<10, l.weigh), nil
	}
}

func take(ctx context.Context, places *semaphore.Weighted, weight int64, wait time.Duration) (leave func(), err error) {
	if !places.TryAcquire(weight) {
		ctx, cancel := context.WithTimeout(ctx, wait)
		defer cancel()
		if err := places.Acquire(ctx, weight); err != nil {
			return nil, err
		}
	}
	return func() { places.Release(weight) }, nil
}

// strangers share places by the address that they call from. It is a pod's own within the cluster; those
// outside may have one together.
type strangers struct {
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

func newStrangers(n int64) *strangers {
	return &strangers{all: semaphore.NewWeighted(n), share: n / 4, from: map[string]*address{}}
}

func (s *strangers) take(r *http.Request, weight int64, wait time.Duration) (leave func(), err error) {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	a := s.come(host)
	leaveShare, err := take(r.Context(), a.places, weight, wait)
	if err != nil {
		s.leave(host, a)
		return nil, err
	}
	leaveAll, err := take(r.Context(), s.all, weight, wait)
	if err != nil {
		leaveShare()
		s.leave(host, a)
		return nil, err
	}
	return func() {
		leaveAll()
		leaveShare()
		s.leave(host, a)
	}, nil
}

func (s *strangers) come(host string) *address {
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

func (s *strangers) leave(host string, a *address) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a.users--; a.users == 0 {
		delete(s.from, host)
	}
}
