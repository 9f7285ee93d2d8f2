package log

import (
	"time"

	"golang.org/x/sys/unix"
)

// This is tuning. Measured on two cores at 1,000 admission requests a second: a commit takes a processor for a
// millisecond or more, and a thread that wakes waited until that slice was used up, which was most of what the
// slowest hundredth of the answers took. With it, they take less than 2 ms (docs/trace/operating.md).

const (
	// batchNice is the committer's nice value: other threads then weigh three times as much (sched(7)).
	batchNice = 5
	// batchSlice is longer than a commit takes. A thread that asked for a shorter slice, as all do that ask for
	// none, goes first when it wakes, and nobody's share of the processor changes (sched_setattr(2); EEVDF, since
	// Linux 6.12). The kernel takes up to a tenth of a second, but other programs' threads may then go first for
	// as long.
	batchSlice = 10 * time.Millisecond
)

// lowerPriority makes the calling thread one of SCHED_BATCH that is nicer than others, and never less nice than
// it was. A kernel that doesn't allow that, or an older one that knows no slices, changes nothing that matters:
// answers come later then.
func lowerPriority() {
	now, err := unix.SchedGetAttr(0, 0)
	if err != nil {
		return
	}
	_ = unix.SchedSetAttr(0, &unix.SchedAttr{Policy: unix.SCHED_BATCH, Nice: max(now.Nice, batchNice), Runtime: uint64(batchSlice)}, 0)
}
