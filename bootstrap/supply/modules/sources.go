package modules

import (
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"

	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/druppie/druppie-up/bootstrap/component"
	"github.com/druppie/druppie-up/bootstrap/supply"
)

// Sources puts the upstream files of comps into the store, where they are
// missing. Other supplies use it too: upstream's manifests come out of the
// verified modules whoever makes the images.
func (b *Builder) Sources(ctx context.Context, s *supply.Store, comps []component.Component) error {
	for _, c := range comps {
		ref := c.SourcesRef()
		if ref == "" {
			continue
		}
		key, err := b.filesKey(c)
		if err != nil {
			return err
		}
		if stale, err := stale(s, ref, key); err != nil || !stale {
			if err != nil {
				return err
			}
			continue
		}
		if err := b.putSources(ctx, s, c); err != nil {
			return fmt.Errorf("%s: %w", c.Name, err)
		}
	}
	return nil
}

// putSources writes one component's upstream files as an artifact: paths are
// relative to the module, below the module's path where there are several.
func (b *Builder) putSources(ctx context.Context, s *supply.Store, c component.Component) error {
	tmps, err := b.dir("tmp")
	if err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(tmps, "files-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	many := 0
	for _, src := range c.Sources {
		if len(src.Files) > 0 {
			many++
		}
	}
	var entries []entry
	for _, src := range c.Sources {
		if len(src.Files) == 0 {
			continue
		}
		root, err := b.download(ctx, src)
		if err != nil {
			return err
		}
		prefix := ""
		if many > 1 {
			prefix = src.Module
		}
		for _, f := range src.Files {
			got, err := filesBelow(root, f, prefix)
			if err != nil {
				return fmt.Errorf("%s: %w", src.Module, err)
			}
			entries = append(entries, got...)
		}
	}
	l, err := writeLayer(tmp, entries, nil)
	if err != nil {
		return err
	}
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	if img, err = mutate.AppendLayers(img, l); err != nil {
		return err
	}
	key, err := b.filesKey(c)
	if err != nil {
		return err
	}
	_, err = s.PutImage(c.SourcesRef(), img, map[string]string{recipeAnnotation: key, supplyAnnotation: Name})
	return err
}

func filesBelow(root, name, prefix string) ([]entry, error) {
	var out []entry
	start := filepath.Join(root, filepath.FromSlash(name))
	err := filepath.WalkDir(start, func(p string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		out = append(out, entry{path: path.Join(prefix, filepath.ToSlash(rel)), file: p, mode: 0o644})
		return nil
	})
	if err == nil && len(out) == 0 {
		err = fmt.Errorf("nothing at %s", name)
	}
	return out, err
}
