package store

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
)

// Files returns the files of an artifact: what its layers hold, without links
// and devices, the upper layer's file winning.
func (s *Store) Files(ref string) (_ fs.FS, err error) {
	img, err := s.Image(ref)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("%s: %w", ref, err)
		}
	}()
	layers, err := img.Layers()
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	for _, l := range layers {
		r, err := l.Uncompressed()
		if err != nil {
			return nil, err
		}
		err = readTar(r, files)
		r.Close()
		if err != nil {
			return nil, err
		}
	}
	return memory(files)
}

func readTar(r io.Reader, files map[string][]byte) error {
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		name := path.Clean(h.Name)
		if !fs.ValidPath(name) {
			return fmt.Errorf("the archive has a file outside of its root: %q", h.Name)
		}
		if files[name], err = io.ReadAll(tr); err != nil {
			return err
		}
	}
}

// memory makes a file system of files in memory. The standard library's zip
// reader is one, folders included, so the files go into an archive.
func memory(files map[string][]byte) (fs.FS, error) {
	var buf bytes.Buffer
	w := zip.NewWriter(&buf)
	for name, data := range files {
		f, err := w.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store})
		if err != nil {
			return nil, err
		}
		if _, err := f.Write(data); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return zip.NewReader(bytes.NewReader(buf.Bytes()), int64(buf.Len()))
}
