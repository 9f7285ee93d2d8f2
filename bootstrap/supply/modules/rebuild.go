package modules

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	cdx "github.com/CycloneDX/cyclonedx-go"

	"github.com/druppie/druppie-up/bootstrap/component"
	"github.com/druppie/druppie-up/bootstrap/supply/sbom"
	"github.com/druppie/druppie-up/bootstrap/supply/store"
)

// Rebuilt is the outcome of building an image a second time.
type Rebuilt struct {
	Ref          string
	Stored, Made string // digests
	// Replaced are the Debian packages that the distribution has replaced since:
	// with any of them the bytes can't be the same.
	Replaced []string
}

// Rebuild builds an image of the store once more, in folders and a compiler
// cache of its own, and compares. The verified module downloads are shared:
// they are input, not result.
func (b *Builder) Rebuild(ctx context.Context, s *store.Store, comps []component.Component, ref string) (Rebuilt, error) {
	r := Rebuilt{Ref: ref}
	e, err := s.Entry(ref)
	if err != nil {
		return r, err
	}
	if !Built(e) {
		return r, fmt.Errorf("%s wasn't built here but came from a registry", ref)
	}
	r.Stored = e.Descriptor.Digest.String()
	dir, err := os.MkdirTemp(b.opt.CacheDir, "rebuild-")
	if err != nil {
		return r, err
	}
	defer os.RemoveAll(dir)
	opt := b.opt // with the module cache that it has
	opt.CacheDir = dir
	fresh := New(opt)
	fresh.addComponents(comps)
	for _, c := range comps {
		for _, img := range c.Images {
			if img.Name != ref {
				continue
			}
			p, err := fresh.image(ctx, c, img, nil)
			if err != nil {
				return r, err
			}
			h, err := p.image.Digest()
			if err != nil {
				return r, err
			}
			r.Made = h.String()
			r.Replaced, err = replaced(s, ref, p.debs)
			return r, err
		}
	}
	return r, fmt.Errorf("%s: no component has this image", ref)
}

// replaced compares the packages in a stored SBOM with those of today.
func replaced(s *store.Store, ref string, now []deb) ([]string, error) {
	if len(now) == 0 {
		return nil, nil
	}
	components, err := sbom.Read(s, ref)
	if err != nil {
		return nil, err
	}
	old := map[string]cdx.Component{}
	for _, c := range components {
		if strings.HasPrefix(c.PackageURL, "pkg:deb/") {
			old[c.Name] = c
		}
	}
	var changes []string
	for _, d := range now {
		was, ok := old[d.Name]
		delete(old, d.Name)
		otherArchive := was.Hashes != nil && len(*was.Hashes) == 1 && (*was.Hashes)[0].Value != d.SHA256
		if !ok || was.Version != d.Version || otherArchive {
			changes = append(changes, fmt.Sprintf("%s %s, was %q", d.Name, d.Version, was.Version))
		}
	}
	for name, was := range old {
		changes = append(changes, fmt.Sprintf("%s gone, was %q", name, was.Version))
	}
	slices.Sort(changes)
	return changes, nil
}
