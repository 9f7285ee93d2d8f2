package log

import (
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestGiveWay asks the kernel what it made of it, on a thread that ends with the test.
func TestGiveWay(t *testing.T) {
	before := make(chan *unix.SchedAttr, 1)
	after := make(chan *unix.SchedAttr, 1)
	go func() {
		runtime.LockOSThread()
		for _, look := range []chan *unix.SchedAttr{before, after} {
			attr, err := unix.SchedGetAttr(0, 0)
			if err != nil {
				t.Error(err)
			}
			look <- attr
			giveWay()
		}
	}()
	a, b := <-before, <-after
	if b.Policy != unix.SCHED_BATCH || b.Nice != max(a.Nice, modest) {
		t.Errorf("policy %d, nice %d, before that %d and %d", b.Policy, b.Nice, a.Policy, a.Nice)
	}
	// Kernels before 6.12 know no slices.
	if b.Runtime != 0 && time.Duration(b.Runtime) != slice {
		t.Errorf("a slice of %s", time.Duration(b.Runtime))
	}
}
