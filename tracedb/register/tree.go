package register

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// ValidateTree is Validate for the file at the root of a tree, and holds the data that lies in the
// tree against its declared hashes. Links aren't followed, whatever the tree would do: what is hashed
// is a file of the tree itself. Data elsewhere, with a scheme in its URI, isn't looked at. The error is
// for what kept it from looking.
func ValidateTree(tree fs.FS) (Document, Violations, error) {
	r := newReader()
	found, err := regular(tree, File)
	if err != nil {
		return Document{}, nil, err
	}
	if !found {
		r.say(&yaml.Node{}, "", RuleMissingFile, "add "+File+" with schema "+Schema, "isn't a file at the root of the repository")
		return Document{}, r.out, nil
	}
	data, err := read(tree)
	if err != nil {
		return Document{}, nil, err
	}
	d := r.document(data)
	hashed := map[string]bool{}
	for i, s := range d.Data {
		if local(s.URI) && !hashed[s.URI] {
			hashed[s.URI] = true
			if err := r.hash(tree, fmt.Sprintf("data[%d]", i), s); err != nil {
				return Document{}, nil, err
			}
		}
	}
	return d, r.out.sorted(), nil
}

// ValidateFolder is ValidateTree for a folder, outside of which nothing is read, whatever links are in it.
func ValidateFolder(name string) (Document, Violations, error) {
	root, err := os.OpenRoot(name)
	if err != nil {
		return Document{}, nil, err
	}
	defer root.Close()
	return ValidateTree(root.FS())
}

// read reads no more than Validate needs to see that it is too much.
func read(tree fs.FS) ([]byte, error) {
	f, err := tree.Open(File)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", File, err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxSize+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", File, err)
	}
	return data, nil
}

func (r *reader) hash(tree fs.FS, at string, s Source) error {
	found, err := regular(tree, s.URI)
	if err != nil {
		return err
	}
	if !found {
		r.say(r.given[at+".uri"], at+".uri", RuleMissingFile, "add the file, or correct the path", "%s isn't a file of the repository", quote(s.URI))
		return nil
	}
	if !shapeSHA256.ok(s.SHA256) {
		return nil // that was said
	}
	f, err := tree.Open(s.URI)
	if err != nil {
		return fmt.Errorf("read %s: %w", s.URI, err)
	}
	defer f.Close()
	h := sha256.New()
	var begin bytes.Buffer
	if _, err := io.Copy(h, io.TeeReader(io.LimitReader(f, maxPointer), &begin)); err != nil {
		return fmt.Errorf("read %s: %w", s.URI, err)
	}
	if _, err := io.Copy(h, f); err != nil {
		return fmt.Errorf("read %s: %w", s.URI, err)
	}
	got, what := hex.EncodeToString(h.Sum(nil)), quote(s.URI)
	if m := lfsPointer.FindSubmatch(begin.Bytes()); m != nil {
		got, what = string(m[1]), "the data that "+what+", a Git LFS pointer, stands for"
	}
	if got != s.SHA256 {
		r.say(r.given[at+".sha256"], at+".sha256", RuleSHA256,
			"write "+strconv.Quote(got)+" if the file is what is meant, or put back the file that was declared",
			"isn't the hash of %s", what)
	}
	return nil
}

// maxPointer is the size that every Git LFS pointer stays below.
const maxPointer = 1024

// lfsPointer is what Git holds of a file that lies in Git LFS: the hash of the data, which isn't there. The
// data is declared alike, whether or not whoever checks has fetched it.
var lfsPointer = regexp.MustCompile(`\Aversion https://git-lfs\.github\.com/spec/v1\n(?:ext-[^\n]*\n)*oid sha256:([0-9a-f]{64})\nsize [0-9]+\n?\z`)

// regular says whether there is a file of that name which no link leads to: a link could lead out of
// the tree, and a pipe or a device would never end.
func regular(tree fs.FS, name string) (bool, error) {
	parts := strings.Split(name, "/")
	for i := range parts {
		info, err := fs.Lstat(tree, path.Join(parts[:i+1]...))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return false, nil
		case err != nil:
			return false, fmt.Errorf("look for %s: %w", name, err)
		case i == len(parts)-1:
			return info.Mode().IsRegular(), nil
		case !info.IsDir():
			return false, nil
		}
	}
	return false, nil
}
