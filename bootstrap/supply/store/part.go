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

// ErrDisk marks failures of this machine's disk, which no other machine can mend.
var ErrDisk = errors.New("write to the store")

// partLockInterval is how often a writer that waits for another looks again.
const partLockInterval = 200 * time.Millisecond

// Part is a blob on its way into the store. What an earlier writer, of this or
// of another process, left of it is there already. One process at a time has it.
type Part struct {
	store *Store
	want  v1.Descriptor
	lock  *flock.Flock
	file  *os.File
	sum   hash.Hash
	have  int64
}

// Part opens the part of a blob, waiting for another writer; nil if the store
// has the blob. The part must be closed.
func (s *Store) Part(ctx context.Context, d v1.Descriptor) (_ *Part, err error) {
	if s.hasBlob(d.Digest, d.Size) {
		return nil, nil
	}
	name := s.path("tmp", "part-"+d.Digest.Hex)
	p := &Part{store: s, want: d, lock: flock.New(name + ".lock"), sum: sha256.New()}
	if _, err := p.lock.TryLockContext(ctx, partLockInterval); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDisk, err)
	}
	defer func() {
		if err != nil {
			_ = p.Close()
		}
	}()
	if s.hasBlob(d.Digest, d.Size) {
		return nil, p.Close() // whoever held the lock has brought it
	}
	if p.file, err = os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDisk, err)
	}
	if p.have, err = io.Copy(p.sum, &ctxReader{ctx, p.file}); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDisk, err)
	}
	if p.have > d.Size {
		err = p.Reset()
	}
	return p, err
}

// Have is how many bytes are there.
func (p *Part) Have() int64 { return p.have }

// Lacks is how many bytes are wanted still.
func (p *Part) Lacks() int64 { return p.want.Size - p.have }

// Write appends to the part.
func (p *Part) Write(b []byte) (int, error) {
	n, err := p.file.Write(b)
	p.sum.Write(b[:n])
	p.have += int64(n)
	if err != nil {
		err = fmt.Errorf("%w: %w", ErrDisk, err)
	}
	return n, err
}

// Reset drops what is there.
func (p *Part) Reset() error {
	p.sum.Reset()
	p.have = 0
	_, err := p.file.Seek(0, io.SeekStart)
	if err := errors.Join(err, p.file.Truncate(0)); err != nil {
		return fmt.Errorf("%w: %w", ErrDisk, err)
	}
	return nil
}

// Commit makes the blob of the part. Bytes that are not those that the digest
// promised are dropped, with a DigestError.
func (p *Part) Commit() error {
	got := v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(p.sum.Sum(nil))}
	if got != p.want.Digest || p.have != p.want.Size {
		return errors.Join(&DigestError{Want: p.want.Digest, Got: got, WantSize: p.want.Size, GotSize: p.have}, p.Reset())
	}
	if err := errors.Join(finish(p.file), os.Rename(p.file.Name(), p.store.blobPath(p.want.Digest))); err != nil {
		return fmt.Errorf("%w: %w", ErrDisk, err)
	}
	return os.Remove(p.lock.Path())
}

// Close lets other writers have the part; what is there stays.
func (p *Part) Close() error {
	if p.file != nil {
		_ = p.file.Close() // closed already after Commit
	}
	return p.lock.Unlock()
}
