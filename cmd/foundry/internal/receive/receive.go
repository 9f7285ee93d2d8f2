// Package receive decides what a push may bring into a repository: folders that somebody can still list. Git names a
// folder that stands in a thousand places once, so that a push of a few kilobytes can hold more files than any memory;
// Gitea lists them all when it tells of the push, and for whoever asks. The package owns that bound, and putting the
// hook that holds it into Gitea's repositories; it reads through git, and refuses to change what is pushed.
package receive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/druppie/druppie-up/cmd/foundry/internal/source"
)

// MaxEntries is how many files and folders a folder may hold, with all that is below it, each where it stands: as many as
// are built.
const MaxEntries = source.MaxFiles

// How much else it may hold. None is a setting.
const (
	maxPaths = 8 << 20 // bytes of all paths
	maxDepth = 64      // folders in each other
	maxName  = 255     // bytes of a name, which is what file systems take
	// maxFolder and maxText are the bytes of a folder's own list, and of a commit or a tag; maxTexts those of all commits
	// and tags that one push brings. Gitea reads each whole, and where it compares branches all of them.
	maxFolder, maxText, maxTexts = 4 << 20, 64 << 10, 32 << 20
	// maxObjects is how many folders, commits and tags one push may bring.
	maxObjects = 200_000
	// checkTime is how long looking at a push may take.
	checkTime = time.Minute
)

// ErrTooLarge says that a push brings more than a repository may hold.
var ErrTooLarge = errors.New("this push is refused")

func tooLarge(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrTooLarge}, args...)...)
}

// Check looks at everything that a push brought, reachable or not, since Gitea shows each of it to whoever knows its
// hash, and at what its commits and tags lead to. No folder may hold more than so many entries. It wants to run as git's
// pre-receive hook does: environ is that hook's environment.
func Check(ctx context.Context, environ []string, maxEntries int64) error {
	ctx, cancel := context.WithTimeoutCause(ctx, checkTime, tooLarge("it can't be looked at within %s; push it in parts", checkTime))
	defer cancel()
	// Without the hooks' own environment nothing new came: a name was set or deleted.
	if !quarantined(environ) {
		return nil
	}
	brought, err := list(ctx, environ)
	if err != nil {
		return err
	}
	objects, err := open(ctx, environ)
	if err != nil {
		return err
	}
	defer objects.close()
	l := lister{read: objects.read, maxEntries: maxEntries, known: map[string]size{}}
	for _, o := range brought {
		folder := o.hash
		if o.kind != tree {
			if folder, err = objects.folder(o); err != nil {
				return err
			}
		}
		if folder == "" {
			continue
		}
		if _, err := l.size(folder, 1, 0); err != nil {
			return err
		}
	}
	return nil
}

// size is what a folder holds with all below it.
type size struct{ entries, paths, depth int64 }

// lister adds up folders, each once.
type lister struct {
	read       func(hash, kind string) ([]byte, error)
	maxEntries int64
	known      map[string]size
}

// size adds up one folder. It stands below so many others, which list so much themselves.
func (l lister) size(hash string, depth, above int64) (size, error) {
	if known, ok := l.known[hash]; ok {
		return known, nil
	}
	if depth > maxDepth {
		return size{}, tooLarge("more than %d folders stand in each other, the innermost %s", maxDepth, hash)
	}
	data, err := l.read(hash, tree)
	if err != nil {
		return size{}, err
	}
	entries, err := parse(data, len(hash)/2)
	if err != nil {
		return size{}, tooLarge("folder %s: %w", hash, err)
	}
	s := size{depth: 1, entries: int64(len(entries))}
	above += s.entries
	for _, e := range entries {
		s.paths += e.name + 1
	}
	if err := l.check(hash, size{entries: above, paths: s.paths}); err != nil {
		return size{}, err
	}
	for _, e := range entries {
		if e.folder == "" {
			continue
		}
		below, err := l.size(e.folder, depth+1, above)
		if err != nil {
			return size{}, err
		}
		s.entries += below.entries
		s.paths += below.paths + below.entries*(e.name+1)
		s.depth = max(s.depth, below.depth+1)
		if err := l.check(hash, s); err != nil {
			return size{}, err
		}
	}
	l.known[hash] = s
	return s, nil
}

func (l lister) check(hash string, s size) error {
	switch {
	case s.entries > l.maxEntries:
		return tooLarge("a folder holds more than %d files and folders, with those below it: %s", l.maxEntries, hash)
	case s.paths > maxPaths:
		return tooLarge("the paths of the files in a folder take more than %d MiB: %s", maxPaths>>20, hash)
	case s.depth > maxDepth:
		return tooLarge("more than %d folders stand in each other, the outermost %s", maxDepth, hash)
	}
	return nil
}

// entry is what counts of one line of a folder's list.
type entry struct {
	name   int64  // bytes
	folder string // its hash, if it is one
}

// parse reads a folder's list in Git's form, whose hashes have so many bytes.
func parse(data []byte, hashLen int) ([]entry, error) {
	var out []entry
	for len(data) > 0 {
		space, end := bytes.IndexByte(data, ' '), bytes.IndexByte(data, 0)
		if space < 0 || end <= space+1 || len(data) < end+1+hashLen {
			return nil, errors.New("it isn't in Git's form")
		}
		e := entry{name: int64(end - space - 1)}
		if e.name > maxName {
			return nil, fmt.Errorf("a name has more than %d bytes", maxName)
		}
		folder, err := isFolder(string(data[:space]))
		if err != nil {
			return nil, err
		}
		if folder {
			e.folder = fmt.Sprintf("%x", data[end+1:end+1+hashLen])
		}
		out, data = append(out, e), data[end+1+hashLen:]
	}
	return out, nil
}

// isFolder reads an entry's mode. Git takes for a folder whatever says so in these four bits, and writes it in one way only.
func isFolder(mode string) (bool, error) {
	n, err := strconv.ParseUint(strings.TrimLeft(mode, "0"), 8, 16)
	if err == nil {
		switch n & 0o170000 {
		case 0o040000:
			return true, nil
		case 0o100000, 0o120000, 0o160000: // file, symbolic link, submodule
			return false, nil
		}
	}
	return false, fmt.Errorf("a mode isn't Git's: %.20q", mode)
}
