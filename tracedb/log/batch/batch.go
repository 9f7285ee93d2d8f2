// Package batch lets calls that come at the same time share a transaction. It owns when one begins
// and with whom; it refuses to know what is done in it.
package batch

import "time"

// One transaction takes at most so many records and bytes of payload: many callers mustn't make the first
// wait for ever, nor fill the memory.
const (
	maxBatch      = 4096
	maxBatchBytes = 16 << 20
)

// maxLinger is how long is waited at most for those who came last time: a quarter of what the last
// transaction took, but no longer than this.
const maxLinger = 2 * time.Millisecond

// Queue hands calls over in batches. Waiting a moment for those who came last time is tuning: with
// one transaction for all, eight writers of single records append 4,798 a second on SQLite, where plain inserts make
// 4,923 (docs/trace/operating.md).
type Queue[C any] struct {
	Calls <-chan C
	Stop  <-chan struct{}              // closed: no more calls are taken
	Size  func(C) (records, bytes int) // of a call

	lastSize int           // calls in the last batch
	linger   time.Duration // how long to wait for as many
}

// Run commits the calls that wait together, again and again, until Stop is closed. While it commits, the
// next ones wait.
func (q *Queue[C]) Run(commit func([]C)) {
	for {
		select {
		case first := <-q.Calls:
			calls := q.collect(first)
			start := time.Now()
			commit(calls)
			q.linger = min(time.Since(start)/4, maxLinger)
		case <-q.Stop:
			return
		}
	}
}

// collect takes the calls that wait already. If there were more last time, it waits a moment for as many:
// whoever was answered then is likely to be back soon, and one transaction for all costs each of them
// less than several in a row. Who is alone never waits.
func (q *Queue[C]) collect(first C) []C {
	var calls []C
	records, bytes := 0, 0
	take := func(c C) {
		calls = append(calls, c)
		r, b := q.Size(c)
		records, bytes = records+r, bytes+b
	}
	linger := time.NewTimer(q.linger)
	defer linger.Stop()
	for take(first); records < maxBatch && bytes < maxBatchBytes; {
		select {
		case c := <-q.Calls:
			take(c)
			continue
		default:
		}
		if len(calls) >= q.lastSize {
			break
		}
		select {
		case c := <-q.Calls:
			take(c)
			continue
		case <-linger.C:
		case <-q.Stop:
		}
		break
	}
	q.lastSize = len(calls)
	return calls
}
