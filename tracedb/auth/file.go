package auth

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// maxSecret bounds what is read as a secret.
const maxSecret = 64 << 10

// File is a secret in a file. It is read each time, since the file changes when Kubernetes writes a new version of
// a mounted Secret.
type File struct{ name string }

// NewFile is the secret in the named file. It must be there, and not be empty.
func NewFile(name string) (*File, error) {
	f := &File{name}
	_, err := f.Value()
	return f, err
}

// Value is the secret, without space around it.
func (f *File) Value() (string, error) {
	file, err := os.Open(f.name)
	if err != nil {
		return "", err
	}
	defer file.Close()
	raw, err := io.ReadAll(io.LimitReader(file, maxSecret+1))
	if err != nil {
		return "", err
	}
	value := strings.TrimSpace(string(raw))
	switch {
	case len(raw) > maxSecret:
		return "", fmt.Errorf("%s: more than %d bytes are no secret", f.name, maxSecret)
	case value == "":
		return "", fmt.Errorf("%s: %w", f.name, errEmpty)
	}
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
