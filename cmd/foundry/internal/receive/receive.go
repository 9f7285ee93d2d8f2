// Package receive decides what a push may bring into a repository: folders that somebody can still list. Git names a
// folder that stands in a thousand places once, so that a push of a few kilobytes can hold more files than any memory;
// Gitea lists them all when it tells of the push, and for whoever asks. The package owns that bound, and putting the
// hook that holds it into Gitea's repositories; it reads through git, and refuses to change what is pushed.
package receive

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
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
	maxPaths   = 8 << 20         // bytes of all their paths
	maxDepth   = 64              // folders in each other
	maxFolder  = 4 << 20         // bytes of a folder's own list
	maxName    = 255             // bytes of a name, which is what file systems take
	// maxFolders is how many folders one push may bring.
	maxFolders = 200_000
	// checkTime is how long looking at a push may take.
	checkTime = time.Minute
)

// ErrTooLarge says that a push brings more than a repository may hold.
var ErrTooLarge = errors.New("this push is refused")

// Check looks at everything that a push brought, reachable or not, since Gitea shows each of it to whoever knows its
// hash. No folder may hold more than so many entries. It wants to run as git's pre-receive hook does: environ is that
// hook's environment.
func Check(ctx context.Context, environ []string, maxEntries int64) error {
	ctx, cancel := context.WithTimeoutCause(ctx, checkTime, fmt.Errorf("%w: it can't be looked at within %s; push it in parts", ErrTooLarge, checkTime))
	defer cancel()
	folders, err := brought(ctx, environ)
	if err != nil || len(folders) == 0 {
		return err
	}
	objects, err := open(ctx, environ)
	if err != nil {
		return err
	}
	l := lister{read: objects.tree, maxEntries: maxEntries, known: map[string]size{}}
	for _, hash := range folders {
		if _, err := l.size(hash, 1); err != nil {
			return errors.Join(err, objects.close())
		}
	}
	return objects.close()
}

// brought lists the folders among a push's objects, which git keeps apart from the repository's until the hooks have
// let them in. A push that only sets or deletes a name brings none.
func brought(ctx context.Context, environ []string) ([]string, error) {
	var env []string
	apart := false
	for _, v := range environ {
		// Without the repository's own: only what is new.
		if !strings.HasPrefix(v, "GIT_ALTERNATE_OBJECT_DIRECTORIES=") {
			env = append(env, v)
		}
		apart = apart || strings.HasPrefix(v, "GIT_QUARANTINE_PATH=")
	}
	if !apart {
		return nil, nil
	}
	cmd := exec.CommandContext(ctx, "git", "cat-file", "--batch-all-objects", "--unordered", "--batch-check=%(objecttype) %(objectname)")
	cmd.Env = env
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	var folders []string
	lines := bufio.NewScanner(out)
	for lines.Scan() && len(folders) <= maxFolders {
		if hash, ok := strings.CutPrefix(lines.Text(), "tree "); ok {
			folders = append(folders, hash)
		}
	}
	if len(folders) > maxFolders {
		_ = cmd.Cancel()
		_ = cmd.Wait()
		return nil, fmt.Errorf("%w: it brings more than %d folders; push it in parts", ErrTooLarge, maxFolders)
	}
	if err := errors.Join(lines.Err(), cmd.Wait()); err != nil {
		return nil, failed(ctx, err, &stderr)
	}
	return folders, nil
}

func failed(ctx context.Context, err error, stderr *bytes.Buffer) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return fmt.Errorf("git cat-file: %w: %s", err, bytes.TrimSpace(stderr.Bytes()))
}

// objects reads one object after the other.
type objects struct {
	ctx    context.Context
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Reader
	stderr bytes.Buffer
}

func open(ctx context.Context, environ []string) (*objects, error) {
	o := &objects{ctx: ctx, cmd: exec.CommandContext(ctx, "git", "cat-file", "--batch=%(objecttype) %(objectsize)")}
	o.cmd.Env, o.cmd.Stderr = environ, &o.stderr
	var err error
	if o.in, err = o.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := o.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	o.out = bufio.NewReader(out)
	return o, o.cmd.Start()
}

