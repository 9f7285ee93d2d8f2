package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/druppie/druppie-up/tracedb"
)

const (
	// heartbeat keeps proxies from closing a stream in which nothing happens, and shows us a reader
	// who is gone.
	heartbeat = 15 * time.Second
	// sendIn is how long one event may take to be sent: a reader who reads slower is let go, and comes
	// back with the last id that it saw.
	sendIn = 10 * time.Second
	// streamFor is how long a stream lasts, since who may read it was asked at its beginning alone. Its
	// reader comes back with the last id that it saw, if it still may.
	streamFor = 30 * time.Minute
	// beginning is the id before the first record.
	beginning = "-1"
)

// events is GET /v1/events: Server-Sent Events (HTML Living Standard, section 9.2), one for each
// record that the log takes. Last-Event-ID, or after=, goes on behind that record.
func (s *service) events(w http.ResponseWriter, r *http.Request) error {
	q, err := params(r, "kind", "after")
	if err != nil {
		return err
	}
	only, err := kinds(q["kind"])
	if err != nil {
		return err
	}
	from := s.Log.Size()
	last, err := one(q, "after")
	if err != nil {
		return err
	}
	// A browser that comes back says where it was; that is newer than its address.
	if id := r.Header.Get("Last-Event-ID"); id != "" {
		last = id
	}
	if last == beginning {
		from = 0
	} else if last != "" {
		seq, err := place(last)
		if err != nil {
			return tracedb.AsError(err).At("Last-Event-ID")
		}
		from = min(seq+1, from)
	}
	if err := s.noted(r, "events", joined(only)); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.pace.streamFor)
	defer cancel()
	entries, err := s.Log.Follow(ctx, from)
	if err != nil {
		return err
	}
	// The server's own limits are for requests and answers of ordinary size.
	if err := readUntil(w, time.Time{}); err != nil {
		return err
	}
	s.metrics.streams.Inc()
	defer s.metrics.streams.Dec()
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no")
	w.WriteHeader(http.StatusOK)
	out := stream{w: w, control: http.NewResponseController(w), in: s.pace.sendIn}
	// An id without data makes no event, but tells the reader where to go on: also when nothing came
	// before the connection broke, or nothing of the kinds that it wants.
	seen := from - 1
	if out.send(fmt.Sprintf("retry: 2000\nid: %d\n\n", seen)) != nil {
		return nil
	}
	beat := time.NewTicker(s.pace.heartbeat)
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
			if err != nil {
				return nil
			}
			if out.send(fmt.Sprintf("id: %d\nevent: record\ndata: %s\n\n", e.Seq, raw)) != nil {
				return nil
			}
		case <-beat.C:
			if out.send(fmt.Sprintf("id: %d\n\n", seen)) != nil {
				return nil
			}
		case <-s.Done:
			return nil
		case <-ctx.Done():
			return nil
		}
	}
}

type stream struct {
	w       http.ResponseWriter
	control *http.ResponseController
	in      time.Duration
}

// send sends, and leaves no limit standing: over HTTP/2 the stream would end when it passes, also if
// nothing was there to be sent.
func (s stream) send(text string) error {
	if err := s.control.SetWriteDeadline(time.Now().Add(s.in)); err != nil {
		return err
	}
	if _, err := s.w.Write([]byte(text)); err != nil {
		return err
	}
	if err := s.control.Flush(); err != nil {
		return err
	}
	return s.control.SetWriteDeadline(time.Time{})
}
