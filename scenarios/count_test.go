package scenarios

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestCountTellsAnsweredFromLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		n := count(t.Context(), func(context.Context) error {
			if asked++; asked%4 == 0 {
				return errors.New("connection refused")
			}
			return nil
		})
		time.Sleep(8*countEvery - countEvery/2) // eight are asked: at once, and then seven times
		n.end()
		if n.answered != 6 || n.lost != 2 || n.why == nil {
			t.Errorf("%d answered, %d lost, the first: %v", n.answered, n.lost, n.why)
		}
	})
}

// What its own end cut short wasn't lost.
func TestCountLeavesOutWhatItCutsShort(t *testing.T) {
	n := count(t.Context(), func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	})
	n.end()
	if n.answered != 0 || n.lost != 0 {
		t.Errorf("%d answered, %d lost", n.answered, n.lost)
	}
}

// A count that shows nothing, or that something was lost, isn't taken for a good one.
func TestCountStops(t *testing.T) {
	for name, tt := range map[string]struct {
		counter *counter
		want    string
	}{
		"good":    {&counter{answered: 7}, ""},
		"lost":    {&counter{answered: 7, lost: 1, why: errors.New("refused")}, "1 requests of 8 were lost, the first: refused"},
		"nothing": {&counter{}, "no request was made"},
		"none":    {nil, "no requests are counted"},
	} {
		t.Run(name, func(t *testing.T) {
			e, _ := answering(t)
			if tt.counter != nil {
				tt.counter.stop, tt.counter.done = func() {}, make(chan struct{})
				close(tt.counter.done)
			}
			e.counter = tt.counter
			h := runScript(t, e, "count stop\n")
			if h.failed != (tt.want != "") || !strings.Contains(h.log.String(), tt.want) {
				t.Error(h.log.String())
			}
		})
	}
}
