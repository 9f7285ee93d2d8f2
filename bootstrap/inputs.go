package bootstrap

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/druppie/druppie-up/bootstrap/component"
	"github.com/druppie/druppie-up/bootstrap/supply"
	"github.com/druppie/druppie-up/bootstrap/supply/modules"
	"github.com/druppie/druppie-up/bootstrap/supply/registry"
	"github.com/druppie/druppie-up/bootstrap/supply/store"
	"github.com/druppie/druppie-up/manifests"
)

// inputs are what the platform is made from: complete options, what there is to
// make, and the store that holds it.
type inputs struct {
	opts       Options
	components []component.Component
	store      *store.Store
}

// openInputs reads the components and opens the store, which is made if it isn't there.
func openInputs(o Options) (inputs, error) {
	comps, err := loadComponents()
	if err != nil {
		return inputs{}, err
	}
	s, err := store.Open(o.StoreDir)
	return inputs{o, comps, s}, err
}

// loadComponents reads what images are made of.
func loadComponents() ([]component.Component, error) {
	comps, err := component.Load(manifests.FS)
	if err != nil {
		return nil, fmt.Errorf("read components: %w", err)
	}
	return comps, nil
}

// images names the images and upstream files of the given stages. What upstream's
// node image carries by itself is left out if the nodes run that.
func images(comps []component.Component, builtIn bool, stages ...string) []string {
	var refs []string
	for _, c := range comps {
		if !slices.Contains(stages, c.Stage) {
			continue
		}
		if ref := c.SourcesRef(); ref != "" {
			refs = append(refs, ref)
		}
		for _, img := range c.Images {
			if !builtIn || !img.Preloaded {
				refs = append(refs, img.Name)
			}
		}
	}
	return refs
}

// nodeComponent is the component that has the nodes' image, its first.
const nodeComponent = "node"

// nodeImage is the image of the cluster's nodes.
func (in inputs) nodeImage() string {
	for _, c := range in.components {
		if c.Name == nodeComponent && len(c.Images) > 0 {
			return c.Images[0].Name
		}
	}
	return ""
}

// builtInNode says whether the nodes run upstream's image, which brings its own
// volumes and control-plane images; ours leaves them to the mirror.
// While the store has none, it is what the source (nil: unknown) will bring.
func (in inputs) builtInNode(source supply.Supply) bool {
	upstream, err := in.upstreamNode()
	if errors.Is(err, store.ErrNotFound) {
		return source != nil && source.Name() == registry.Name
	}
	return err == nil && upstream
}

// upstreamNode looks at the node image itself, since a registry may hold one
// that was built from modules: then the modules stand in its labels.
func (in inputs) upstreamNode() (bool, error) {
	img, err := in.store.Image(in.nodeImage())
	if err != nil {
		return false, err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return false, fmt.Errorf("read the node image: %w", err)
	}
	for label := range config.Config.Labels {
		if strings.HasPrefix(label, modules.LabelPrefix) {
			return false, nil
		}
	}
	return true, nil
}
