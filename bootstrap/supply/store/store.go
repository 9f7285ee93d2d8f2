// Package store owns the folder that images and upstream files are kept in: an OCI image layout that several
// processes may write at once. A blob enters it only after its digest was checked, and a name only after all its
// blobs are there: a name that can be looked up is complete, however its writer ended.
//
// It refuses to fetch or to build anything, and to hold a name without a tag.
package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"github.com/gofrs/flock"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/druppie/druppie-up/internal/ui"
)

// Annotations that the writers of entries leave for each other.
const (
	// Supplier is the name of the supply that wrote an entry.
	Supplier = "io.druppie.supply"
	// Input stands for what an entry was made from, so that making it again can be left out.
	Input = "io.druppie.input"
)

// RefAnnotation is the annotation of an index.json entry that holds its name.
const RefAnnotation = "org.opencontainers.image.ref.name"

// ErrNotFound says that the store has no entry under a name.
var ErrNotFound = errors.New("not in the store")

// Entry is one name in the store.
type Entry struct {
	Ref         string            // full name with tag, as upstream writes it
	Descriptor  v1.Descriptor     // what the name stands for: an image or an index
	Annotations map[string]string // what the writer noted, without the name itself
}

// Pinned returns the entry's name with the digest that the store holds.
func (e Entry) Pinned() string { return e.Ref + "@" + e.Descriptor.Digest.String() }

// Store is an OCI image layout that several processes may write at once.
type Store struct{ dir string }

// Open opens the store in dir, and makes an empty one if there is none.
func Open(dir string) (*Store, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	s := &Store{dir: dir}
	if _, err := os.Stat(s.path("index.json")); err == nil {
		return s, nil
	}
	if err := s.create(); err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	return s, nil
}

func (s *Store) create() error {
	for _, d := range []string{s.dir, s.path("blobs", "sha256"), s.path("tmp")} {
		// The mirror reads the store as another user, whatever our umask is.
		if err := errors.Join(os.MkdirAll(d, 0o755), os.Chmod(d, 0o755)); err != nil {
			return err
		}
	}
	return s.locked(func() error {
		if _, err := os.Stat(s.path("index.json")); err == nil {
			return nil // another process was faster
		}
		if err := s.writeFile("oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`)); err != nil {
			return err
		}
		return s.writeIndex(&v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []v1.Descriptor{}})
	})
}

// Dir returns the store's folder.
func (s *Store) Dir() string { return s.dir }

// Entries lists what the store holds, sorted by name.
func (s *Store) Entries() ([]Entry, error) {
	index, err := s.readIndex()
	if err != nil {
		return nil, err
	}
	entries := make([]Entry, 0, len(index.Manifests))
	for _, d := range index.Manifests {
		ref := d.Annotations[RefAnnotation]
		if ref == "" {
			continue // an unnamed entry was not written by us and nobody can ask for it
		}
		ann := maps.Clone(d.Annotations)
		delete(ann, RefAnnotation)
		d.Annotations = nil
		entries = append(entries, Entry{Ref: ref, Descriptor: d, Annotations: ann})
	}
	slices.SortFunc(entries, func(a, b Entry) int { return strings.Compare(a.Ref, b.Ref) })
	return entries, nil
}

// Entry looks up a name: name:tag, name@digest, or name:tag@digest, where the
// digest must be the one that the store holds. The error is ErrNotFound if it
// isn't there.
func (s *Store) Entry(ref string) (Entry, error) {
	entries, err := s.Entries()
	if err != nil {
		return Entry{}, err
	}
	return find(entries, ref)
}

func find(entries []Entry, ref string) (Entry, error) {
	want, err := ParseRef(ref)
	if err != nil {
		return Entry{}, err
	}
	for _, e := range entries {
		got, err := ParseRef(e.Ref)
		if err == nil && got.Name == want.Name && (want.Tag == "" || got.Tag == want.Tag) &&
			(want.Digest == "" || e.Descriptor.Digest.String() == want.Digest) {
			return e, nil
		}
	}
	return Entry{}, fmt.Errorf("%s: %w", ref, ErrNotFound)
}

// Missing returns those of refs that the store doesn't have, in their order.
func (s *Store) Missing(refs []string) ([]string, error) {
	entries, err := s.Entries()
	if err != nil {
		return nil, err
	}
	var missing []string
	for _, r := range refs {
		if _, err := find(entries, r); errors.Is(err, ErrNotFound) {
			missing = append(missing, r)
		} else if err != nil {
			return nil, err
		}
	}
	return missing, nil
}

// Image returns the image of a name for linux on this machine's architecture.
func (s *Store) Image(ref string) (v1.Image, error) {
	e, err := s.Entry(ref)
	if err != nil {
		return nil, err
	}
	img, err := s.image(e.Descriptor)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", ref, err)
	}
	return img, nil
}

// image is the image that an entry's descriptor stands for.
func (s *Store) image(d v1.Descriptor) (v1.Image, error) {
	top, err := layout.ImageIndexFromPath(s.dir)
	if err != nil {
		return nil, err
	}
	if !d.MediaType.IsIndex() {
		return top.Image(d.Digest)
	}
	index, err := top.ImageIndex(d.Digest)
	if err != nil {
		return nil, err
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		return nil, err
	}
	child, err := Pick(manifest)
	if err != nil {
		return nil, err
	}
	return index.Image(child.Digest)
}

// Pick chooses the image for linux on this machine's architecture from an index.
func Pick(index *v1.IndexManifest) (v1.Descriptor, error) {
	for _, m := range index.Manifests {
		p := m.Platform
		if p != nil && p.OS == "linux" && p.Architecture == runtime.GOARCH && m.MediaType.IsImage() {
			return m, nil
		}
	}
	return v1.Descriptor{}, fmt.Errorf("the index has no image for linux/%s", runtime.GOARCH)
}

