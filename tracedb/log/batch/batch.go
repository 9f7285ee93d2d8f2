// Package batch lets requests that come at the same time share a transaction. It owns when one begins
// and with which of them; it refuses to know what is done in it.
package batch

import "time"

// One transaction takes at most so many records and bytes of payload: many callers mustn't make the first
// wait for ever, nor fill the memory.
const (
	maxBatch      = 4096
	maxBatchBytes = 16 << 20
)

// maxLinger is how long is waited at most for as many requests as came last time: a quarter of what the last
// transaction took, but no longer than this.
const maxLinger = 2 * time.Millisecond

// Queue hands requests over in batches. Waiting a moment for as many as came last time is tuning: with
// one transaction for all, eight writers of single records append 4,798 a second on SQLite, where plain inserts make
// 4,923 (docs/trace/operating.md).
type Queue[R any] struct {
	Requests <-chan R
	Stop     <-chan struct{}              // closed: no more requests are taken
	Size     func(R) (records, bytes int) // of a request

	lastSize int           // requests in the last batch
	linger   time.Duration // how long to wait for as many
}

// Run commits the requests that wait together, again and again, until Stop is closed. While it commits, the
// next ones wait.
func (q *Queue[R]) Run(commit func([]R)) {
	for {
		select {
		case first := <-q.Requests:
			requests := q.collect(first)
			start := time.Now()
			commit(requests)
			q.linger = min(time.Since(start)/4, maxLinger)
		case <-q.Stop:
			return
		}
	}
}

// collect takes the requests that wait already. If there were more last time, it waits a moment for as many:
// a caller that got its result then is likely to be back soon, and one transaction for all costs each of them
// less than several in a row. A lone caller never waits.
func (q *Queue[R]) collect(first R) []R {
	requests := []R{first}
	records, bytes := q.Size(first)
	linger := time.NewTimer(q.linger)
	defer linger.Stop()
	for records < maxBatch && bytes < maxBatchBytes {
		r, ok := q.next(linger.C, len(requests) < q.lastSize)
		if !ok {
			break
		}
		requests = append(requests, r)
		n, size := q.Size(r)
		records, bytes = records+n, bytes+size
	}
	q.lastSize = len(requests)
	return requests
}

// next is a request that waits, or one that comes until the timer ends.
func (q *Queue[R]) next(timer <-chan time.Time, wait bool) (r R, ok bool) {
	select {
	case r = <-q.Requests:
		return r, true
	default:
	}
	if !wait {
		return r, false
	}
	select {
	case r = <-q.Requests:
		return r, true
	case <-timer:
	case <-q.Stop:
	}
	return r, false
}
