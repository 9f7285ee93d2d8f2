package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"time"

	"github.com/gofrs/flock"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// ErrDisk marks failures of this machine's disk, which trying again won't help.
var ErrDisk = errors.New("write to the store")

// lockInterval is how often a writer that waits for another looks again.
const lockInterval = 200 * time.Millisecond

// BlobWriter writes a blob into the store. It goes on where an earlier writer, of
// this or of another process, stopped. One process at a time has it.
type BlobWriter struct {
	store *Store
	want  v1.Descriptor
	lock  *flock.Flock
	file  *os.File
	sum   hash.Hash
	have  int64
}

// BlobWriter opens a blob for writing, waiting for another writer; nil if the store
// has the blob. It must be closed.
func (s *Store) BlobWriter(ctx context.Context, d v1.Descriptor) (_ *BlobWriter, err error) {
	if s.hasBlob(d.Digest, d.Size) {
		return nil, nil
	}
	name := s.path("tmp", "part-"+d.Digest.Hex)
	w := &BlobWriter{store: s, want: d, lock: flock.New(name + ".lock"), sum: sha256.New()}
	if _, err := w.lock.TryLockContext(ctx, lockInterval); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDisk, err)
	}
	defer func() {
		if err != nil {
			_ = w.Close()
		}
	}()
	if s.hasBlob(d.Digest, d.Size) {
		return nil, w.Close() // whoever held the lock has brought it
	}
	if w.file, err = os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDisk, err)
	}
	if w.have, err = io.Copy(w.sum, &ctxReader{ctx, w.file}); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDisk, err)
	}
	if w.have > d.Size {
		err = w.Reset()
	}
	return w, err
}

// Offset is how many bytes are written.
func (w *BlobWriter) Offset() int64 { return w.have }

// Remaining is how many bytes are missing.
func (w *BlobWriter) Remaining() int64 { return w.want.Size - w.have }

// Write appends to the blob.
func (w *BlobWriter) Write(b []byte) (int, error) {
	n, err := w.file.Write(b)
	w.sum.Write(b[:n])
	w.have += int64(n)
	if err != nil {
		err = fmt.Errorf("%w: %w", ErrDisk, err)
	}
	return n, err
}

// Reset drops what is written.
func (w *BlobWriter) Reset() error {
	w.sum.Reset()
	w.have = 0
	_, err := w.file.Seek(0, io.SeekStart)
	if err := errors.Join(err, w.file.Truncate(0)); err != nil {
		return fmt.Errorf("%w: %w", ErrDisk, err)
	}
	return nil
}

// Commit makes the blob part of the store. Bytes that don't have the digest are
// dropped, with a DigestError.
func (w *BlobWriter) Commit() error {
	got := v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(w.sum.Sum(nil))}
	if got != w.want.Digest || w.have != w.want.Size {
		return errors.Join(&DigestError{Want: w.want.Digest, Got: got, WantSize: w.want.Size, GotSize: w.have}, w.Reset())
	}
	if err := errors.Join(finish(w.file), os.Rename(w.file.Name(), w.store.blobPath(w.want.Digest))); err != nil {
		return fmt.Errorf("%w: %w", ErrDisk, err)
	}
	return os.Remove(w.lock.Path())
}

// Close lets other writers go on; what is written stays.
func (w *BlobWriter) Close() error {
	if w.file != nil {
		_ = w.file.Close() // closed already after Commit
	}
	return w.lock.Unlock()
}
