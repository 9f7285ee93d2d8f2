package log_test

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/log"
	"github.com/druppie/druppie-up/tracedb/log/logtest"
)

// dump is everything that SQL gives of a file; an error is part of it.
func dump(t *testing.T, path string) string {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?mode=ro&_pragma=query_only(on)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var out strings.Builder
	for _, query := range []string{
		"SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY name", "SELECT * FROM log", "SELECT * FROM leaves ORDER BY seq", "SELECT * FROM payloads ORDER BY seq",
		"SELECT * FROM nodes ORDER BY level, idx", "SELECT * FROM heads ORDER BY size", "SELECT * FROM attestations ORDER BY digest", "SELECT * FROM disposals ORDER BY seq",
		"SELECT * FROM records ORDER BY seq", "SELECT * FROM refs ORDER BY type, value, seq", "SELECT * FROM facts ORDER BY tbl, key, seq",
		"SELECT writer, id, seq FROM records INDEXED BY records_id ORDER BY writer, id", "SELECT time, seq FROM records INDEXED BY records_time ORDER BY time, seq",
		"SELECT kind, seq FROM records INDEXED BY records_kind ORDER BY kind, seq", "SELECT actor, seq FROM records INDEXED BY records_actor ORDER BY actor, seq",
	} {
		fmt.Fprintln(&out, query)
		func() {
			rows, err := db.QueryContext(t.Context(), query)
			if err != nil {
				fmt.Fprintln(&out, err)
				return
			}
			defer rows.Close()
			columns, err := rows.Columns()
			if err != nil {
				fmt.Fprintln(&out, err)
				return
			}
			for rows.Next() {
				row := make([]any, len(columns))
				into := make([]any, len(columns))
				for i := range row {
					into[i] = &row[i]
				}
				if err := rows.Scan(into...); err != nil {
					fmt.Fprintln(&out, err)
					return
				}
				fmt.Fprintf(&out, "%q\n", row)
			}
			fmt.Fprintln(&out, rows.Err())
		}()
	}
	return out.String()
}

// written makes a closed log in a file, with a record of everything, and returns its last checkpoint.
func written(t *testing.T, path string) []byte {
	t.Helper()
	l := logtest.New(t, logtest.At(path), logtest.With(withDerive))
	add(t, l, drafts("a", 150, about(tracedb.RefCommit, "c"), stating(image("sha256:a", "1")))...)
	add(t, l, drafts("b", 150, about(tracedb.RefRun, "r"))...)
	add(t, l, draft("c", unique("attestation-1"), stating(owner("alg-1", "o/one"))))
	cp := checkpoint(t, l)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return cp.Note
}

// checked opens a file and checks it; what keeps it from being opened is a fault too.
func checked(t *testing.T, path string, checkpoint []byte) []string {
	t.Helper()
	l, err := log.Open(t.Context(), log.Options{DSN: "sqlite:" + path, ReadOnly: true, Origin: logtest.Origin, Verifier: logtest.Verifier(t), Derive: derive, Unique: attested})
	if err != nil {
		return []string{err.Error()}
	}
	defer l.Close()
	report, err := l.Check(t.Context(), checkpoint)
	if err != nil {
		return []string{err.Error()}
	}
	var out []string
	for _, f := range report.Faults {
		out = append(out, f.String())
	}
	return out
}

// TestFlippedBytes flips bytes of a database file. Check must notice each, unless it is one of those that
// SQLite doesn't use: then everything that the file says must be as before.
func TestFlippedBytes(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "trace.db")
	cp := written(t, path)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if faults := checked(t, path, cp); len(faults) > 0 {
		t.Fatalf("faults before anything was flipped: %v", faults)
	}
	before := dump(t, path)
	// Places that are surely in use: text of a leaf, a payload, a column, a ref and an index.
	at := func(text string) int { return bytes.Index(whole, []byte(text)) }
	offsets := map[string]int{
		"leaf": at(`"id":"a-77"`) + 7, "payload": at("payload of b-99") + 3, "column": bytes.LastIndex(whole, []byte("a-78")),
		"ref": at("commitc"), "attestation": at("attestation-1\x01\x2c"), "fact": at("imagesha256:a") + 2, "name": at(logtest.Origin), "schema": at("CREATE TABLE leaves"),
	}
	random := rand.New(rand.NewPCG(3, 4))
	for i := range 120 {
		offsets[fmt.Sprint("random ", i)] = random.IntN(len(whole))
	}
	noticed := 0
	for name, offset := range offsets {
		if offset < 0 {
			t.Fatalf("%s isn't in the file", name)
		}
		broken := bytes.Clone(whole)
		broken[offset] ^= 1 << random.IntN(8)
		copied := filepath.Join(dir, "copy.db")
		if err := os.WriteFile(copied, broken, 0o600); err != nil {
			t.Fatal(err)
		}
		faults := checked(t, copied, cp)
		if len(faults) > 0 {
			noticed++
		} else if after := dump(t, copied); after != before {
			t.Errorf("%s: the byte at %d was flipped, the file says something else, and Check found nothing", name, offset)
		} else if !strings.HasPrefix(name, "random") {
			t.Errorf("%s: the byte at %d was flipped, and Check found nothing", name, offset)
		}
		for _, name := range []string{copied, copied + "-wal", copied + "-shm"} {
			if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Fatal(err)
			}
		}
	}
	t.Logf("%d of %d flipped bytes mattered, and were noticed", noticed, len(offsets))
	if noticed < len(offsets)/3 {
		t.Errorf("only %d of %d flipped bytes were noticed: are the rest really unused?", noticed, len(offsets))
	}
}

