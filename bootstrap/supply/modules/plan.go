package modules

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/druppie/druppie-up/bootstrap/component"
	"github.com/druppie/druppie-up/bootstrap/supply/store"
)

// format changes when the builder makes other bytes of the same recipe.
const format = "1"

// LabelPrefix begins the labels that name the modules in an image built here.
const LabelPrefix = "io.druppie.module."

// recipeAnnotation notes in a store entry what it was built from.
const recipeAnnotation = "io.druppie.recipe"

// plan holds the refs that have to be built, and the builds they need.
type plan struct {
	refs map[string]bool
	work []unit
}

// unit is one build, weighed by what it took on the reference machine.
type unit struct {
	component, source string
	seconds           int
}

// plan compares recipes with what the store holds.
func (b *Builder) plan(s *store.Store, comps []component.Component) (plan, error) {
	p := plan{refs: map[string]bool{}}
	add := func(u unit) {
		if !slices.Contains(p.work, u) {
			p.work = append(p.work, u)
		}
	}
	for _, c := range comps {
		for _, img := range c.Images {
			missing, outdated, err := b.compare(s, c, img)
			if err != nil {
				return p, err
			}
			if !missing && !outdated {
				continue
			}
			p.refs[img.Name] = true
			for _, f := range img.Files {
				if f.Binary == "" {
					continue
				}
				owner, src, _, err := b.binary(c, f.Binary)
				if err != nil {
					return p, err
				}
				add(unit{owner.Name, src.Name, src.Build.Seconds})
				if src.Build.Web != nil {
					add(unit{owner.Name, src.Name + " web", src.Build.Web.Seconds})
				}
			}
			if img.Debian != nil {
				add(unit{"debian", strings.Join(img.Debian.Packages, ","), debianSeconds})
			}
			add(unit{c.Name, img.Name, 3})
		}
	}
	return p, nil
}

// compare says whether the store lacks an image, or has one that was made here
// from another recipe. What another supply brought is as good.
func (b *Builder) compare(s *store.Store, c component.Component, img component.Image) (missing, outdated bool, err error) {
	key, err := b.imageKey(c, img)
	if err != nil {
		return false, false, fmt.Errorf("%s: %w", img.Name, err)
	}
	e, err := s.Entry(img.Name)
	if errors.Is(err, store.ErrNotFound) {
		return true, false, nil
	}
	return false, Built(e) && e.Annotations[recipeAnnotation] != key, err
}

// binary finds a binary by name, or by component/name.
func (b *Builder) binary(c component.Component, ref string) (component.Component, component.Source, component.Binary, error) {
	if owner, name, ok := strings.Cut(ref, "/"); ok {
		other, known := b.comps[owner]
		if !known {
			return c, component.Source{}, component.Binary{}, fmt.Errorf("component %q of binary %q is not among those to build", owner, ref)
		}
		c, ref = other, name
	}
	bin, ok := c.Binary(ref)
	if !ok {
		return c, component.Source{}, component.Binary{}, fmt.Errorf("no binary %q in %s", ref, c.Name)
	}
	src, _ := c.Source(bin.Source)
	return c, src, bin, nil
}

// binariesOf are the component's binaries that are built from one of its sources.
func binariesOf(c component.Component, s component.Source) []component.Binary {
	var bins []component.Binary
	for _, bin := range c.Binaries {
		if own, _ := c.Source(bin.Source); own.Name == s.Name {
			bins = append(bins, bin)
		}
	}
	return bins
}

// sourceKey is a hash of everything that goes into a source's binaries.
func (b *Builder) sourceKey(c component.Component, s component.Source) (string, error) {
	bins := binariesOf(c, s)
	// What only weighs or lists doesn't change the bytes.
	s.Build.Seconds, s.Files = 0, nil
	if s.Build.Web != nil {
		w := *s.Build.Web
		w.Seconds, s.Build.Web = 0, &w
	}
	return hash(format, b.opt.Go.Toolchain, arch, s, bins)
}

func (b *Builder) imageKey(c component.Component, img component.Image) (string, error) {
	parts := []any{format, arch, img, c.Version, c.Licence, c.Title}
	for _, f := range img.Files {
		switch {
		case f.Binary != "":
			owner, src, _, err := b.binary(c, f.Binary)
			if err != nil {
				return "", err
			}
			key, err := b.sourceKey(owner, src)
			if err != nil {
				return "", err
			}
			parts = append(parts, key)
		case f.From != "":
			src, _ := c.Source(f.Source)
			parts = append(parts, src.Module, src.Version)
		}
	}
	return hash(parts...)
}

func hash(parts ...any) (string, error) {
	h := sha256.New()
	if err := json.NewEncoder(h).Encode(parts); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
