package main

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestJudge: ready only where what is allowed answers, and nothing else does.
func TestJudge(t *testing.T) {
	open, closed := address(t, true), address(t, false)
	for _, tt := range []struct {
		name    string
		allowed string
		refused []string
		want    string // of the answer; empty: ready
	}{
		{"enforced", open, []string{closed, closed}, ""},
		{"nothing enforced", open, []string{closed, open}, "NOT enforced: a connection to " + open},
		{"nothing passes", closed, []string{closed}, "that the policies allow doesn't pass"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			j := &judge{allowed: tt.allowed, refused: tt.refused}
			j.why = j.try(t.Context())
			got := httptest.NewRecorder()
			j.ServeHTTP(got, nil)
			if ready := got.Code == http.StatusOK; ready != (tt.want == "") || !strings.Contains(got.Body.String(), tt.want) {
				t.Errorf("%d: %s", got.Code, got.Body)
			}
		})
	}
}

// TestRefusedArguments: what says neither what to serve nor what to judge is an error.
func TestRefusedArguments(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, args := range [][]string{{}, {"-allowed=a:1"}, {"-serve=nowhere:x"}, {"-unknown"}} {
		if err := run(ctx, slog.New(slog.DiscardHandler), args); err == nil {
			t.Errorf("%v: taken", args)
		}
	}
}

// address is one of this machine that answers, or that nobody listens at.
func address(t *testing.T, answers bool) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if !answers {
		defer l.Close()
		return l.Addr().String()
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_ = conn.Close()
		}
	}()
	return l.Addr().String()
}