// PutImage writes an image and gives it a name. A name that is there already
// then stands for the new image.
func (s *Store) PutImage(ref string, img v1.Image, ann map[string]string) (Entry, error) {
	return s.put(ref, ann, func() (v1.Descriptor, error) {
		if err := s.writeImage(img); err != nil {
			return v1.Descriptor{}, err
		}
		d, err := partial.Descriptor(img)
		if err != nil {
			return v1.Descriptor{}, err
		}
		return *d, nil
	})
}

// PutManifests gives a name to an image whose other blobs are there: manifests
// are upstream's, byte for byte, either the image's own, or an index and that of
// its image for this machine. A digest of the index that upstream pinned then
// answers, though the images of the other platforms are not there.
func (s *Store) PutManifests(ref string, manifests []Manifest, ann map[string]string) (Entry, error) {
	return s.put(ref, ann, func() (v1.Descriptor, error) {
		for _, m := range manifests {
			if err := s.writeBlob(m.Digest, m.Size, bytes.NewReader(m.Raw)); err != nil {
				return v1.Descriptor{}, err
			}
		}
		top := manifests[0].Descriptor
		needs, err := s.needs(top)
		if err != nil {
			return v1.Descriptor{}, err
		}
		for _, d := range needs {
			if !s.hasBlob(d.Digest, d.Size) {
				return v1.Descriptor{}, fmt.Errorf("blob %s is missing: %w", d.Digest, fs.ErrNotExist)
			}
		}
		return top, nil
	})
}

// Manifest is a manifest or an index as upstream wrote it.
type Manifest struct {
	v1.Descriptor
	Raw []byte
}

// put has write bring all blobs in, and then makes ref stand for what it returns.
func (s *Store) put(ref string, ann map[string]string, write func() (v1.Descriptor, error)) (Entry, error) {
	r, err := ParseRef(ref)
	if err != nil {
		return Entry{}, err
	}
	if r.Tag == "" {
		return Entry{}, fmt.Errorf("put %s: a name in the store needs a tag", ref)
	}
	d, err := write()
	if err == nil {
		err = s.setEntry(r.String(), &d, ann)
	}
	if err != nil {
		return Entry{}, fmt.Errorf("put %s: %w", ref, s.Hint(err))
	}
	return Entry{Ref: r.String(), Descriptor: d, Annotations: maps.Clone(ann)}, nil
}

// Annotate replaces the annotations of an entry.
func (s *Store) Annotate(ref string, ann map[string]string) error {
	e, err := s.Entry(ref)
	if err != nil {
		return err
	}
	return s.setEntry(e.Ref, &e.Descriptor, ann)
}

// Remove takes a name out of the store. Its blobs stay.
func (s *Store) Remove(ref string) error {
	r, err := ParseRef(ref)
	if err != nil {
		return err
	}
	if err := s.setEntry(r.String(), nil, nil); err != nil {
		return fmt.Errorf("remove %s: %w", ref, err)
	}
	return nil
}

// setEntry puts d in the place of ref's entry, or takes the entry away.
func (s *Store) setEntry(ref string, d *v1.Descriptor, ann map[string]string) error {
	return s.locked(func() error {
		index, err := s.readIndex()
		if err != nil {
			return err
		}
		index.Manifests = slices.DeleteFunc(index.Manifests, func(m v1.Descriptor) bool {
			return m.Annotations[RefAnnotation] == ref
		})
		if d != nil {
			named := *d
			named.Annotations = map[string]string{RefAnnotation: ref}
			maps.Copy(named.Annotations, ann)
			index.Manifests = append(index.Manifests, named)
		}
		return s.writeIndex(index)
	})
}

func (s *Store) readIndex() (*v1.IndexManifest, error) {
	f, err := os.Open(s.path("index.json"))
	if err != nil {
		return nil, fmt.Errorf("read store: %w", err)
	}
	defer f.Close()
	index, err := v1.ParseIndexManifest(f)
	if err != nil {
		return nil, ui.WithHint(fmt.Errorf("read store: %s is damaged: %w", f.Name(), err),
			"remove that file and fill the store again: what was fetched from a registry and is whole is not fetched again")
	}
	return index, nil
}

func (s *Store) writeIndex(index *v1.IndexManifest) error {
	slices.SortFunc(index.Manifests, func(a, b v1.Descriptor) int {
		return strings.Compare(a.Annotations[RefAnnotation], b.Annotations[RefAnnotation])
	})
	raw, err := json.MarshalIndent(index, "", "  ")
	if err != nil {
		return err
	}
	return s.writeFile("index.json", raw)
}

// locked runs f while no other process changes index.json.
func (s *Store) locked(f func() error) error {
	lock := flock.New(s.path("index.lock"))
	if err := lock.Lock(); err != nil {
		return fmt.Errorf("lock store: %w", err)
	}
	defer lock.Unlock()
	return f()
}

// Hint says what to do about a full disk.
func (s *Store) Hint(err error) error {
	if errors.Is(err, syscall.ENOSPC) {
		return ui.WithHint(err, "free disk space where the store lies ("+s.dir+") and run it again: what is there stays")
	}
	return err
}

func (s *Store) path(elem ...string) string {
	return filepath.Join(append([]string{s.dir}, elem...)...)
}

func (s *Store) blobPath(h v1.Hash) string { return s.path("blobs", h.Algorithm, h.Hex) }

func (s *Store) blobBytes(h v1.Hash) ([]byte, error) {
	raw, err := layout.Path(s.dir).Bytes(h)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("blob %s is missing: %w", h, err)
	}
	return raw, err
}
