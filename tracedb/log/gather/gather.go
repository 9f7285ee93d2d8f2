// Package gather lets what comes from many at the same time share a transaction. It owns when one begins
// and with whom; it refuses to know what is done in it.
package gather

import "time"

// One transaction takes at most so many records and bytes of payload: a crowd mustn't make the first
// in line wait for ever, nor fill the memory.
const (
	maxBatch      = 4096
	maxBatchBytes = 16 << 20
)

// maxPatience is how long is waited at most for those who came last time: a quarter of what the last
// transaction took, but no longer than this.
const maxPatience = 2 * time.Millisecond

// Queue hands calls over in batches.
type Queue[C any] struct {
	Calls <-chan C
	Stop  <-chan struct{}              // closed: no more calls are taken
	Size  func(C) (records, bytes int) // of a call

	crowd    int           // calls in the last batch
	patience time.Duration // how long to wait for as many
}

// Run commits the calls that wait together, again and again, until Stop is closed. While it commits, the
// next ones gather.
func (q *Queue[C]) Run(commit func([]C)) {
	for {
		select {
		case first := <-q.Calls:
			calls := q.gather(first)
			start := time.Now()
			commit(calls)
			q.patience = min(time.Since(start)/4, maxPatience)
		case <-q.Stop:
			return
		}
	}
}

// gather takes the calls that wait already. If there were more last time, it waits a moment for as many:
// whoever was answered then is likely to be back soon, and one transaction for all costs each of them
// less than several in a row. Who is alone never waits.
func (q *Queue[C]) gather(first C) []C {
	var calls []C
	records, bytes := 0, 0
	take := func(c C) {
		calls = append(calls, c)
		r, b := q.Size(c)
		records, bytes = records+r, bytes+b
	}
	patience := time.NewTimer(q.patience)
	defer patience.Stop()
	for take(first); records < maxBatch && bytes < maxBatchBytes; {
		select {
		case c := <-q.Calls:
			take(c)
			continue
		default:
		}
		if len(calls) >= q.crowd {
			break
		}
		select {
		case c := <-q.Calls:
			take(c)
			continue
		case <-patience.C:
		case <-q.Stop:
		}
		break
	}
	q.crowd = len(calls)
	return calls
}
