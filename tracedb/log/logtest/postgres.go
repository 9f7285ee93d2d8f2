package logtest

import (
	"errors"
	"testing"

	"github.com/druppie/druppie-up/tracedb/log"
	"github.com/druppie/druppie-up/tracedb/log/postgres/server"
)

// Postgres starts a private PostgreSQL server that ends with the test. Where there is none to start, the
// test is left out and says so.
func Postgres(t testing.TB, settings ...string) *server.Server {
	t.Helper()
	s, err := server.Start(t.Context(), settings...)
	if errors.Is(err, server.ErrAbsent) {
		t.Skipf("LEFT OUT: the log on PostgreSQL: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("stop postgres: %v", err)
		}
	})
	return s
}

// In opens the log in an empty database of that server.
func In(t testing.TB, s *server.Server) Option {
	t.Helper()
	dsn, err := s.Database(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return func(o *log.Options) { o.DSN = dsn }
}
