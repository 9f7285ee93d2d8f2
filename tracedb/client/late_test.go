package client_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/client"
	"github.com/druppie/druppie-up/tracedb/wire"
)

// silent never answers, until the caller leaves or the test ends.
func silent(t *testing.T) http.HandlerFunc {
	return func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-t.Context().Done():
		}
	}
}

// begun writes the beginning of an answer, and goes on as it is told.
func begun(text string, then http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		_, _ = io.WriteString(w, text)
		_ = http.NewResponseController(w).Flush()
		then(w, r)
	}
}

// impatient is a client of a service that answers by turns; it tries once, and waits so long.
func impatient(t *testing.T, timeout time.Duration, handlers ...http.HandlerFunc) (*client.Client, *atomic.Int32) {
	t.Helper()
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := int(asked.Add(1))
		handlers[min(n, len(handlers))-1](w, r)
	}))
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return client.New(client.Options{URL: server.URL, HTTP: server.Client(), Patience: -1, Timeout: timeout}), &asked
}

// TestTimeout holds that no attempt is waited for without end, and that an archive which comes slowly
// is waited for.
func TestTimeout(t *testing.T) {
	t.Parallel()
	const moment = 50 * time.Millisecond
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for name, handler := range map[string]http.HandlerFunc{"no answer": silent(t), "half an answer": begun(`{"entries":[`, silent(t))} {
		c, _ := impatient(t, moment, handler)
		if _, err := c.Search(ctx, tracedb.Query{}); err == nil || !strings.Contains(err.Error(), "no answer in time") {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := c.Record(ctx, make2()); err == nil || !strings.Contains(err.Error(), "no answer in time") {
			t.Errorf("%s to records: %v", name, err)
		}
	}
	c, _ := impatient(t, moment, silent(t))
	if err := c.Export(ctx, "alg-00000000", io.Discard); err == nil || !strings.Contains(err.Error(), "no answer in time") {
		t.Errorf("no archive: %v", err)
	}
	slowly := func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(3 * time.Second):
			_, _ = io.WriteString(w, "whole")
		case <-r.Context().Done():
		}
	}
	c, _ = impatient(t, 2*time.Second, begun("the ", slowly))
	var archive bytes.Buffer
	if err := c.Export(ctx, "alg-00000000", &archive); err != nil || archive.String() != "the whole" {
		t.Errorf("a slow archive: %q, %v", &archive, err)
	}
}

// TestFollowGoesOn holds that whoever follows comes back, however long the service is away and
// whatever the client's patience, and ends when the service refuses.
func TestFollowGoesOn(t *testing.T) {
	t.Parallel()
	event := func(seq int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			fmt.Fprintf(w, "id: %d\nevent: record\ndata: {\"seq\":%d}\n\n", seq, seq)
		}
	}
	c, asked := impatient(t, 2*time.Second, hangUp, silent(t), event(7), text(http.StatusBadGateway, ""), hangUp, event(8), refuse(tracedb.ErrForbidden))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var seen []int64
	err := c.Follow(ctx, client.Now, nil, func(e tracedb.Entry) error { seen = append(seen, e.Seq); return nil })
	if !errors.Is(err, tracedb.ErrForbidden) || fmt.Sprint(seen) != "[7 8]" {
		t.Errorf("saw %v in %d connections: %v", seen, asked.Load(), err)
	}

	// It ends with its context while the service is away.
	c, asked = impatient(t, time.Minute, hangUp)
	ctx, cancel = context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := c.Follow(ctx, client.Now, nil, nil); !errors.Is(err, context.DeadlineExceeded) || asked.Load() < 2 {
		t.Errorf("after %d connections: %v", asked.Load(), err)
	}
}

// A line that is too long stays so: it is an error, and not asked for again and again.
func TestFollowTooLong(t *testing.T) {
	c, _ := impatient(t, time.Minute, text(http.StatusOK, "data: "+strings.Repeat("x", 300<<10)))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := c.Follow(ctx, client.Now, nil, nil); err == nil || ctx.Err() != nil {
		t.Errorf("error %v", err)
	}
}

// TestRedirects holds that the token goes nowhere but where it was meant for.
func TestRedirects(t *testing.T) {
	var told []string
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		told = append(told, r.Header.Get("Authorization"))
	}))
	t.Cleanup(other.Close)
	for _, tt := range []struct {
		name, to string
		follows  bool
	}{
		{"without TLS", other.URL + "/v1/register", false},
		{"another host", "https://trace.example/v1/register", false},
		{"the same host", "/v1/register/", true},
		{"round and round", "/v1/register", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var asked atomic.Int32
			server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked.Add(1)
				if r.URL.Path == "/v1/register" {
					http.Redirect(w, r, tt.to, http.StatusTemporaryRedirect)
					return
				}
				wire.JSON(w, http.StatusOK, map[string]any{"algorithms": []string{}})
			}))
			t.Cleanup(server.Close)
			c := client.New(client.Options{URL: server.URL, HTTP: server.Client(), Patience: time.Hour, Token: func(context.Context) (string, error) { return "secret", nil }})
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			_, err := c.Register(ctx)
			if (err == nil) != tt.follows || ctx.Err() != nil || asked.Load() > 10 {
				t.Errorf("asked %d times: %v", asked.Load(), err)
			}
		})
	}
	if len(told) > 0 {
		t.Errorf("told without TLS: %q", told)
	}
}

// A rule of the caller's own client holds as well.
func TestRedirectsByTheCallersRule(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) }))
	t.Cleanup(server.Close)
	never := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	_, err := client.New(client.Options{URL: server.URL, HTTP: never, Patience: -1}).Register(t.Context())
	if !errors.Is(err, tracedb.ErrInvalid) || !strings.Contains(err.Error(), "HTTP 302") {
		t.Errorf("error %v", err)
	}
}
