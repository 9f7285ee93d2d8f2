package modules

import (
	"archive/tar"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	stdhash "hash"
	"io"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// epoch is the time in every file and image we make: bytes must not depend on
// when they were built.
var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// entry is one file, folder or link to be put into a layer.
type entry struct {
	path     string // without leading slash
	mode     int64
	uid, gid int
	dir      bool
	link     string
	data     []byte
	file     string // a file on disk, instead of data
}

// fileLayer is a layer in a file, written and hashed in one pass.
type fileLayer struct {
	file           string
	digest, diffID v1.Hash
	size           int64
}

func (l *fileLayer) Digest() (v1.Hash, error)             { return l.digest, nil }
func (l *fileLayer) DiffID() (v1.Hash, error)             { return l.diffID, nil }
func (l *fileLayer) Size() (int64, error)                 { return l.size, nil }
func (l *fileLayer) MediaType() (types.MediaType, error)  { return types.OCILayer, nil }
func (l *fileLayer) Compressed() (io.ReadCloser, error)   { return os.Open(l.file) }
func (l *fileLayer) Uncompressed() (io.ReadCloser, error) { return uncompressed(l.file) }

func uncompressed(file string) (io.ReadCloser, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return struct {
		io.Reader
		io.Closer
	}{z, f}, nil
}

// layerWriter writes a compressed tar and hashes both of its forms.
type layerWriter struct {
	*tar.Writer
	file       *os.File
	gz         *gzip.Writer
	plain, zip stdhash.Hash
}

func newLayerWriter(dir string) (*layerWriter, error) {
	f, err := os.CreateTemp(dir, "layer-*.tar.gz")
	if err != nil {
		return nil, err
	}
	w := &layerWriter{file: f, plain: sha256.New(), zip: sha256.New()}
	// Speed over size: layers travel over a bridge on the same machine.
	w.gz, err = gzip.NewWriterLevel(io.MultiWriter(f, w.zip), gzip.BestSpeed)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	w.Writer = tar.NewWriter(io.MultiWriter(w.gz, w.plain))
	return w, nil
}

func (w *layerWriter) finish() (*fileLayer, error) {
	if err := errors.Join(w.Writer.Close(), w.gz.Close()); err != nil {
		return nil, errors.Join(err, w.file.Close())
	}
	size, err := w.file.Seek(0, io.SeekEnd)
	if err = errors.Join(err, w.file.Close()); err != nil {
		return nil, err
	}
	return &fileLayer{file: w.file.Name(), size: size,
		digest: v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(w.zip.Sum(nil))},
		diffID: v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(w.plain.Sum(nil))},
	}, nil
}

func (w *layerWriter) abort() { _ = errors.Join(w.file.Close(), os.Remove(w.file.Name())) }

// writeLayer writes entries, sorted, with the folders above them that have
// doesn't name. Of two entries with one path the later wins.
func writeLayer(dir string, entries []entry, have map[string]bool) (*fileLayer, error) {
	byPath := map[string]entry{}
	for _, e := range entries {
		byPath[e.path] = e
		for p := path.Dir(e.path); p != "."; p = path.Dir(p) {
			if _, there := have[p]; there {
				continue
			}
			if _, ok := byPath[p]; !ok {
				byPath[p] = entry{path: p, dir: true, mode: 0o755}
			}
		}
	}
	all := make([]entry, 0, len(byPath))
	for _, e := range byPath {
		all = append(all, e)
	}
	slices.SortFunc(all, func(a, b entry) int { return strings.Compare(a.path, b.path) })
	w, err := newLayerWriter(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range all {
		if err := e.write(w.Writer); err != nil {
			w.abort()
			return nil, err
		}
	}
	return w.finish()
}

func (e entry) write(w *tar.Writer) error {
	h := &tar.Header{Name: e.path, Mode: e.mode, Uid: e.uid, Gid: e.gid, ModTime: epoch, Format: tar.FormatPAX}
	switch {
	case e.dir:
		h.Typeflag, h.Name = tar.TypeDir, e.path+"/"
		return w.WriteHeader(h)
	case e.link != "":
		h.Typeflag, h.Linkname, h.Mode = tar.TypeSymlink, e.link, 0o777
		return w.WriteHeader(h)
	case e.file != "":
		f, err := os.Open(e.file)
		if err != nil {
			return err
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			return err
		}
		h.Typeflag, h.Size = tar.TypeReg, info.Size()
		if err := w.WriteHeader(h); err != nil {
			return err
		}
		_, err = io.Copy(w, f)
		return err
	default:
		h.Typeflag, h.Size = tar.TypeReg, int64(len(e.data))
		if err := w.WriteHeader(h); err != nil {
			return err
		}
		_, err := w.Write(e.data)
		return err
	}
}
