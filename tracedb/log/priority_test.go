package log

import (
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// TestCommitterNeverComesBeforeOthers asks the kernel what it made of it, on threads that end with the test.
// Being nicer is optional: a kernel may refuse it. Being less nice than the program was started is not.
func TestCommitterNeverComesBeforeOthers(t *testing.T) {
	for _, tt := range []struct {
		name string
		nice int32
	}{{"started as usual", 0}, {"started to be nicer than the committer", batchNice + 5}} {
		t.Run(tt.name, func(t *testing.T) {
			type attrs struct{ before, after *unix.SchedAttr }
			got := make(chan attrs, 1)
			go func() {
				runtime.LockOSThread()
				defer close(got)
				if unix.SchedSetAttr(0, &unix.SchedAttr{Policy: unix.SCHED_NORMAL, Nice: tt.nice}, 0) != nil {
					return
				}
				before, err := unix.SchedGetAttr(0, 0)
				if err != nil {
					return
				}
				lowerPriority()
				after, err := unix.SchedGetAttr(0, 0)
				if err != nil {
					return
				}
				got <- attrs{before, after}
			}()
			a, ok := <-got
			if !ok {
				t.Skip("LEFT OUT: this kernel doesn't let a thread ask for its priority")
			}
			if a.after.Nice < a.before.Nice {
				t.Errorf("nice %d, before that %d", a.after.Nice, a.before.Nice)
			}
			if a.after.Policy != a.before.Policy && a.after.Policy != unix.SCHED_BATCH {
				t.Errorf("policy %d", a.after.Policy)
			}
		})
	}
}
