// Package auditlog follows a log that is written as lines of JSON and rotated by renaming, as the API server's audit
// log is. It owns where reading stands, which it keeps in a file, so that whoever starts it again loses and doubles
// nothing that is still there. It refuses to know what a line means.
package auditlog

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

const (
	// Current is the name of the file that is written to. Those that were before have the time of their end between
	// the name and its extension, so that names come in the order of time.
	Current = "audit.log"

	maxLine  = 1 << 20 // bytes; a longer line is left out, and told
	maxLines = 200     // that are passed on at once
	maxBytes = 4 << 20 // of these together, or one line more
	interval = time.Second
)

// Follower passes the lines of a log on, in order.
type Follower struct {
	Dir      string // holds the log and its rotated files
	Position string // the file in which reading is kept
	Logger   *slog.Logger

	// Lines takes lines, without their ends; when it returns nil they are dealt with for good. It is called with none
	// when the end is reached: nothing is missing then.
	Lines func(ctx context.Context, lines [][]byte) error
}

// position is how far a file was read. A file keeps its inode when it is renamed.
type position struct {
	Inode  uint64 `json:"inode"`
	Offset int64  `json:"offset"`
}

// file is one of the log's.
type file struct {
	name  string
	inode uint64
	size  int64
}

// Run follows until ctx ends, or until Lines or the file system fails.
func (f *Follower) Run(ctx context.Context) error {
	at, err := f.load()
	if err != nil {
		return err
	}
	for {
		more, err := f.step(ctx, &at)
		if err != nil {
			return err
		}
		if more {
			continue
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(interval):
		}
	}
}

// step passes on what comes next; false at the end of the log.
func (f *Follower) step(ctx context.Context, at *position) (more bool, err error) {
	files, err := f.files()
	if err != nil {
		return false, err
	}
	if len(files) == 0 {
		return false, fmt.Errorf("there is no %s in %s", Current, f.Dir)
	}
	i := slices.IndexFunc(files, func(o file) bool { return o.inode == at.Inode && o.size >= at.Offset })
	if i < 0 {
		if at.Inode != 0 {
			f.Logger.WarnContext(ctx, "the file that was read is gone: lines may be lost", "inode", at.Inode, "offset", at.Offset)
		}
		i, *at = 0, position{Inode: files[0].inode}
	}
	lines, end, err := f.read(ctx, files[i], at.Offset)
	if err != nil {
		return false, err
	}
	isLast := i == len(files)-1
	if len(lines) > 0 || isLast && end == at.Offset {
		if err := f.Lines(ctx, lines); err != nil {
			return false, err
		}
	}
	switch {
	case end > at.Offset:
		at.Offset = end
	case isLast:
		return false, nil
	default:
		// A file that has a successor isn't written to any more.
		*at = position{Inode: files[i+1].inode}
	}
	return true, f.save(*at)
}

// files are those of the log, oldest first.
func (f *Follower) files() ([]file, error) {
	base, ext, _ := strings.Cut(Current, ".")
	names, err := filepath.Glob(filepath.Join(f.Dir, base+"*."+ext))
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", f.Dir, err)
	}
	current := filepath.Join(f.Dir, Current)
	slices.SortFunc(names, func(a, b string) int {
		// The one that is written to has no time in its name, and comes last.
		if (a == current) != (b == current) {
			if a == current {
				return 1
			}
			return -1
		}
		return cmp.Compare(a, b)
	})
	var out []file
	for _, name := range names {
		info, err := os.Stat(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // rotated away meanwhile
		}
		if err != nil {
			return nil, fmt.Errorf("look at the log: %w", err)
		}
		stat, ok := info.Sys().(*syscall.Stat_t)
		if !ok || !info.Mode().IsRegular() {
			continue
		}
		out = append(out, file{name, stat.Ino, info.Size()})
	}
	return out, nil
}

// read reads whole lines from an offset on, and says where the next begins.
func (f *Follower) read(ctx context.Context, from file, offset int64) (lines [][]byte, end int64, err error) {
	r, err := os.Open(from.name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, offset, nil // renamed meanwhile: the next step finds it
	}
	if err != nil {
		return nil, offset, fmt.Errorf("open the log: %w", err)
	}
	defer r.Close()
	if info, err := r.Stat(); err != nil {
		return nil, offset, fmt.Errorf("look at the log: %w", err)
	} else if stat, ok := info.Sys().(*syscall.Stat_t); !ok || stat.Ino != from.inode {
		return nil, offset, nil // another file has the name by now
	}
	if _, err := r.Seek(offset, io.SeekStart); err != nil {
		return nil, offset, fmt.Errorf("read the log: %w", err)
	}
	buffered := bufio.NewReaderSize(r, 64<<10)
	end = offset
	for len(lines) < maxLines && end-offset < maxBytes {
		line, size, err := readLine(buffered)
		if errors.Is(err, io.EOF) {
			break // what has no end yet is still being written
		}
		if err != nil {
			return nil, offset, fmt.Errorf("read the log: %w", err)
		}
		end += size
		switch {
		case size > maxLine:
			f.Logger.WarnContext(ctx, "a line is too long, and is left out", "file", from.name, "bytes", size)
		case len(line) > 0:
			lines = append(lines, line)
		}
	}
	return lines, end, nil
}

// readLine is the next line without its end, and how many bytes it takes; of one that is too long nothing is kept.
func readLine(r *bufio.Reader) (line []byte, size int64, err error) {
	for {
		part, err := r.ReadSlice('\n')
		size += int64(len(part))
		if size <= maxLine {
			line = append(line, part...)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err != nil {
			return nil, size, err
		}
		return []byte(strings.TrimRight(string(line), "\r\n")), size, nil
	}
}

// load is where reading stood; at the beginning where nothing is kept.
func (f *Follower) load() (position, error) {
	raw, err := os.ReadFile(f.Position)
	if errors.Is(err, fs.ErrNotExist) {
		return position{}, nil
	}
	if err != nil {
		return position{}, fmt.Errorf("how far the log was read: %w", err)
	}
	var at position
	if json.Unmarshal(raw, &at) != nil || at.Offset < 0 {
		f.Logger.Warn("how far the log was read can't be read: it is read from its beginning", "file", f.Position)
		return position{}, nil
	}
	return at, nil
}

// save keeps where reading stands, so that a crash leaves the old or the new.
func (f *Follower) save(at position) error {
	raw, err := json.Marshal(at)
	if err != nil {
		return fmt.Errorf("keep how far the log was read: %w", err)
	}
	if err := os.WriteFile(f.Position+".new", raw, 0o600); err != nil {
		return fmt.Errorf("keep how far the log was read: %w", err)
	}
	if err := os.Rename(f.Position+".new", f.Position); err != nil {
		return fmt.Errorf("keep how far the log was read: %w", err)
	}
	return nil
}
