package modules

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// trimPeak keeps the build caches below the peak budget between two builds.
// The packages compiled longest ago go first: builds run in order of need, and
// later ones share little with the first. Modules go when that isn't enough;
// the proxy has them.
func (b *Builder) trimPeak() error {
	excess, err := b.excess(b.opt.Peak)
	if err != nil || excess == 0 {
		return err
	}
	// No more than half of what is compiled stays: trimming at every step would
	// walk the whole cache each time.
	if err := trimOldest(b.path("go"), func(size int64) int64 { return min(size/2, size-excess) }); err != nil {
		return err
	}
	if excess, err = b.excess(b.opt.Peak); err != nil || excess == 0 {
		return err
	}
	return os.RemoveAll(b.path(modCacheName))
}

// trimRest leaves what makes the next build short and drops the rest: modules
// first, since fetching costs less than compiling.
func (b *Builder) trimRest() error {
	for _, gone := range []string{"src", "out", "tmp"} {
		if err := os.RemoveAll(b.path(gone)); err != nil {
			return err
		}
	}
	excess, err := b.excess(b.opt.Rest)
	if err != nil || excess == 0 {
		return err
	}
	if err := os.RemoveAll(b.path(modCacheName)); err != nil {
		return err
	}
	if excess, err = b.excess(b.opt.Rest); err != nil || excess == 0 {
		return err
	}
	return trimOldest(b.path("go"), func(size int64) int64 { return size - excess })
}

// excess is by how many bytes on the disk the build caches are over a budget.
func (b *Builder) excess(budget int64) (int64, error) {
	var total int64
	err := eachFile(b.opt.CacheDir, func(_ string, info fs.FileInfo) { total += onDisk(info) })
	return max(total-budget, 0), err
}

// onDisk is what a file takes: millions of small ones take more than they hold.
func onDisk(info fs.FileInfo) int64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Blocks * 512
	}
	return info.Size()
}

// trimOldest removes the files below dir that were used longest ago until no
// more bytes are left than keep says of their size. The go command sets a file's
// time when it uses it, and builds again what it misses.
func trimOldest(dir string, keep func(size int64) int64) error {
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
		files = append(files, file{p, info.ModTime(), onDisk(info)})
		total += onDisk(info)
	})
	if err != nil {
		return err
	}
	budget := keep(total)
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
