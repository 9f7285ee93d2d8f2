package modules

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"github.com/druppie/druppie-up/bootstrap/component"
	"github.com/druppie/druppie-up/bootstrap/supply/gomod"
	"github.com/druppie/druppie-up/bootstrap/supply/layer"
	"github.com/druppie/druppie-up/bootstrap/supply/sbom"
	"github.com/druppie/druppie-up/bootstrap/supply/store"
)

// product is a finished image with its SBOM.
type product struct {
	image v1.Image
	sbom  v1.Image
	debs  []deb
	key   string
	tmp   string // folder of the layers, gone after put
}

func (p *product) put(s *store.Store, ref string) error {
	defer os.RemoveAll(p.tmp)
	ann := map[string]string{recipeAnnotation: p.key, store.Supplier: Name}
	// The SBOM first: an image that is there has one.
	if _, err := s.PutImage(sbom.Ref(ref), p.sbom, map[string]string{store.Supplier: Name}); err != nil {
		return err
	}
	_, err := s.PutImage(ref, p.image, ann)
	return err
}

// image builds one image from its recipe.
func (b *Builder) image(ctx context.Context, c component.Component, img component.Image, m *progress) (_ *product, err error) {
	key, err := b.imageKey(c, img)
	if err != nil {
		return nil, err
	}
	tmps, err := b.dir("tmp")
	if err != nil {
		return nil, err
	}
	tmp, err := os.MkdirTemp(tmps, "image-")
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(tmp))
		}
	}()
	a := &assembly{b: b, c: c, img: img, tmp: tmp, progress: m, modules: map[string]string{}}
	if err := a.collect(ctx); err != nil {
		return nil, err
	}
	defer m.work(c.Name, img.Name)()
	p := &product{key: key, tmp: tmp}
	if p.image, err = a.finish(); err != nil {
		return nil, err
	}
	if a.root != nil {
		p.debs = a.debs()
	}
	if p.sbom, err = a.sbom(); err != nil {
		return nil, err
	}
	return p, nil
}

// assembly is an image that is being built.
type assembly struct {
	b        *Builder
	c        component.Component
	img      component.Image
	tmp      string
	progress *progress

	root     *rootfs
	entries  []layer.Entry
	binaries []string // files on disk
	modules  map[string]string
	kept     map[string]bool // paths taken from root
}

// collect makes everything that goes into the image.
func (a *assembly) collect(ctx context.Context) error {
	if a.img.Debian != nil {
		r, err := a.b.rootfs(ctx, *a.img.Debian, a.progress)
		if err != nil {
			return err
		}
		a.root = r
	}
	for _, f := range a.img.Files {
		got, err := a.content(ctx, f)
		if err != nil {
			return fmt.Errorf("%s: %w", f.To, err)
		}
		a.entries = append(a.entries, got...)
	}
	return nil
}

// content turns one line of the recipe into entries.
func (a *assembly) content(ctx context.Context, f component.Content) ([]layer.Entry, error) {
	mode := int64(0o644)
	if f.Binary != "" || f.Dir {
		mode = 0o755
	}
	if f.Mode != "" {
		var err error
		if mode, err = strconv.ParseInt(f.Mode, 8, 32); err != nil {
			return nil, err
		}
	}
	e := layer.Entry{Path: strings.TrimPrefix(f.To, "/"), Mode: mode, UID: f.UID, GID: f.GID}
	switch {
	case f.Binary != "":
		file, err := a.binary(ctx, f.Binary)
		if err != nil {
			return nil, err
		}
		a.binaries = append(a.binaries, file)
		e.File = file
	case f.From != "":
		return a.tree(ctx, f, e)
	case f.Link != "":
		e.Link = f.Link
	case f.Dir:
		e.Dir = true
	case f.Generate != "":
		return a.generate(ctx, f, e)
	default:
		e.Data = []byte(f.Text)
	}
	return []layer.Entry{e}, nil
}

func (a *assembly) binary(ctx context.Context, ref string) (string, error) {
	owner, src, bin, err := a.b.binary(a.c, ref)
	if err != nil {
		return "", err
	}
	dir, err := a.b.binaries(ctx, owner, src, a.progress)
	if err != nil {
		return "", err
	}
	a.modules[owner.Name] = src.Module + "@" + src.Version
	return filepath.Join(dir, bin.Name), nil
}

