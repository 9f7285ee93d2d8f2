package api

import (
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/druppie/druppie-up/tracedb/api/apitest"
)

// dial opens a connection of that protocol to the server.
func dial(t *testing.T, server *httptest.Server, protocol string) *tls.Conn {
	t.Helper()
	transport, ok := server.Client().Transport.(*http.Transport)
	if !ok {
		t.Fatal("not a transport")
	}
	conn, err := tls.Dial("tcp", server.Listener.Addr().String(), &tls.Config{RootCAs: transport.TLSClientConfig.RootCAs, ServerName: "example.com", NextProtos: []string{protocol}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// deaf asks n times over one connection of HTTP/2 (RFC 9113), and takes none of the answers: the window
// of its streams is empty.
func deaf(t *testing.T, server *httptest.Server, path string, n int) {
	t.Helper()
	conn := dial(t, server, "h2")
	const settings, headers, end = 4, 1, 0x5 // END_STREAM and END_HEADERS
	out := []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	frame := func(kind, flags byte, stream uint32, payload []byte) {
		out = append(out, 0, 0, byte(len(payload)), kind, flags)
		out = append(binary.BigEndian.AppendUint32(out, stream), payload...)
	}
	frame(settings, 0, 0, []byte{0, 4, 0, 0, 0, 0}) // SETTINGS_INITIAL_WINDOW_SIZE
	// GET and https are in HPACK's static table (RFC 7541, appendix A), and so are the other names.
	fields := append([]byte{0x82, 0x87, 0x04, byte(len(path))}, path...)
	fields = append(fields, "\x01\x0atrace.test"...)
	for i := range n {
		frame(headers, end, uint32(2*i+1), fields)
	}
	go io.Copy(io.Discard, conn)
	if _, err := conn.Write(out); err != nil {
		t.Fatal(err)
	}
}

// ask sends a request as if it came from that address.
func (w *world) ask(t *testing.T, from string, q request) int {
	t.Helper()
	r := q.http(t.Context())
	r.RemoteAddr = from + ":7"
	resp := httptest.NewRecorder()
	w.api.ServeHTTP(resp, r)
	return resp.Code
}

// crowded waits until so many requests from here hold a place of the limiter or wait for one, and lets nobody
// wait from then on.
func crowded(t *testing.T, l *limiter, n int) {
	t.Helper()
	soon(t, "the crowd is there", func() bool {
		l.anonymous.mu.Lock()
		defer l.anonymous.mu.Unlock()
		a := l.anonymous.from[here]
		return a != nil && a.users == n
	})
	l.wait = 0
}

const (
	here      = "127.0.0.1" // where connections to a test's server come from
	elsewhere = "192.0.2.1"
)

// TestSlowReaders lets a stranger ask much and read nothing: he takes his own places and nobody else's,
// and nobody's way to a login.
func TestSlowReaders(t *testing.T) {
	w := newWorld(t)
	read, pages := w.service.limiters.read, w.service.limiters.pages
	read.wait, pages.wait = time.Hour, time.Hour
	server := w.serve(t, w.api)
	for _, path := range []string{"/v1/openapi.yaml", "/", "/login?next=//evil.example"} {
		deaf(t, server, path, 100)
	}
	crowded(t, read, 100)
	crowded(t, pages, 100)
	description, start, login := request{"GET", "/v1/openapi.yaml", "", "", nil}, request{"GET", "/", "", "", nil}, request{"GET", "/login", "", "", nil}
	for _, tt := range []struct {
		name, from string
		request
		want int
	}{
		{"more reading of the same", here, description, 429},
		{"another page of the same", here, start, 429},
		{"another stranger's reading", elsewhere, description, 200},
		{"another stranger's page", elsewhere, start, 200},
		{"an auditor's reading", here, request{"GET", "/v1/records", auditorToken, "", nil}, 200},
		{"an auditor's page", here, request{"GET", "/refusals", auditorToken, "", nil}, 200},
		{"a login", here, login, 303},
	} {
		if got := w.ask(t, tt.from, tt.request); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
}

// TestSlowWebhooks lets a stranger send webhooks that never end. Writers, and whoever sends webhooks from
// elsewhere, aren't kept waiting, and each of the endless ones is given up.
func TestSlowWebhooks(t *testing.T) {
	const begun = "POST /v1/events/gitea HTTP/1.1\r\nHost: trace.test\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n"
	hook := request{"POST", "/v1/events/gitea", "", "{}", signed("{}")}

	w := newWorld(t)
	w.service.limiters.hook.wait, w.service.timeouts.body = time.Hour, time.Hour
	server := w.serve(t, w.api)
	for range 20 {
		if _, err := io.WriteString(dial(t, server, "http/1.1"), begun); err != nil {
			t.Fatal(err)
		}
	}
	crowded(t, w.service.limiters.hook, 20)
	if got := w.ask(t, here, hook); got != http.StatusTooManyRequests {
		t.Errorf("another webhook of the same: %d", got)
	}
	if got := w.ask(t, elsewhere, hook); got != http.StatusAccepted {
		t.Errorf("another's webhook: %d", got)
	}
	add := request{"POST", "/v1/records", writerToken, w.release(t, apitest.NewService("druppie/dike-service", "", 77)), nil}
	if got := w.ask(t, here, add); got != http.StatusCreated {
		t.Errorf("a writer: %d", got)
	}

	w = newWorld(t)
	w.service.timeouts.body = 50 * time.Millisecond
	conn := dial(t, w.serve(t, w.api), "http/1.1")
	if _, err := io.WriteString(conn, begun); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(conn)
	if err != nil || !strings.HasPrefix(string(raw), "HTTP/1.1 400 ") {
		t.Errorf("a body that doesn't end is answered with %q, %v", raw, err)
	}
}

// TestStrangersLeave forgets who came from where once they are gone.
func TestStrangersLeave(t *testing.T) {
	l := newLimiters().read
	l.wait = 0
	var leave []func()
	for i := range 1000 {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = fmt.Sprintf("10.0.%d.%d:7", i/250, i%250)
		if out, err := l.acquire(r); err == nil {
			leave = append(leave, out)
		}
	}
	if len(leave) != 64 {
		t.Errorf("%d strangers have a place, want 64", len(leave))
	}
	for _, out := range leave {
		out()
	}
	if len(l.anonymous.from) != 0 || !l.anonymous.all.TryAcquire(64) {
		t.Errorf("%d strangers are remembered after all left, or still have a place", len(l.anonymous.from))
	}
}
