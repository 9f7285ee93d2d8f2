package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Problem is something wrong with one entry of the store.
type Problem struct {
	Ref    string // the entry
	Digest string // the blob
	Reason string
}

func (p Problem) String() string { return p.Ref + ": " + p.Reason }

// VerifyOptions say what Verify does beside looking.
type VerifyOptions struct {
	// Remove takes damaged blobs and the names that need them out of the store,
	// so that the next fill fetches them again.
	Remove bool
	// Progress is called with how many bytes were hashed; it may be nil.
	Progress func(done, total int64)
}

// Verify hashes every blob that a name in the store needs, and returns what is
// wrong, sorted by name. The error is for a store that can't be read at all.
func (s *Store) Verify(ctx context.Context, opt VerifyOptions) ([]Problem, error) {
	entries, err := s.Entries()
	if err != nil {
		return nil, err
	}
	v := &verifier{store: s, ctx: ctx, opt: opt, checked: map[v1.Hash]error{}}
	for _, e := range entries {
		needs, _ := s.needs(e.Descriptor) // what can't be read shows below
		for _, d := range needs {
			if _, ok := v.checked[d.Digest]; !ok {
				v.checked[d.Digest] = nil
				v.total += d.Size
			}
		}
	}
	clear(v.checked)
	var problems []Problem
	for _, e := range entries {
		var bad bool
		needs, hidden := s.needs(e.Descriptor)
		for _, d := range needs {
			err := v.check(d)
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			if err == nil {
				continue
			}
			bad = true
			problems = append(problems, Problem{Ref: e.Ref, Digest: d.Digest.String(), Reason: err.Error()})
			if opt.Remove && !errors.Is(err, fs.ErrNotExist) {
				if err := os.Remove(s.blobPath(d.Digest)); err != nil && !errors.Is(err, fs.ErrNotExist) {
					return problems, err
				}
			}
		}
		if hidden != nil && !bad { // every byte is as promised, and still no image
			bad = true
			problems = append(problems, Problem{Ref: e.Ref, Digest: e.Descriptor.Digest.String(), Reason: hidden.Error()})
		}
		if bad && opt.Remove {
			if err := s.Remove(e.Ref); err != nil {
				return problems, err
			}
		}
	}
	return problems, nil
}

type verifier struct {
	store       *Store
	ctx         context.Context
	opt         VerifyOptions
	checked     map[v1.Hash]error
	done, total int64
}

func (v *verifier) check(d v1.Descriptor) error {
	if err, ok := v.checked[d.Digest]; ok {
		return err
	}
	err := v.store.checkBlob(v.ctx, d)
	v.checked[d.Digest] = err
	v.done += d.Size
	if v.opt.Progress != nil {
		v.opt.Progress(v.done, v.total)
	}
	return err
}

func (s *Store) checkBlob(ctx context.Context, d v1.Descriptor) error {
	f, err := os.Open(s.blobPath(d.Digest))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("blob %s is missing: %w", d.Digest, err)
	}
	if err != nil {
		return err
	}
	defer f.Close()
	got, n, err := v1.SHA256(&ctxReader{ctx, f})
	if err != nil {
		return fmt.Errorf("blob %s: %w", d.Digest, err)
	}
	if got != d.Digest || d.Size > 0 && n != d.Size {
		return &DigestError{Want: d.Digest, Got: got, WantSize: d.Size, GotSize: n}
	}
	return nil
}

// needs lists the blobs that an entry needs: as far as they can be found, for a
// damaged manifest hides what lies behind it. Of an index, the images of other
// platforms are not needed, but are looked at where they are there.
func (s *Store) needs(d v1.Descriptor) (list []v1.Descriptor, err error) {
	list = []v1.Descriptor{d}
	raw, err := s.blobBytes(d.Digest)
	if err != nil {
		return list, err
	}
	if !d.MediaType.IsIndex() {
		m, err := v1.ParseManifest(bytes.NewReader(raw))
		if err != nil {
			return list, err
		}
		return append(append(list, m.Config), m.Layers...), nil
	}
	index, err := v1.ParseIndexManifest(bytes.NewReader(raw))
	if err != nil {
		return list, err
	}
	mine, err := Pick(index)
	if err != nil {
		return list, err
	}
	for _, m := range index.Manifests {
		if m.Digest != mine.Digest && !s.hasBlob(m.Digest, -1) {
			continue
		}
		more, err := s.needs(m)
		if list = append(list, more...); err != nil {
			return list, err
		}
	}
	return list, nil
}
