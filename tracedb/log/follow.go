package log

import (
	"context"
	"errors"
	"time"

	"github.com/druppie/druppie-up/tracedb"
)

// Follow reads in portions, and looks by itself now and then for what another program wrote.
const (
	followAtOnce = 256
	followEvery  = time.Second
	// followPause lets entries gather: under load, reading each commit's alone costs several times as much.
	followPause = 50 * time.Millisecond
)

// Follow sends entries from seq on as they come, until ctx ends, the log is closed, or an entry can't be
// read; then the channel is closed. A database that isn't there for a while is waited for. A reader that
// is slow holds up nobody else.
func (l *Log) Follow(ctx context.Context, from int64) (<-chan tracedb.Entry, error) {
	if _, err := l.headAtLeast(ctx, 0); err != nil {
		return nil, err
	}
	out := make(chan tracedb.Entry)
	go l.follow(ctx, max(from, 0), out)
	return out, nil
}

func (l *Log) follow(ctx context.Context, from int64, out chan<- tracedb.Entry) {
	defer close(out)
	look := time.NewTicker(followEvery)
	defer look.Stop()
	for {
		_, grown := l.current()
		reading, done := l.withTimeout(ctx)
		entries, err := l.Range(reading, from, followAtOnce)
		done()
		if err != nil && !errors.Is(err, tracedb.ErrUnavailable) {
			return
		}
		for _, e := range entries {
			select {
			case out <- e:
				from = e.Seq + 1
			case <-ctx.Done():
				return
			}
		}
		if len(entries) == followAtOnce {
			continue
		}
		var pause <-chan time.Time
		if len(entries) > 0 {
			grown, pause = nil, time.After(followPause)
		}
		select {
		case <-grown:
		case <-pause:
		case <-look.C:
		case <-l.stop:
			return
		case <-ctx.Done():
			return
		}
	}
}
