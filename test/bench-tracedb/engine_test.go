package bench

import (
	"crypto/rand"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/mod/sumdb/note"

	"github.com/druppie/druppie-up/tracedb/log"
	"github.com/druppie/druppie-up/tracedb/log/postgres/server"
)

var (
	folder  = flag.String("dir", "", "folder for the databases, on the disk to be measured; default: a temporary one")
	records = flag.Int64("records", 1_000_000, "records in the large log")
	span    = flag.Duration("span", 5*time.Second, "time for each measurement of appends and of admission")
	keep    = flag.String("keep", "", "file for the large log on SQLite, which is kept, and used if it is there")
	program = flag.String("tracedb", "", "the service's program; default: build it")
)

const (
	origin       = "druppie.io/trace/bench"
	sqliteScheme = "sqlite:"
	// writers is how many append at once, and writer is the writer that the log records for all.
	writers = 8
	writer  = "system:serviceaccount:foundry:step-record"
)

// workDir makes a folder that ends with the benchmark. Not b.TempDir: the PostgreSQL server, which doesn't run
// as root, must be able to pass through.
func workDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp(*folder, "tracedb-bench")
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// engine is a database that the log can be kept in and that this machine has.
type engine struct {
	name, dir string
	server    *server.Server // nil: SQLite
}

func engines(t testing.TB) []engine {
	t.Helper()
	dir := workDir(t)
	found := []engine{{name: "sqlite", dir: dir}}
	s, err := server.StartIn(t.Context(), dir)
	if errors.Is(err, server.ErrAbsent) {
		t.Logf("LEFT OUT: PostgreSQL: %v", err)
		return found
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("stop postgres: %v", err)
		}
	})
	return append(found, engine{"postgres", dir, s})
}

// fresh makes an empty database and names it. What was made before is deleted: it isn't measured again, and
// the disk may be small.
func (e engine) fresh(t testing.TB) (dsn string) {
	t.Helper()
	if e.server != nil {
		dsn, err := e.server.Database(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return dsn
	}
	dir := filepath.Join(e.dir, "fresh")
	err := errors.Join(os.RemoveAll(dir), os.Mkdir(dir, 0o700))
	if err != nil {
		t.Fatal(err)
	}
	return sqliteScheme + filepath.Join(dir, "trace.db")
}

// mebibytes is what a database takes on the disk.
func (e engine) mebibytes(t testing.TB, dsn string) float64 {
	t.Helper()
	var size int64
	if e.server == nil {
		info, err := os.Stat(strings.TrimPrefix(dsn, sqliteScheme))
		if err != nil {
			t.Fatal(err)
		}
		size = info.Size()
	} else {
		conn, err := pgx.Connect(t.Context(), dsn)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(t.Context())
		if err := conn.QueryRow(t.Context(), "SELECT pg_database_size(current_database())").Scan(&size); err != nil {
			t.Fatal(err)
		}
	}
	return float64(size) / (1 << 20)
}

// openLog opens a log under the name that all logs have here.
func openLog(t testing.TB, dsn string) *log.Log {
	t.Helper()
	key, _, err := note.GenerateKey(rand.Reader, origin)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(key)
	if err != nil {
		t.Fatal(err)
	}
	l, err := log.Open(t.Context(), log.Options{DSN: dsn, Origin: origin, Signer: signer})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// reportPercentiles reports the median and the 99th percentile instead of the mean.
func reportPercentiles(b *testing.B, times []time.Duration) {
	slices.Sort(times)
	milliseconds := func(percent int) float64 { return float64(times[len(times)*percent/100].Microseconds()) / 1000 }
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(milliseconds(50), "p50-ms")
	b.ReportMetric(milliseconds(99), "p99-ms")
}
