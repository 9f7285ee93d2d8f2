package log

import (
	"time"

	"golang.org/x/sys/unix"
)

const (
	// modest is how far the committer steps back: others weigh three times as much (sched(7), nice).
	modest = 5
	// slice is longer than a commit takes: whoever asked for a shorter one, as all do that ask for none, goes
	// first when it wakes, and nobody's share of the processor changes (sched_setattr(2); EEVDF, since Linux
	// 6.12). The kernel takes up to a tenth of a second, but other programs' threads may be let in for as long.
	slice = 10 * time.Millisecond
)

// giveWay makes the calling thread one that works for long and lets those go first who have an answer to
// give: a commit takes a processor for a millisecond or more, and on a small machine whoever asks at the
// door would wait for it. Where the kernel doesn't let it, it stays as it was.
func giveWay() {
	now, err := unix.SchedGetAttr(0, 0)
	if err != nil {
		return
	}
	_ = unix.SchedSetAttr(0, &unix.SchedAttr{Policy: unix.SCHED_BATCH, Nice: max(now.Nice, modest), Runtime: uint64(slice)}, 0)
}