// TestBackup copies a log while it is written, and restores it.
func TestBackup(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	l := logtest.New(t, logtest.At(path("trace ?%20'#.db"))) // a name that must not be read as an URL
	add(t, l, drafts("before", 400)...)
	before := checkpoint(t, l)
	stop, stopped := make(chan struct{}), make(chan error, 1)
	go func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				stopped <- nil
				return
			default:
			}
			if _, err := l.Append(t.Context(), "writer", []log.Prepared{draft(fmt.Sprint("during-", i))}); err != nil {
				stopped <- err
				return
			}
		}
	}()
	backup := path("backup.db")
	if err := l.Backup(t.Context(), backup); err != nil {
		t.Fatal(err)
	}
	close(stop)
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
	add(t, l, draft("after"))
	after := checkpoint(t, l)
	if err := l.Backup(t.Context(), backup); err == nil || !strings.Contains(err.Error(), "is there already") {
		t.Errorf("a backup over another: %v", err)
	}

	options := func(name string) log.Options {
		return log.Options{DSN: "sqlite:" + path(name), Origin: logtest.Origin, Signer: logtest.Signer(t), Verifier: logtest.Verifier(t)}
	}
	restore := func(backup, to, aside string, checkpoint []byte) (log.Report, error) {
		f, err := os.Open(backup)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		return log.Restore(t.Context(), f, options(to), aside, checkpoint)
	}
	report, err := restore(backup, "restored.db", "", before.Note)
	if err != nil || report.Size < 400 || report.Size > after.Size {
		t.Fatalf("restored %d records, %v", report.Size, err)
	}
	restored := logtest.New(t, logtest.At(path("restored.db")))
	add(t, restored, draft("goes on"))
	sound(t, restored, before.Note)
	if err := restored.Close(); err != nil {
		t.Fatal(err)
	}

	// The same once more, in the place of what goes on: with all that belongs to that.
	if err := os.WriteFile(path("restored.db-wal"), []byte("of another database"), 0o600); err != nil {
		t.Fatal(err)
	}
	again, err := restore(backup, "restored.db", ".before", before.Note)
	if err != nil || again.Size != report.Size {
		t.Errorf("restored %d records in the place of others, %v", again.Size, err)
	}
	if raw, err := os.ReadFile(path("restored.db.before-wal")); err != nil || string(raw) != "of another database" {
		t.Errorf("beside what was moved aside there is %q, %v", raw, err)
	}
	for name, want := range map[string]int64{"restored.db": report.Size, "restored.db.before": report.Size + 1} {
		l := logtest.New(t, logtest.At(path(name)))
		if l.Size() != want {
			t.Errorf("%s has %d records, want %d", name, l.Size(), want)
		}
		sound(t, l, before.Note)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}

	damaged, err := os.ReadFile(backup)
	if err != nil {
		t.Fatal(err)
	}
	// Everywhere: a page may hold a copy that isn't used.
	damaged = bytes.ReplaceAll(damaged, []byte(`"payload of before-7"`), []byte(`"payload of before-8"`))
	if err := os.WriteFile(path("damaged.db"), damaged, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path("empty"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	used := startUser(t, path("used.db"))
	tests := []struct {
		name, backup, to, aside string
		checkpoint              []byte
		want                    string
	}{
		{"older than the checkpoint", backup, "old.db", "", after.Note, "records were taken from its end"},
		{"damaged", path("damaged.db"), "bad.db", "", before.Note, "payload 7"},
		{"damaged, in the place of another", path("damaged.db"), "restored.db", ".aside", before.Note, "payload 7"},
		{"something is there", backup, "restored.db", "", before.Note, "is there already"},
		{"something has the name that it would get", backup, "restored.db", ".before", before.Note, "restored.db.before is there already"},
		{"something is in use", backup, "used.db", ".aside", before.Note, "is in use"},
		{"no backup", path("empty"), "none.db", "", before.Note, "restore: open log"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			there := exists(path(tt.to))
			if _, err := restore(tt.backup, tt.to, tt.aside, tt.checkpoint); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
			if exists(path(tt.to)) != there || exists(path(tt.to)+".part") || exists(path(tt.to)+".aside") {
				t.Error("something was left behind, or taken")
			}
		})
	}
	used()
	if _, err := restore(backup, "used.db", ".aside", before.Note); err != nil {
		t.Errorf("restored when nobody uses it any more: %v", err)
	}
}

// startUser lets another program use a database, until it is told to end.
func startUser(t *testing.T, path string) (end func()) {
	t.Helper()
	cmd, lines := startChild(t, "sqlite:"+path, 0)
	lines.Scan()
	return func() {
		if err := cmd.Process.Kill(); err != nil {
			t.Error(err)
		}
		for lines.Scan() {
		}
		_ = cmd.Wait() // it was killed
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
