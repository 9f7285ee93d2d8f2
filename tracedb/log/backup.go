package log

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/druppie/druppie-up/tracedb/log/sqlite"
)

// Backup writes a copy of the log, as it is at one moment, to a new file while the log goes on. The
// copy is opened once, which shows that it is whole. For PostgreSQL pg_dump does that.
func (l *Log) Backup(ctx context.Context, path string) error {
	if err := l.db.Backup(ctx, path); err != nil {
		return err
	}
	c, err := Open(ctx, Options{DSN: "sqlite:" + path, Origin: l.origin, ReadOnly: true})
	if err != nil {
		return fmt.Errorf("back up: the copy can't be opened: %w", err)
	}
	broken := c.tree == nil
	if err := c.Close(); err != nil {
		return fmt.Errorf("back up: %w", err)
	}
	if broken {
		return fmt.Errorf("back up: %w", errCorrupt)
	}
	return nil
}

// Restore puts a backup in the place of opts.DSN, which must be an SQLite file that isn't there. It is
// checked first, also against the checkpoints: a backup that isn't sound or doesn't contain the tree of
// each checkpoint isn't put there, and the report says why. With aside, an ending, a database that is there
// makes room: it gets that ending to its name. One that is in use doesn't.
func Restore(ctx context.Context, backup io.Reader, opts Options, aside string, checkpoints ...[]byte) (Report, error) {
	path, ok := cutSQLite(opts.DSN)
	if !ok {
		return Report{}, errors.New("restore: only an SQLite file can be restored here; pg_restore does it for PostgreSQL")
	}
	if err := checkAvailable(path, aside); err != nil {
		return Report{}, fmt.Errorf("restore: %w", err)
	}
	part := path + ".part"
	defer func() {
		for _, name := range files(part, "") {
			os.Remove(name)
		}
	}()
	if err := writeNew(backup, part); err != nil {
		return Report{}, fmt.Errorf("restore: %w", err)
	}
	opts.DSN, opts.ReadOnly = "sqlite:"+part, true
	l, err := Open(ctx, opts)
	if err != nil {
		return Report{}, fmt.Errorf("restore: %w", err)
	}
	report, err := l.Check(ctx, checkpoints...)
	if err := errors.Join(err, l.Close()); err != nil {
		return report, fmt.Errorf("restore: %w", err)
	}
	if !report.OK() {
		return report, fmt.Errorf("restore: the backup isn't sound: %s", report.Faults[0])
	}
	// Another program may have opened it meanwhile. The files beside a database go before another one takes its
	// place: they would be taken for that one's.
	if err := checkAvailable(path, aside); err != nil {
		return report, fmt.Errorf("restore: %w", err)
	}
	for i, name := range files(path, "") {
		if err := os.Rename(name, files(path, aside)[i]); err != nil && !errors.Is(err, os.ErrNotExist) {
			return report, fmt.Errorf("restore: %w", err)
		}
	}
	if err := os.Rename(part, path); err != nil {
		return report, fmt.Errorf("restore: %w", err)
	}
	return report, sqlite.Sync(filepath.Dir(path))
}

// files are those that a database in a file consists of, with an ending to the database's name.
func files(path, ending string) []string {
	return []string{path + ending, path + ending + "-wal", path + ending + "-shm"}
}

// checkAvailable is an error unless a database may be put in a place.
func checkAvailable(path, aside string) error {
	for _, name := range files(path, "") {
		if _, err := os.Lstat(name); err == nil && aside == "" {
			return fmt.Errorf("%s is there already", name)
		}
	}
	if used, err := sqlite.Used(path); err != nil {
		return err
	} else if used {
		return fmt.Errorf("%s is in use: stop the service first", path)
	}
	for _, name := range files(path, aside) {
		if _, err := os.Lstat(name); err == nil {
			return fmt.Errorf("%s is there already", name)
		}
	}
	return nil
}

// writeNew makes a file, which must not be there, and writes it to the disk.
func writeNew(from io.Reader, to string) (err error) {
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	if _, err := io.Copy(out, from); err != nil {
		return err
	}
	return out.Sync()
}
