package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"golang.org/x/sync/errgroup"
)

// layersAtOnce bounds how many layers of one image are written side by side.
const layersAtOnce = 4

// DigestError says that bytes are not what their digest promised.
type DigestError struct {
	Want, Got v1.Hash
	WantSize  int64
	GotSize   int64
}

func (e *DigestError) Error() string {
	if e.Want != e.Got {
		return fmt.Sprintf("blob %s has digest %s", e.Want, e.Got)
	}
	return fmt.Sprintf("blob %s has %d bytes, not %d", e.Want, e.GotSize, e.WantSize)
}

// writeImage writes an image's blobs, the manifest last.
func (s *Store) writeImage(img v1.Image) error {
	layers, err := img.Layers()
	if err != nil {
		return err
	}
	config, err := partial.ConfigLayer(img)
	if err != nil {
		return err
	}
	var g errgroup.Group
	g.SetLimit(layersAtOnce)
	for _, l := range append(layers, config) {
		g.Go(func() error { return s.writeLayer(l) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	digest, err := img.Digest()
	if err != nil {
		return err
	}
	raw, err := img.RawManifest()
	if err != nil {
		return err
	}
	return s.writeBlob(digest, int64(len(raw)), bytes.NewReader(raw))
}

func (s *Store) writeLayer(l v1.Layer) error {
	digest, err := l.Digest()
	if err != nil {
		return err
	}
	size, err := l.Size()
	if err != nil {
		return err
	}
	if s.hasBlob(digest, size) {
		return nil
	}
	r, err := l.Compressed()
	if err != nil {
		return err
	}
	defer r.Close()
	return s.writeBlob(digest, size, r)
}

// hasBlob says whether a blob lies there in its full size. Its digest was
// checked when it came in; Verify checks it again.
func (s *Store) hasBlob(h v1.Hash, size int64) bool {
	info, err := os.Stat(s.blobPath(h))
	return err == nil && info.Mode().IsRegular() && (size < 0 || info.Size() == size)
}

// writeBlob takes a blob in if r yields what the digest and the size promise; a
// DigestError otherwise.
func (s *Store) writeBlob(want v1.Hash, size int64, r io.Reader) error {
	if want.Algorithm != "sha256" {
		return fmt.Errorf("blob %s: only sha256 digests are supported", want)
	}
	if s.hasBlob(want, size) {
		return nil
	}
	// One byte more, so that a longer body is seen.
	tmp, got, n, err := s.spool(io.LimitReader(r, size+1))
	if err != nil {
		return fmt.Errorf("blob %s: %w", want, err)
	}
	defer os.Remove(tmp)
	if got != want || n != size {
		return &DigestError{Want: want, Got: got, WantSize: size, GotSize: n}
	}
	return os.Rename(tmp, s.blobPath(want))
}

// spool copies r into a file of the store that has no name of its own yet.
func (s *Store) spool(r io.Reader) (name string, h v1.Hash, n int64, err error) {
	f, err := os.CreateTemp(s.path("tmp"), "blob-")
	if err != nil {
		return "", v1.Hash{}, 0, err
	}
	defer func() {
		f.Close()
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	sum := sha256.New()
	if n, err = io.Copy(io.MultiWriter(f, sum), r); err != nil {
		return "", v1.Hash{}, n, err
	}
	if err = finish(f); err != nil {
		return "", v1.Hash{}, n, err
	}
	return f.Name(), v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum.Sum(nil))}, n, nil
}

// writeFile replaces a file at the store's top in one move.
func (s *Store) writeFile(name string, data []byte) error {
	f, err := os.CreateTemp(s.path("tmp"), "file-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if _, err := f.Write(data); err != nil {
		return err
	}
	if err := finish(f); err != nil {
		return err
	}
	return os.Rename(f.Name(), s.path(name))
}

// finish makes a file readable to the mirror, which is another user, and brings
// it to disk before a rename can make it visible.
func finish(f *os.File) error {
	return errors.Join(f.Chmod(0o644), f.Sync(), f.Close())
}

// ctxReader ends a long copy when its context does.
type ctxReader struct {
	ctx context.Context
	r   io.Reader
}

func (r *ctxReader) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.r.Read(p)
}
