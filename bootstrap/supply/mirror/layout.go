package mirror

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// refAnnotation holds an entry's name, as the OCI image layout says.
const refAnnotation = "org.opencontainers.image.ref.name"

type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Annotations map[string]string `json:"annotations"`
}

// layout reads a store that others write.
type layout struct {
	dir string

	mu   sync.Mutex
	seen os.FileInfo
	list []descriptor
}

func (l *layout) blob(digest string) string {
	return filepath.Join(l.dir, "blobs", "sha256", strings.TrimPrefix(digest, "sha256:"))
}

// entries returns what index.json names. The file is replaced as a whole, so it
// is read again when it is another one.
func (l *layout) entries() ([]descriptor, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	info, err := os.Stat(filepath.Join(l.dir, "index.json"))
	if err != nil {
		return nil, unreadable(err)
	}
	if l.seen != nil && os.SameFile(info, l.seen) && info.ModTime().Equal(l.seen.ModTime()) && info.Size() == l.seen.Size() {
		return l.list, nil
	}
	list, err := readIndex(filepath.Join(l.dir, "index.json"))
	if err != nil {
		return nil, unreadable(err)
	}
	l.seen, l.list = info, list
	return list, nil
}

// unreadable hides "does not exist" from callers: a store without an index is
// not a store that lacks one image.
func unreadable(err error) error { return fmt.Errorf("read store: %v", err) }

func readIndex(file string) ([]descriptor, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var ix struct {
		Manifests []descriptor `json:"manifests"`
	}
	if err := json.Unmarshal(raw, &ix); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	for _, d := range ix.Manifests {
		if !digest.MatchString(d.Digest) {
			return nil, fmt.Errorf("%s: %q is not a digest", file, d.Digest)
		}
	}
	return ix.Manifests, nil
}

// find returns the manifest that ref, a tag or a digest, stands for under name.
// A digest may also be that of an image inside of an index of that name.
func (l *layout) find(name, ref string, byDigest bool) (descriptor, error) {
	entries, err := l.entries()
	if err != nil {
		return descriptor{}, err
	}
	for _, e := range entries {
		full := e.Annotations[refAnnotation]
		if !byDigest {
			if full == name+":"+ref {
				return e, nil
			}
			continue
		}
		if i := strings.LastIndex(full, ":"); i < 0 || full[:i] != name {
			continue
		}
		if e.Digest == ref {
			return e, nil
		}
		if !strings.Contains(e.MediaType, "index") && !strings.Contains(e.MediaType, "manifest.list") {
			continue
		}
		children, err := readIndex(l.blob(e.Digest))
		if err != nil {
			return descriptor{}, unreadable(err)
		}
		for _, c := range children {
			if c.Digest == ref {
				return c, nil
			}
		}
	}
	return descriptor{}, fs.ErrNotExist
}
