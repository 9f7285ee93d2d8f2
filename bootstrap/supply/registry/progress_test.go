package registry

import (
	"slices"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/druppie/druppie-up/internal/ui"
)

// TestProgressNeverFalls fetches one blob twice, finds another one there, and learns late how large the
// last image is.
func TestProgressNeverFalls(t *testing.T) {
	task := &recordedProgress{Task: ui.Discard().Start("", "")}
	m := &progress{task: task, images: 3, current: map[string]bool{}}
	m.addTotal([]v1.Descriptor{{Size: 100}, {Size: 50}})
	twice, there, large := &blobProgress{progress: m, size: 100}, &blobProgress{progress: m, size: 50}, &blobProgress{progress: m, size: 1000}
	twice.add(80)
	m.addTotal(nil)
	m.addTotal([]v1.Descriptor{{Size: 1000}})
	twice.add(20)
	twice.add(100)
	twice.complete()
	there.complete()
	large.add(1000)
	large.complete()
	if !slices.IsSorted(task.share) {
		t.Errorf("progress fell: %v", task.share)
	}
	if last := task.share[len(task.share)-1]; last != 1 {
		t.Errorf("in the end %v of the work is done, want all", last)
	}
	if m.fetched != 1200 {
		t.Errorf("%d bytes were fetched, want 1200", m.fetched)
	}
}

// recordedProgress keeps how much of the work was reported as done.
type recordedProgress struct {
	ui.Task
	share []float64
}

func (p *recordedProgress) Progress(done, total int64) {
	p.share = append(p.share, float64(done)/float64(total))
}
