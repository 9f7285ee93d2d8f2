package registry

import (
	"maps"
	"slices"
	"strings"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/druppie/druppie-up/internal/ui"
)

// progress counts bytes over all images. It reports nothing before the sizes of
// all are known, since a guess at the whole would have to be taken back.
type progress struct {
	task   ui.Task
	images int

	mu      sync.Mutex
	current map[string]bool // images being fetched
	known   int             // images whose manifests have been asked for
	size    int64           // bytes of those images
	done    int64           // bytes that are there, each counted once
	fetched int64           // bytes that came over the network
}

// addTotal adds the sizes of an image's blobs to the whole; one that can't be had
// has none.
func (m *progress) addTotal(blobs []v1.Descriptor) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.known++
	for _, d := range blobs {
		m.size += d.Size
	}
	m.show()
}

// blobProgress counts one blob, which may be fetched more than once, or not at all.
type blobProgress struct {
	*progress
	size, counted int64
}

// add counts bytes as they come.
func (b *blobProgress) add(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fetched += n
	b.count(min(n, b.size-b.counted))
}

// complete counts what needn't be fetched.
func (b *blobProgress) complete() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.count(b.size - b.counted)
}

func (b *blobProgress) count(n int64) {
	b.counted += n
	b.done += n
	b.show()
}

func (m *progress) fetching(name string) (done func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.current[name] = true
	m.showNames()
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.current, name)
		m.showNames()
	}
}

func (m *progress) showNames() {
	if len(m.current) > 0 {
		m.task.Detail("%s", strings.Join(slices.Sorted(maps.Keys(m.current)), ", "))
	}
}

func (m *progress) show() {
	if m.known == m.images {
		m.task.Progress(m.done, m.size)
	}
}
