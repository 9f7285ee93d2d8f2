package store

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"testing/fstest"

	"github.com/google/go-containerregistry/pkg/v1/mutate"
)

// Files returns the files of an artifact: what its layers hold, without links
// and devices, the upper layer's file winning.
func (s *Store) Files(ref string) (fs.FS, error) {
	img, err := s.Image(ref)
	if err != nil {
		return nil, err
	}
	r := mutate.Extract(img)
	defer r.Close()
	files, err := readTar(r)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", ref, err)
	}
	return files, nil
}

func readTar(r io.Reader) (fstest.MapFS, error) {
	files := fstest.MapFS{}
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil {
			return nil, err
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		name := path.Clean(h.Name)
		if !fs.ValidPath(name) {
			return nil, fmt.Errorf("the archive has a file outside of its root: %q", h.Name)
		}
		data, err := io.ReadAll(tr)
		if err != nil {
			return nil, err
		}
		files[name] = &fstest.MapFile{Data: data}
	}
}
