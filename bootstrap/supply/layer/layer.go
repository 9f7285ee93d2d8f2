// Package layer writes the layers of the images and artifacts that are made here. Their bytes depend on nothing
// but what goes into them: not on when, where or by whom they are written. It refuses devices and hard links,
// which only root file systems have; those come in through Writer.
package layer

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Epoch is the time in every file and image that is made here.
var Epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// Entry is one file, folder or symbolic link.
type Entry struct {
	Path     string // without leading slash
	Mode     int64
	UID, GID int
	Dir      bool
	Link     string
	Data     []byte
	File     string // a file on disk, instead of Data
}

// Image is an image of OCI's own media types that has these layers and nothing else.
func Image(layers ...v1.Layer) (v1.Image, error) {
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	return mutate.AppendLayers(img, layers...)
}

// Plain is a layer in memory of the entries as they come, uncompressed: it travels over this machine's own
// bridge, and compressing costs more than it saves there.
func Plain(entries []Entry) (v1.Layer, error) {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, e := range entries {
		if err := e.write(w); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return static.NewLayer(buf.Bytes(), types.OCIUncompressedLayer), nil
}

// Write makes a compressed layer in a file in dir: of entries, sorted, with the folders above them that have
// doesn't name. Of two entries with one path the later wins.
func Write(dir string, entries []Entry, have map[string]bool) (v1.Layer, error) {
	byPath := map[string]Entry{}
	for _, e := range entries {
		byPath[e.Path] = e
		for p := path.Dir(e.Path); p != "."; p = path.Dir(p) {
			if _, there := have[p]; there {
				continue
			}
			if _, ok := byPath[p]; !ok {
				byPath[p] = Entry{Path: p, Dir: true, Mode: 0o755}
			}
		}
	}
	all := make([]Entry, 0, len(byPath))
	for _, e := range byPath {
		all = append(all, e)
	}
	slices.SortFunc(all, func(a, b Entry) int { return strings.Compare(a.Path, b.Path) })
	w, err := NewWriter(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range all {
		if err := e.write(w.Writer); err != nil {
			w.Abort()
			return nil, err
		}
	}
	return w.Layer()
}

// Writer writes a compressed layer into a file.
type Writer struct {
	*tar.Writer
	file *os.File
	gz   *gzip.Writer
}

// NewWriter begins a layer in a file in dir. Layer or Abort ends it.
func NewWriter(dir string) (*Writer, error) {
	f, err := os.CreateTemp(dir, "layer-*.tar.gz")
	if err != nil {
		return nil, err
	}
	// Speed over size: layers travel over a bridge on the same machine.
	gz, err := gzip.NewWriterLevel(f, gzip.BestSpeed)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &Writer{Writer: tar.NewWriter(gz), file: f, gz: gz}, nil
}

// Layer is what was written; it reads the file.
func (w *Writer) Layer() (v1.Layer, error) {
	if err := errors.Join(w.Writer.Close(), w.gz.Close(), w.file.Close()); err != nil {
		return nil, err
	}
	return tarball.LayerFromFile(w.file.Name(), tarball.WithMediaType(types.OCILayer))
}

// Abort removes what was written.
func (w *Writer) Abort() { _ = errors.Join(w.file.Close(), os.Remove(w.file.Name())) }

func (e Entry) write(w *tar.Writer) error {
	h := &tar.Header{Typeflag: tar.TypeReg, Name: e.Path, Mode: e.Mode, Uid: e.UID, Gid: e.GID, ModTime: Epoch, Format: tar.FormatPAX}
	content := io.Reader(bytes.NewReader(e.Data))
	switch {
	case e.Dir:
		h.Typeflag, h.Name = tar.TypeDir, e.Path+"/"
	case e.Link != "":
		h.Typeflag, h.Linkname, h.Mode = tar.TypeSymlink, e.Link, 0o777
	case e.File != "":
		f, err := os.Open(e.File)
		if err != nil {
			return err
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			return err
		}
		h.Size, content = info.Size(), f
	default:
		h.Size = int64(len(e.Data))
	}
	if err := w.WriteHeader(h); err != nil || e.Dir || e.Link != "" {
		return err
	}
	_, err := io.Copy(w, content)
	return err
}