func (o *objects) close() error {
	err := o.in.Close()
	if err := errors.Join(err, o.cmd.Wait()); err != nil {
		return failed(o.ctx, err, &o.stderr)
	}
	return nil
}

// tree gives a folder's own list, in Git's form.
func (o *objects) tree(hash string) ([]byte, error) {
	if _, err := io.WriteString(o.in, hash+"\n"); err != nil {
		return nil, failed(o.ctx, err, &o.stderr)
	}
	line, err := o.out.ReadString('\n')
	if err != nil {
		return nil, failed(o.ctx, err, &o.stderr)
	}
	kind, length, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
	n, err := strconv.ParseInt(length, 10, 64)
	if err != nil || kind != "tree" {
		return nil, fmt.Errorf("%w: %s is no folder: %s", ErrTooLarge, hash, strings.TrimSpace(line))
	}
	if n > maxFolder {
		_ = o.cmd.Cancel()
		return nil, fmt.Errorf("%w: the list of folder %s has more than %d MiB", ErrTooLarge, hash, maxFolder>>20)
	}
	data := make([]byte, n+1) // with a newline
	if _, err := io.ReadFull(o.out, data); err != nil {
		return nil, failed(o.ctx, err, &o.stderr)
	}
	return data[:n], nil
}

// size is what a folder holds with all below it.
type size struct{ entries, paths, depth int64 }

// lister adds up folders, each once.
type lister struct {
	read       func(hash string) ([]byte, error)
	maxEntries int64
	known      map[string]size
}

func (l lister) size(hash string, level int64) (size, error) {
	if known, ok := l.known[hash]; ok {
		return known, nil
	}
	if level > maxDepth {
		return size{}, fmt.Errorf("%w: more than %d folders stand in each other, the innermost %s", ErrTooLarge, maxDepth, hash)
	}
	data, err := l.read(hash)
	if err != nil {
		return size{}, err
	}
	s := size{depth: 1}
	for len(data) > 0 {
		name, mode, below, rest, ok := entry(data, len(hash)/2)
		if !ok {
			return size{}, fmt.Errorf("%w: folder %s isn't in Git's form", ErrTooLarge, hash)
		}
		data = rest
		if len(name) > maxName {
			return size{}, fmt.Errorf("%w: folder %s has a name of more than %d bytes", ErrTooLarge, hash, maxName)
		}
		s.entries++
		s.paths += int64(len(name)) + 1
		if mode == "40000" || mode == "040000" {
			sub, err := l.size(below, level+1)
			if err != nil {
				return size{}, err
			}
			s.entries += sub.entries
			s.paths += sub.paths + sub.entries*(int64(len(name))+1)
			s.depth = max(s.depth, sub.depth+1)
		}
		switch {
		case s.entries > l.maxEntries:
			return size{}, fmt.Errorf("%w: folder %s holds more than %d files and folders, with those below it", ErrTooLarge, hash, l.maxEntries)
		case s.paths > maxPaths:
			return size{}, fmt.Errorf("%w: the paths of the files in folder %s take more than %d MiB", ErrTooLarge, hash, maxPaths>>20)
		case s.depth > maxDepth:
			return size{}, fmt.Errorf("%w: in folder %s more than %d folders stand in each other", ErrTooLarge, hash, maxDepth)
		}
	}
	l.known[hash] = s
	return s, nil
}

// entry reads the first entry of a folder's list: mode, name and the hash of so many bytes.
func entry(data []byte, hashLen int) (name []byte, mode, hash string, rest []byte, ok bool) {
	space, end := bytes.IndexByte(data, ' '), bytes.IndexByte(data, 0)
	if space <= 0 || end <= space+1 || len(data) < end+1+hashLen {
		return nil, "", "", nil, false
	}
	return data[space+1 : end], string(data[:space]), fmt.Sprintf("%x", data[end+1:end+1+hashLen]), data[end+1+hashLen:], true
}
