package auth

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
)

// maxSecret bounds what is read as a secret.
const maxSecret = 64 << 10

// File is a secret in a file. It is read again when the file changes, as it does when Kubernetes
// writes a new version of a mounted Secret.
type File struct {
	name string

	mu    sync.Mutex
	info  fs.FileInfo
	value string
}

// NewFile is the secret in the named file. It must be there, and not be empty.
func NewFile(name string) (*File, error) {
	f := &File{name: name}
	if _, err := f.Value(); err != nil {
		return nil, err
	}
	return f, nil
}

// Value is the secret, without space around it.
func (f *File) Value() (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	info, err := os.Stat(f.name)
	if err != nil {
		return "", err
	}
	if f.info != nil && os.SameFile(f.info, info) && f.info.ModTime().Equal(info.ModTime()) && f.info.Size() == info.Size() {
		return f.value, nil
	}
	if info.Size() > maxSecret {
		return "", fmt.Errorf("%s: %d bytes are no secret", f.name, info.Size())
	}
	raw, err := os.ReadFile(f.name)
	if err != nil {
		return "", err
	}
	value := strings.TrimSpace(string(raw))
	if value == "" {
		return "", fmt.Errorf("%s: %w", f.name, errEmpty)
	}
	f.info, f.value = info, value
	return value, nil
}

var errEmpty = errors.New("is empty, which would let everybody in")

// Equal compares in constant time, also in the length.
func (f *File) Equal(other string) (bool, error) {
	value, err := f.Value()
	if err != nil {
		return false, err
	}
	a, b := sha256.Sum256([]byte(value)), sha256.Sum256([]byte(other))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1, nil
}