// tree takes a file or a folder of a source; "out:" paths are what the
// source's build made beside its binaries.
func (a *assembly) tree(ctx context.Context, f component.Content, e layer.Entry) ([]layer.Entry, error) {
	src, _ := a.c.Source(f.Source)
	var (
		root string
		err  error
	)
	from, built := strings.CutPrefix(f.From, builtPrefix)
	if built {
		root, err = a.b.binaries(ctx, a.c, src, a.progress)
	} else {
		var mod gomod.Module
		mod, err = a.b.opt.Go.Download(ctx, src.Module, src.Version)
		root = mod.Dir
	}
	if err != nil {
		return nil, err
	}
	a.modules[src.Name] = src.Module + "@" + src.Version
	start := filepath.Join(root, filepath.FromSlash(from))
	var out []layer.Entry
	err = filepath.WalkDir(start, func(p string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(start, p)
		if err != nil {
			return err
		}
		one := e
		one.File = p
		if rel != "." {
			one.Path = path.Join(e.Path, filepath.ToSlash(rel))
		}
		out = append(out, one)
		return nil
	})
	if err == nil && len(out) == 0 {
		err = fmt.Errorf("nothing at %s", f.From)
	}
	return out, err
}

// finish writes the layers and the configuration.
func (a *assembly) finish() (v1.Image, error) {
	img, err := layer.Image()
	if err != nil {
		return nil, err
	}
	if a.root != nil {
		l, have, err := rootLayer(a.tmp, a.root, *a.img.Debian)
		if err != nil {
			return nil, err
		}
		a.kept = have
		if len(have) > 0 {
			if img, err = mutate.AppendLayers(img, l); err != nil {
				return nil, err
			}
		}
	}
	if len(a.entries) > 0 {
		l, err := layer.Write(a.tmp, a.entries, a.kept)
		if err != nil {
			return nil, err
		}
		if img, err = mutate.AppendLayers(img, l); err != nil {
			return nil, err
		}
	}
	old, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	cfg := old.DeepCopy()
	cfg.Architecture, cfg.OS, cfg.Created = arch, "linux", v1.Time{Time: layer.Epoch}
	for i := range cfg.History {
		cfg.History[i] = v1.History{Created: v1.Time{Time: layer.Epoch}, CreatedBy: "druppie-up"}
	}
	cfg.Config = a.config()
	return mutate.ConfigFile(img, cfg)
}

func (a *assembly) config() v1.Config {
	in := a.img.Config
	labels := map[string]string{
		"org.opencontainers.image.title":    a.c.Title,
		"org.opencontainers.image.version":  a.c.Version,
		"org.opencontainers.image.licenses": a.c.Licence,
	}
	maps.Copy(labels, in.Labels)
	for name, mod := range a.modules {
		labels[LabelPrefix+name] = mod
	}
	if a.root != nil {
		labels["io.druppie.debian"] = suite
		// The list itself is in the SBOM.
		if h, err := hash(a.debs()); err == nil {
			labels["io.druppie.debian.packages"] = "sha256:" + h
		}
	}
	return v1.Config{User: in.User, WorkingDir: in.WorkingDir, Entrypoint: in.Entrypoint, Cmd: in.Cmd,
		Env: in.Env, StopSignal: in.StopSignal, Labels: labels, Volumes: set(in.Volumes), ExposedPorts: set(in.Ports)}
}

// set has each of the names; nil where there are none, as in images of upstream.
func set(names []string) map[string]struct{} {
	var out map[string]struct{}
	for _, name := range names {
		if out == nil {
			out = map[string]struct{}{}
		}
		out[name] = struct{}{}
	}
	return out
}

// debs are the packages of which the image has a file.
func (a *assembly) debs() []deb {
	if len(a.img.Debian.Keep) == 0 {
		return a.root.debs
	}
	owners, err := ownersOf(a.root.tar, a.kept)
	if err != nil {
		return a.root.debs // too many rather than too few
	}
	return slices.DeleteFunc(slices.Clone(a.root.debs), func(d deb) bool { return !owners[d.Name] })
}
