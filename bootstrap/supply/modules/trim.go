package modules

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// trimPeak keeps the build caches below the peak budget between two builds.
// What costs most to lose goes last: extracted modules first (the proxy has
// them), then the compiled packages used longest ago.
func (b *Builder) trimPeak() error { return b.trim(b.opt.Peak) }

// trimRest leaves what makes the next build short and drops the rest.
func (b *Builder) trimRest() error {
	for _, gone := range []string{"src", "out", "tmp"} {
		if err := os.RemoveAll(filepath.Join(b.opt.CacheDir, gone)); err != nil {
			return err
		}
	}
	return b.trim(b.opt.Rest)
}

func (b *Builder) trim(budget int64) error {
	total, err := size(b.opt.CacheDir)
	if err != nil || total <= budget {
		return err
	}
	if err := os.RemoveAll(filepath.Join(b.opt.CacheDir, "mod")); err != nil {
		return err
	}
	if total, err = size(b.opt.CacheDir); err != nil || total <= budget {
		return err
	}
	objects := filepath.Join(b.opt.CacheDir, "go")
	own, err := size(objects)
	if err != nil {
		return err
	}
	return trimOldest(objects, max(own-(total-budget), 0))
}

// size is the number of bytes in the files below dir.
func size(dir string) (int64, error) {
	var total int64
	err := eachFile(dir, func(_ string, info fs.FileInfo) { total += info.Size() })
	return total, err
}

// trimOldest removes the files below dir that were used longest ago until no
// more than budget bytes are left. The go command sets a file's time when it
// uses it, and builds again what it misses.
func trimOldest(dir string, budget int64) error {
	type file struct {
		path string
		used time.Time
		size int64
	}
	var (
		files []file
		total int64
	)
	err := eachFile(dir, func(p string, info fs.FileInfo) {
		files = append(files, file{p, info.ModTime(), info.Size()})
		total += info.Size()
	})
	if err != nil {
		return err
	}
	slices.SortFunc(files, func(a, b file) int { return a.used.Compare(b.used) })
	for _, f := range files {
		if total <= budget {
			return nil
		}
		if err := os.Remove(f.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		total -= f.size
	}
	return nil
}

// eachFile walks regular files; what vanishes meanwhile is passed over, since
// a build of another process may clean up.
func eachFile(dir string, f func(string, fs.FileInfo)) error {
	return filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		f(p, info)
		return nil
	})
}
