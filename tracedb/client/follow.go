package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/wire"
)

// maxLine bounds a line of the stream: an entry with its 64 refs.
const maxLine = 256 << 10

// Now is Follow's after for new records only.
const Now = -2

// Follow calls f for each record that the log takes from now on, of those kinds or of all, in the log's
// order; with after also for those behind that place (-1: all; Now: none). It reconnects where it was,
// and misses nothing and repeats nothing; while the service can't be reached it goes on trying, with
// growing pauses, whatever the client's patience. It returns when ctx ends or f returns an error, with
// that error, and when the service refuses.
func (c *Client) Follow(ctx context.Context, after int64, kinds []tracedb.Kind, f func(tracedb.Entry) error) error {
	q := wire.Query(tracedb.Query{Kinds: kinds})
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		header := http.Header{"Accept": {"text/event-stream"}}
		if after >= -1 {
			header.Set("Last-Event-ID", strconv.FormatInt(after, 10))
		}
		was := after
		resp, err := c.do(ctx, call{method: http.MethodGet, path: "/v1/events", query: q, header: header, long: true, always: true})
		if err == nil {
			err = events(resp.Body, &after, f)
			resp.Body.Close()
		}
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			return err
		case after != was:
			pause = firstPause
		}
		// The stream ended by itself: the service stopped, or something between us had enough.
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// events reads a stream until it ends, which isn't an error, and keeps the last id that it named.
func events(body io.Reader, last *int64, f func(tracedb.Entry) error) error {
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, maxLine)
	var data []string
	next := *last
	for lines.Scan() {
		line := lines.Text()
		if text, ok := strings.CutPrefix(line, "data:"); ok {
			data = append(data, strings.TrimPrefix(text, " "))
			continue
		}
		if text, ok := strings.CutPrefix(line, "id:"); ok {
			id, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
			if err != nil {
				return fmt.Errorf("read the stream: %w", err)
			}
			next = id
			continue
		}
		if line != "" {
			continue
		}
		// Only a whole event counts: what broke off comes again.
		*last = next
		if len(data) == 0 {
			continue
		}
		var e tracedb.Entry
		if err := json.Unmarshal([]byte(strings.Join(data, "\n")), &e); err != nil {
			return fmt.Errorf("read the stream: %w", err)
		}
		data = nil
		if err := f(e); err != nil {
			return err
		}
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		// It would be as long the next time.
		return fmt.Errorf("read the stream: %w", lines.Err())
	}
	return nil
}
