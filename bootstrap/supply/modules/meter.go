package modules

import (
	"sync"
	"time"

	"github.com/druppie/druppie-up/internal/ui"
)

// meter turns builds of known weight into progress: while a build runs it
// moves with the clock, never past that build's own weight.
type meter struct {
	task ui.Task

	mu      sync.Mutex
	weights map[string]int
	done    int
	total   int
}

// tick is how often a running build moves the meter.
const tick = time.Second

func newMeter(task ui.Task, p plan) *meter {
	m := &meter{task: task, weights: map[string]int{}}
	for _, u := range p.work {
		m.weights[u.component+"/"+u.source] = u.seconds
		m.total += u.seconds
	}
	return m
}

// built counts a build that was there already.
func (m *meter) built(component, source string) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.finish(component + "/" + source)
}

// finish counts a build once.
func (m *meter) finish(key string) {
	m.done += m.weights[key]
	delete(m.weights, key)
	m.task.Progress(int64(m.done), int64(m.total))
}

// work begins a build; the function it returns ends it.
func (m *meter) work(component, source string, seconds int) func() {
	if m == nil {
		return func() {}
	}
	m.task.Detail("building %s (%s)", component, source)
	stop, stopped := make(chan struct{}), make(chan struct{})
	begun := time.Now()
	go func() {
		defer close(stopped)
		t := time.NewTicker(tick)
		defer t.Stop()
		for {
			select {
			case <-stop:
				return
			case <-t.C:
				m.mu.Lock()
				part := min(int(time.Since(begun).Seconds()), m.weights[component+"/"+source])
				m.task.Progress(int64(m.done+part), int64(m.total))
				m.mu.Unlock()
			}
		}
	}()
	return func() {
		close(stop)
		<-stopped
		m.built(component, source)
	}
}
