package modules

import (
	"sync"
	"time"

	"github.com/druppie/druppie-up/internal/ui"
)

// progress turns builds of known weight into progress: a build that runs counts
// by the clock, never past its own weight, beside all others that run.
type progress struct {
	task ui.Task

	mu      sync.Mutex
	weights map[string]int // of the builds that haven't ended, in seconds
	running map[string]time.Time
	done    int
	total   int
}

// tick is how often running builds move the progress.
const tick = time.Second

func newProgress(task ui.Task, p plan) *progress {
	m := &progress{task: task, weights: map[string]int{}, running: map[string]time.Time{}}
	for _, u := range p.work {
		m.weights[u.component+"/"+u.source] = u.seconds
		m.total += u.seconds
	}
	return m
}

// built counts a build that is there, once.
func (m *progress) built(component, source string) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	key := component + "/" + source
	m.done += m.weights[key]
	delete(m.weights, key)
	delete(m.running, key)
	m.show()
}

// show reports what is done, with the part of what runs that its time stands for.
func (m *progress) show() {
	done := m.done
	for key, begun := range m.running {
		done += min(int(time.Since(begun).Seconds()), m.weights[key])
	}
	m.task.Progress(int64(done), int64(m.total))
}

// work begins a build, which may be part of one that runs already; the
// function it returns ends it.
func (m *progress) work(component, source string) func() {
	if m == nil {
		return func() {}
	}
	m.task.Detail("building %s (%s)", component, source)
	m.mu.Lock()
	m.running[component+"/"+source] = time.Now()
	m.mu.Unlock()
	stop, stopped := make(chan struct{}), make(chan struct{})
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
				m.show()
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
