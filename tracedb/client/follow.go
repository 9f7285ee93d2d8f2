package client

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/druppie/druppie-up/tracedb"
)

// maxLine bounds a line of the stream: an entry with its 64 refs.
const maxLine = 256 << 10

// Follow calls f for each record that the log takes from now on, of those kinds or of all, in the log's
// order; after >= 0 also for those behind that place. It reconnects where it was, and misses nothing
// and repeats nothing. It returns when ctx ends or f returns an error, with that error, and when the
// service refuses.
func (c *Client) Follow(ctx context.Context, after int64, kinds []tracedb.Kind, f func(tracedb.Entry) error) error {
	q := url.Values{}
	for _, k := range kinds {
		q.Add("kind", string(k))
	}
	for {
		header := http.Header{"Accept": {"text/event-stream"}}
		if after >= 0 {
			header.Set("Last-Event-ID", strconv.FormatInt(after, 10))
		}
		resp, err := c.do(ctx, call{method: http.MethodGet, path: "/v1/events", query: q, header: header})
		if err != nil {
			return err
		}
		err = events(resp.Body, func(e tracedb.Entry) error {
			after = e.Seq
			return f(e)
		})
		resp.Body.Close()
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			return err
		}
		// The stream ended by itself: the service stopped, or something between us had enough.
		select {
		case <-time.After(firstPause):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// events reads a stream until it ends, which isn't an error.
func events(body io.Reader, f func(tracedb.Entry) error) error {
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, maxLine)
	var data []string
	for lines.Scan() {
		line := lines.Text()
		if text, ok := strings.CutPrefix(line, "data:"); ok {
			data = append(data, strings.TrimPrefix(text, " "))
			continue
		}
		if line != "" || len(data) == 0 {
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
	return nil
}
