package api

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/api/apitest"
	"github.com/druppie/druppie-up/tracedb/client"
)

// unsigned is a log without a signing key.
type unsigned struct{ Log }

func (unsigned) Checkpoint(context.Context) (tracedb.Checkpoint, error) {
	return tracedb.Checkpoint{}, nil
}

// serve puts the world behind a real server, as the service has it.
func (w *world) serve(t *testing.T, h http.Handler) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(h)
	server.EnableHTTP2 = true
	server.Config.WriteTimeout = time.Minute
	server.StartTLS()
	t.Cleanup(server.Close)
	return server
}

func (w *world) client(server *httptest.Server, token string) *client.Client {
	return client.New(client.Options{
		URL: server.URL, HTTP: server.Client(), Token: func(context.Context) (string, error) { return token, nil },
	})
}

// stream reads the live stream: from where it begins, only some kinds, and on from where it broke off.
func (w *world) stream(t *testing.T) {
	t.Helper()
	server := w.serve(t, w.api)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/v1/events?kind=image", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+auditorToken)
	resp, err := server.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("%s %v", resp.Status, resp.Header)
	}
	lines := bufio.NewReader(resp.Body)
	first, err := lines.ReadString('\n')
	if err != nil || first != "retry: 2000\n" {
		t.Fatalf("the stream begins with %q, %v", first, err)
	}
	size := w.log.Size()
	service := apitest.NewService("druppie/dike-service", "", 77)
	if got := w.do(t, request{"POST", "/v1/records", writerToken, w.release(t, service), nil}); got.Code != http.StatusCreated {
		t.Fatalf("%d %s", got.Code, got.Body)
	}
	var event []string
	for !slices.ContainsFunc(event, func(l string) bool { return strings.HasPrefix(l, "data:") }) {
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		event = append(event, strings.TrimSpace(line))
	}
	if !slices.Contains(event, "event: record") || !strings.Contains(event[len(event)-1], `"kind":"image"`) {
		t.Errorf("event: %v", event)
	}

	// A client that begins at a place gets everything behind it, in order, once.
	var got []int64
	enough := errors.New("enough")
	err = w.client(server, auditorToken).Follow(t.Context(), size-1, nil, func(e tracedb.Entry) error {
		if got = append(got, e.Seq); e.Seq >= w.log.Size()-1 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) {
		t.Fatal(err)
	}
	var want []int64
	for seq := size; seq < w.log.Size(); seq++ {
		want = append(want, seq)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("followed (-want +got):\n%s", diff)
	}
}

// TestStreamBreaksOff cuts the connection after every answer; the client still sees every record once.
func TestStreamBreaksOff(t *testing.T) {
	w := newWorld(t)
	var cut atomic.Int32
	server := w.serve(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), 100*time.Millisecond)
		defer cancel()
		cut.Add(1)
		w.api.ServeHTTP(rw, r.WithContext(ctx))
	}))
	begin := w.log.Size() - 1
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		for n := range 5 {
			resp := httptest.NewRecorder()
			w.api.ServeHTTP(resp, request{"POST", "/v1/records", writerToken, w.release(t, apitest.NewService("druppie/dike-service", "", n)), nil}.http(ctx))
			if resp.Code != http.StatusCreated {
				t.Errorf("%d %s", resp.Code, resp.Body)
			}
			time.Sleep(120 * time.Millisecond)
		}
	}()
	var images []int64
	err := w.client(server, auditorToken).Follow(ctx, begin, []tracedb.Kind{tracedb.KindImage}, func(e tracedb.Entry) error {
		if images = append(images, e.Seq); len(images) == 5 {
			cancel()
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) || len(images) != 5 || cut.Load() < 2 || !slices.IsSorted(images) || len(slices.Compact(slices.Clone(images))) != 5 {
		t.Errorf("saw %v after %d connections: %v", images, cut.Load(), err)
	}
}

// Streams end when the service does, so that it can.
func TestStreamsEndWithTheService(t *testing.T) {
	w := newWorld(t)
	server := w.serve(t, w.api)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/v1/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+auditorToken)
	resp, err := server.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	close(w.done)
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Errorf("the stream didn't end well: %v", err)
	}
}

// TestQuietStream reads a stream in which nothing happens: neither the limit of what was sent last nor
// those of the server end it. It ends by itself, and its reader comes back without another record of it.
func TestQuietStream(t *testing.T) {
	for _, tt := range []struct {
		protocol string
		http2    bool
	}{{"HTTP/2.0", true}, {"HTTP/1.1", false}} {
		w := newWorld(t)
		w.still()
		w.service.timeouts = timeouts{heartbeat: 700 * time.Millisecond, send: 500 * time.Millisecond, stream: 3 * time.Second}
		server := httptest.NewUnstartedServer(w.api)
		server.EnableHTTP2 = tt.http2
		server.Config.ReadTimeout, server.Config.WriteTimeout = time.Second, time.Second
		server.StartTLS()
		t.Cleanup(server.Close)
		before := w.log.Size()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for _, query := range []string{"?kind=image,verdict", "?kind=verdict&kind=image&after=3"} {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+"/v1/events"+query, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer "+auditorToken)
			resp, err := server.Client().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			raw, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil || resp.Proto != tt.protocol || strings.Count(string(raw), "id: ") < 4 {
				t.Errorf("%s: the stream ended with %v after %q", resp.Proto, err, raw)
			}
		}
		if diff := cmp.Diff([]string{"events image,verdict"}, w.reads(t, before)); diff != "" {
			t.Errorf("%s (-want +recorded):\n%s", tt.protocol, diff)
		}
	}
}
