// Package sources puts upstream's own files, such as manifests and charts, into the store: out of Go modules that
// the checksum database vouches for, since no registry has them. It refuses links, and files that a component
// doesn't name.
package sources

import (
	"archive/zip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/druppie/druppie-up/bootstrap/component"
	"github.com/druppie/druppie-up/bootstrap/supply/gomod"
	"github.com/druppie/druppie-up/bootstrap/supply/layer"
	"github.com/druppie/druppie-up/bootstrap/supply/store"
)

// format changes when the same sources are packed in another way.
const format = "2"

// Pack puts the components' upstream files into the store, unless they are
// there. Paths begin with the module's path.
func Pack(ctx context.Context, s *store.Store, golang gomod.Go, comps []component.Component) error {
	for _, c := range comps {
		if err := pack(ctx, s, golang, c); err != nil {
			return fmt.Errorf("upstream files of %s: %w", c.Name, err)
		}
	}
	return nil
}

func pack(ctx context.Context, s *store.Store, golang gomod.Go, c component.Component) error {
	ref := c.SourcesRef()
	if ref == "" {
		return nil
	}
	sources := slices.DeleteFunc(slices.Clone(c.Sources), func(src component.Source) bool { return len(src.Files) == 0 })
	key := inputKey(sources)
	switch e, err := s.Entry(ref); {
	case err == nil:
		// An entry without the note is another supply's, which knows its own freshness.
		if noted := e.Annotations[store.Input]; noted == "" || noted == key {
			return nil
		}
	case !errors.Is(err, store.ErrNotFound):
		return err
	}
	files := map[string][]byte{}
	for _, src := range sources {
		mod, err := golang.Download(ctx, src.Module, src.Version)
		if err != nil {
			return err
		}
		if err := moduleFiles(mod.Zip, src, files); err != nil {
			return err
		}
	}
	img, err := artifact(files)
	if err != nil {
		return err
	}
	_, err = s.PutImage(ref, img, map[string]string{store.Input: key})
	return err
}

// inputKey stands for what the sources yield.
func inputKey(sources []component.Source) string {
	h := sha256.New()
	fmt.Fprintln(h, format)
	for _, src := range sources {
		fmt.Fprintf(h, "%s@%s %q\n", src.Module, src.Version, src.Files)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// moduleFiles reads the wanted files, or all files of wanted folders, from a
// module's archive. One that isn't there is an error.
func moduleFiles(zipFile string, src component.Source, files map[string][]byte) error {
	z, err := zip.OpenReader(zipFile)
	if err != nil {
		return err
	}
	defer z.Close()
	root := src.Module + "@" + src.Version
	for _, want := range src.Files {
		err := fs.WalkDir(z, path.Join(root, want), func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			files[src.Module+strings.TrimPrefix(name, root)], err = fs.ReadFile(z, name)
			return err
		})
		if err != nil {
			return fmt.Errorf("%s of %s: %w", want, root, err)
		}
	}
	return nil
}

// artifact makes an image of one layer that holds files.
func artifact(files map[string][]byte) (v1.Image, error) {
	var entries []layer.Entry
	for _, name := range slices.Sorted(maps.Keys(files)) {
		entries = append(entries, layer.Entry{Path: name, Mode: 0o644, Data: files[name]})
	}
	l, err := layer.Plain(entries)
	if err != nil {
		return nil, err
	}
	return layer.Image(l)
}
