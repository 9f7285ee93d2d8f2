package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/druppie/druppie-up/bootstrap/component"
	"github.com/druppie/druppie-up/bootstrap/supply/modules"
	"github.com/druppie/druppie-up/bootstrap/supply/registry"
	"github.com/druppie/druppie-up/bootstrap/supply/store"
)

// startFill fills the store in the background with what it lacks; the steps
// wait for the images that they need, so the cluster comes up while later ones
// are still on their way.
func (p *platform) startFill(ctx context.Context) (string, error) {
	p.fillFailed = context.Background()
	missing, err := p.store.Missing(images(p.components, p.builtInNode(), component.Stages()...))
	if err != nil {
		return "", err
	}
	if len(missing) == 0 {
		return "complete", nil
	}
	source, why, err := chooseSupply(ctx, p.opts, p.components)
	if err != nil {
		return "", err
	}
	p.source = source
	fillCtx, stop := context.WithCancelCause(ctx)
	failed, fail := context.WithCancelCause(context.Background())
	p.filling, p.stopFill, p.fillFailed = &errgroup.Group{}, stop, failed
	p.filling.Go(func() error {
		err := stock{opts: p.opts, components: p.components, store: p.store}.fill(fillCtx, source, p.rep)
		if err != nil {
			err = fmt.Errorf("supply %s: %w", source.Name(), err)
			fail(err)
		}
		return err
	})
	return fmt.Sprintf("%s to come from %s: %s", plural(len(missing), "image"), source.Name(), why), nil
}

// nodeComponent is the component that has the nodes' image, its first.
const nodeComponent = "node"

// nodeImage is the image of the cluster's nodes.
func nodeImage(comps []component.Component) string {
	for _, c := range comps {
		if c.Name == nodeComponent && len(c.Images) > 0 {
			return c.Images[0].Name
		}
	}
	return ""
}

// builtInNode says whether the nodes run upstream's image, which brings its own
// pod network, volumes and control-plane images; ours leaves them to the mirror.
func (p *platform) builtInNode() bool {
	upstream, err := upstreamNode(p.store, p.components)
	if errors.Is(err, store.ErrNotFound) {
		return p.source != nil && p.source.Name() == registry.Name
	}
	return err == nil && upstream
}

// upstreamNode looks at the node image itself, since a registry may hold one
// that was built from modules: then the modules stand in its labels.
func upstreamNode(images *store.Store, comps []component.Component) (bool, error) {
	img, err := images.Image(nodeImage(comps))
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
