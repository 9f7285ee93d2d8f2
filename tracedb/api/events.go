package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/wire"
)

// beforeFirst is the id before the first record.
const beforeFirst = "-1"

// events is GET /v1/events: Server-Sent Events (HTML Living Standard, section 9.2), one for each
// record that the log takes. Last-Event-ID, or after=, goes on behind that record.
func (s *service) events(w http.ResponseWriter, r *http.Request) error {
	q := params(r, "kind", "after")
	only, last := q.kinds(), q.one("after")
	if q.err != nil {
		return q.err
	}
	from := s.Log.Size()
	// A browser that comes back says where it was; that is newer than its address.
	if id := r.Header.Get("Last-Event-ID"); id != "" {
		last = id
	}
	if last == beforeFirst {
		from = 0
	} else if last != "" {
		seq, err := parseSeq(last)
		if err != nil {
			return tracedb.AsError(err).At("Last-Event-ID")
		}
		from = min(seq+1, from)
	}
	if err := s.recordRead(r, "events", wire.Kinds(only)); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.timeouts.stream)
	defer cancel()
	entries, err := s.Log.Follow(ctx, from)
	if err != nil {
		return err
	}
	// The server's own limits are for requests and answers of ordinary size.
	control := http.NewResponseController(w)
	if err := supported(control.SetReadDeadline(time.Time{})); err != nil {
		return err
	}
	s.metrics.streams.Inc()
	defer s.metrics.streams.Dec()
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no")
	w.WriteHeader(http.StatusOK)
	// send leaves no deadline: over HTTP/2 the stream would end when it passes, also if there was nothing to send.
	send := func(format string, args ...any) error {
		if err := control.SetWriteDeadline(time.Now().Add(s.timeouts.send)); err != nil {
			return err
		}
		if _, err := fmt.Fprintf(w, format, args...); err != nil {
			return err
		}
		if err := control.Flush(); err != nil {
			return err
		}
		return control.SetWriteDeadline(time.Time{})
	}
	// An id without data makes no event, but gives the reader where to go on: also when nothing came
	// before the connection broke, or nothing of the kinds that it wants.
	seen := from - 1
	if send("retry: 2000\nid: %d\n\n", seen) != nil {
		return nil
	}
	beat := time.NewTicker(s.timeouts.heartbeat)
	defer beat.Stop()
	for {
		select {
		case e, ok := <-entries:
			if !ok {
				return nil
			}
			seen = e.Seq
			if len(only) > 0 && !slices.Contains(only, e.Kind) {
				continue
			}
			raw, err := json.Marshal(e)
			if err != nil || send("id: %d\nevent: record\ndata: %s\n\n", e.Seq, raw) != nil {
				return nil
			}
		case <-beat.C:
			if send("id: %d\n\n", seen) != nil {
				return nil
			}
		case <-s.Done:
			return nil
		case <-ctx.Done():
			return nil
		}
	}
}
