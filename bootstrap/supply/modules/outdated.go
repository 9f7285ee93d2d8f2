package modules

import (
	"github.com/druppie/druppie-up/bootstrap/component"
	"github.com/druppie/druppie-up/bootstrap/supply/store"
)

// Built says whether an entry of the store was built here, and not pulled.
func Built(e store.Entry) bool { return e.Annotations[store.Supplier] == Name }

// Outdated lists the images of the store that were built from another recipe
// than the components have now: the next Fill makes them again. It reads names
// only, and touches nothing.
func (b *Builder) Outdated(s *store.Store, comps []component.Component) ([]string, error) {
	b.addComponents(comps)
	var refs []string
	for _, c := range comps {
		for _, img := range c.Images {
			_, outdated, err := b.compare(s, c, img)
			if err != nil {
				return nil, err
			}
			if outdated {
				refs = append(refs, img.Name)
			}
		}
	}
	return refs, nil
}
