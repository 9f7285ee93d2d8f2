package supply

import (
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/druppie/druppie-up/internal/ui"
)

// meter counts bytes over all images. The sizes of images whose manifests are
// still on their way are taken to be as large as the others.
type meter struct {
	task   ui.Task
	images int

	mu      sync.Mutex
	at      map[string]bool // images being fetched
	known   int
	size    int64
	done    int64
	fetched int64
}

// know adds an image's size to the whole.
func (m *meter) know(w *want) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.known++
	for _, d := range w.blobs() {
		m.size += d.Size
	}
	m.show()
}

// moved counts bytes as they come.
func (m *meter) moved(n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.done += n
	m.fetched += n
	m.show()
}

// settle corrects the count of a blob that is there now: what was fetched twice
// counts once, what needn't be fetched counts too.
func (m *meter) settle(size, counted int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.done += size - counted
	m.show()
}

func (m *meter) working(name string) (done func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.at[name] = true
	m.name()
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.at, name)
		m.name()
	}
}

func (m *meter) name() {
	if len(m.at) > 0 {
		m.task.Detail("%s", strings.Join(slices.Sorted(maps.Keys(m.at)), ", "))
	}
}

func (m *meter) show() {
	if m.known > 0 {
		m.task.Progress(m.done, m.size*int64(m.images)/int64(m.known))
	}
}
