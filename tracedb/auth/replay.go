package auth

import (
	"sync"
	"time"

	"github.com/druppie/druppie-up/tracedb"
)

// maxRemembered bounds a replay cache.
const maxRemembered = 10_000

// replayCache keeps names that must not count again, each until it wouldn't count anyhow. It is this process's
// own: another one, and the next, know nothing of it.
type replayCache struct {
	now func() time.Time

	mu    sync.Mutex
	until map[string]time.Time
}

func newReplayCache(now func() time.Time) *replayCache {
	return &replayCache{now: now, until: map[string]time.Time{}}
}

func (m *replayCache) has(name string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, ok := m.until[name]
	return ok
}

// add remembers a name, and says whether it is new. Nothing is forgotten to make room: who is out of room
// gets an error that says to wait.
func (m *replayCache) add(name string, until time.Time) (fresh bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.until[name]; ok {
		return false, nil
	}
	if len(m.until) >= maxRemembered {
		now := m.now()
		for n, u := range m.until {
			if !u.After(now) {
				delete(m.until, n)
			}
		}
		if len(m.until) >= maxRemembered {
			return false, tracedb.ErrUnavailable.Says("too many people logged in or out of late").WithHint("try again in some minutes")
		}
	}
	m.until[name] = until
	return true, nil
}
