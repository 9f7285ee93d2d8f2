package receive

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strconv"
	"strings"
)

// What git calls kinds of objects.
const (
	tree   = "tree" // a folder
	commit = "commit"
	tag    = "tag"
)

// object is one of a repository, but for files.
type object struct{ kind, hash string }

// quarantined says whether what was pushed is kept apart from the repository, as git does until the hooks have let it in.
func quarantined(environ []string) bool {
	return slices.ContainsFunc(environ, func(v string) bool { return strings.HasPrefix(v, "GIT_QUARANTINE_PATH=") })
}

// list lists what a push brought, but for files.
func list(ctx context.Context, environ []string) ([]object, error) {
	// Without what was there before.
	env := slices.DeleteFunc(slices.Clone(environ), func(v string) bool { return strings.HasPrefix(v, "GIT_ALTERNATE_OBJECT_DIRECTORIES=") })
	r, err := start(ctx, env, "--batch-all-objects", "--unordered", "--batch-check="+format)
	if err != nil {
		return nil, err
	}
	defer r.close()
	var all []object
	var texts int64
	for {
		o, n, err := r.header()
		if err == io.EOF {
			return all, r.end()
		}
		if err != nil {
			return nil, err
		}
		if o.kind == "blob" {
			continue
		}
		if o.kind != tree {
			texts += n
		}
		if texts > maxTexts {
			return nil, tooLarge("its commits and tags take more than %d MiB together", maxTexts>>20)
		}
		if all = append(all, o); len(all) > maxObjects {
			return nil, tooLarge("it brings more than %d folders, commits and tags; push it in parts", maxObjects)
		}
	}
}

// format is what git tells of an object before its content.
const format = "%(objecttype) %(objectname) %(objectsize)"

// reader reads objects through git.
type reader struct {
	ctx    context.Context
	stop   context.CancelFunc
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Reader
	stderr bytes.Buffer
}

// open begins to read objects, one after the other.
func open(ctx context.Context, environ []string) (*reader, error) {
	return start(ctx, environ, "--batch="+format)
}

func start(ctx context.Context, environ []string, args ...string) (*reader, error) {
	ended, stop := context.WithCancel(ctx)
	r := &reader{ctx: ctx, stop: stop, cmd: exec.CommandContext(ended, "git", append([]string{"cat-file"}, args...)...)}
	r.cmd.Env, r.cmd.Stderr = environ, &r.stderr
	in, err := r.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := r.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	r.in, r.out = in, bufio.NewReader(out)
	return r, r.cmd.Start()
}

// close ends git, wherever it is.
func (r *reader) close() {
	r.stop()
	_ = r.cmd.Wait() // a second time, where it has ended by itself
}

// end waits for git to end by itself, and says how it did.
func (r *reader) end() error {
	err := r.cmd.Wait()
	switch {
	case r.ctx.Err() != nil:
		return context.Cause(r.ctx)
	case err != nil:
		return fmt.Errorf("git cat-file: %w: %s", err, bytes.TrimSpace(r.stderr.Bytes()))
	}
	return nil
}

// header reads what git tells of the next object: it, and its bytes, if it isn't too large to be read.
func (r *reader) header() (o object, n int64, err error) {
	line, err := r.out.ReadString('\n')
	if err == io.EOF && line == "" {
		return o, 0, io.EOF
	}
	words := strings.Fields(line)
	if err != nil || len(words) != 3 {
		return o, 0, errors.Join(fmt.Errorf("git cat-file said %.100q", line), err)
	}
	o = object{words[0], words[1]}
	if n, err = strconv.ParseInt(words[2], 10, 64); err != nil {
		return o, 0, err
	}
	switch {
	case o.kind == tree && n > maxFolder:
		err = tooLarge("the list of folder %s takes more than %d MiB", o.hash, maxFolder>>20)
	case (o.kind == commit || o.kind == tag) && n > maxText:
		err = tooLarge("%s %s takes more than %d KiB", o.kind, o.hash, maxText>>10)
	}
	return o, n, err
}

// read gives the content of an object of that kind.
func (r *reader) read(hash, kind string) ([]byte, error) {
	if _, err := io.WriteString(r.in, hash+"\n"); err != nil {
		return nil, r.broken(err)
	}
	o, n, err := r.header()
	switch {
	case err == io.EOF:
		return nil, r.broken(io.ErrUnexpectedEOF)
	case err != nil:
		return nil, err
	case o.kind != kind:
		return nil, tooLarge("%s is a %s, and said to be a %s", hash, o.kind, kind)
	}
	data := make([]byte, n+1) // with a newline
	if _, err := io.ReadFull(r.out, data); err != nil {
		return nil, r.broken(err)
	}
	return data[:n], nil
}

// broken is why git doesn't go on.
func (r *reader) broken(err error) error {
	if ended := r.end(); ended != nil {
		return ended
	}
	return fmt.Errorf("git cat-file: %w", err)
}

// folder is the folder that a commit or a tag leads to; empty: none.
func (r *reader) folder(o object) (string, error) {
	data, err := r.read(o.hash, o.kind)
	if err != nil {
		return "", err
	}
	first, rest, _ := strings.Cut(string(data), "\n")
	if hash, ok := strings.CutPrefix(first, "tree "); ok && o.kind == commit {
		return hash, nil
	}
	hash, ok := strings.CutPrefix(first, "object ")
	if kind, _, _ := strings.Cut(rest, "\n"); ok && kind == "type tree" {
		return hash, nil
	}
	return "", nil
}
