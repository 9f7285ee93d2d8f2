package log_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/log"
	"github.com/druppie/druppie-up/tracedb/log/logtest"
	"github.com/druppie/druppie-up/tracedb/log/postgres/server"
)

// smallDisk mounts a file system of so many bytes. Only root can.
func smallDisk(t *testing.T, dir string, size int) {
	t.Helper()
	var owner syscall.Stat_t
	if err := syscall.Stat(dir, &owner); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=0700", size)); err != nil {
		t.Skipf("LEFT OUT: a disk that is full: this user can't mount a small one: %v", err)
	}
	if err := os.Chown(dir, int(owner.Uid), int(owner.Gid)); err != nil {
		t.Error(err)
	}
	t.Cleanup(func() {
		// Lazily: who still has a file open there, like a server that stops later, isn't waited for.
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}

// fill writes to a file until there is room for no more than about so many bytes.
func fill(t *testing.T, path string, leave uint64) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var s syscall.Statfs_t
	if err := syscall.Statfs(filepath.Dir(path), &s); err != nil {
		t.Fatal(err)
	}
	if free := s.Bavail * uint64(s.Bsize); free > leave {
		if _, err := io.CopyN(f, zeros{}, int64(free-leave)); err != nil {
			t.Fatal(err)
		}
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// fillDisk appends until the disk is full, looks whether reading goes on, makes room, and appends again.
func fillDisk(t *testing.T, l *log.Log, filler string) {
	t.Helper()
	big := payload(`"` + strings.Repeat("x", 8000) + `"`)
	var taken []acknowledged
	full := 0
	for i := 0; full < 5; i++ {
		if i > 2000 {
			t.Fatal("the disk never was full")
		}
		id := fmt.Sprint("r", i)
		receipts, err := l.Append(t.Context(), "writer", []log.Prepared{draft(id, big, about(tracedb.RefCommit, "c"))})
		if err != nil {
			if !errors.Is(err, tracedb.ErrFull) || tracedb.AsError(err).Status != 507 {
				t.Fatalf("append to a full disk: %v", err)
			}
			full++
			continue
		}
		taken = append(taken, acknowledged{id, receipts[0].Seq, receipts[0].Leaf})
	}
	cp := checkpoint(t, l)
	if cp.Size != int64(len(taken)) {
		t.Errorf("the checkpoint covers %d records, %d were acknowledged", cp.Size, len(taken))
	}
	found(t, l, taken)
	if body, err := l.Payload(t.Context(), 0); err != nil || len(body) != 8002 {
		t.Errorf("payload of %d bytes, %v", len(body), err)
	}
	commit := tracedb.Ref{Type: tracedb.RefCommit, Value: "c"}
	if got, err := l.ByRefs(t.Context(), []tracedb.Ref{commit}, 10); err != nil || len(got[commit]) == 0 {
		t.Errorf("by ref: %v, %v", got, err)
	}
	if _, err := l.Prove(t.Context(), 0, cp.Size); err != nil {
		t.Error(err)
	}
	sound(t, l, cp.Note)
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	add(t, l, drafts("room", 20, big)...)
	sound(t, l, cp.Note)
}

func TestFullSQLite(t *testing.T) {
	dir := t.TempDir()
	smallDisk(t, dir, 8<<20)
	l := logtest.New(t, logtest.At(filepath.Join(dir, "trace.db")))
	filler := filepath.Join(dir, "filler")
	fill(t, filler, 1<<20)
	fillDisk(t, l, filler)
}

func testFullPostgres(t *testing.T, _ engine, s *server.Server) {
	dir, err := s.Folder("small")
	if err != nil {
		t.Fatal(err)
	}
	smallDisk(t, dir, 32<<20)
	conn, err := pgx.Connect(t.Context(), s.DSN("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	for _, statement := range []string{"CREATE TABLESPACE small LOCATION '" + dir + "'", "CREATE DATABASE small TABLESPACE small"} {
		if _, err := conn.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	l := logtest.New(t, logtest.With(func(o *log.Options) { o.DSN = s.DSN("small") }))
	filler := filepath.Join(dir, "filler")
	fill(t, filler, 2<<20)
	fillDisk(t, l, filler)
}
