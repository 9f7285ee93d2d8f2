package supply

import (
	"bytes"
	"fmt"
	"io"
	"os"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// storedImage reads an image out of the store; go-containerregistry makes a
// v1.Image of it.
type storedImage struct {
	store *Store
	desc  v1.Descriptor
}

func (i *storedImage) MediaType() (types.MediaType, error) { return i.desc.MediaType, nil }

func (i *storedImage) RawManifest() ([]byte, error) { return i.store.blobBytes(i.desc.Digest) }

func (i *storedImage) RawConfigFile() ([]byte, error) {
	m, err := i.manifest()
	if err != nil {
		return nil, err
	}
	return i.store.blobBytes(m.Config.Digest)
}

func (i *storedImage) LayerByDigest(h v1.Hash) (partial.CompressedLayer, error) {
	m, err := i.manifest()
	if err != nil {
		return nil, err
	}
	for _, d := range append([]v1.Descriptor{m.Config}, m.Layers...) {
		if d.Digest == h {
			return &storedLayer{store: i.store, desc: d}, nil
		}
	}
	return nil, fmt.Errorf("%s has no layer %s", i.desc.Digest, h)
}

func (i *storedImage) manifest() (*v1.Manifest, error) {
	raw, err := i.RawManifest()
	if err != nil {
		return nil, err
	}
	return v1.ParseManifest(bytes.NewReader(raw))
}

type storedLayer struct {
	store *Store
	desc  v1.Descriptor
}

func (l *storedLayer) Digest() (v1.Hash, error)            { return l.desc.Digest, nil }
func (l *storedLayer) Size() (int64, error)                { return l.desc.Size, nil }
func (l *storedLayer) MediaType() (types.MediaType, error) { return l.desc.MediaType, nil }
func (l *storedLayer) Descriptor() (*v1.Descriptor, error) { return &l.desc, nil }
func (l *storedLayer) Compressed() (io.ReadCloser, error) {
	return os.Open(l.store.blobPath(l.desc.Digest))
}
