package modules

import (
	"context"
	"fmt"
	"os"

	"github.com/druppie/druppie-up/bootstrap/component"
	"github.com/druppie/druppie-up/bootstrap/supply"
)

// Rebuilt is the outcome of building an image a second time.
type Rebuilt struct {
	Ref          string
	Stored, Made string // digests
}

// Same says whether both builds made the same bytes.
func (r Rebuilt) Same() bool { return r.Stored == r.Made }

// Rebuild builds an image of the store once more, in folders and a compiler
// cache of its own, and compares. The verified module downloads are shared:
// they are input, not result.
func (b *Builder) Rebuild(ctx context.Context, s *supply.Store, comps []component.Component, ref string) (Rebuilt, error) {
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
	opt := b.opt
	opt.CacheDir, opt.ModCache = dir, b.modCache()
	fresh := New(opt)
	fresh.know(comps)
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
			return r, nil
		}
	}
	return r, fmt.Errorf("%s: no component has this image", ref)
}
