package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/druppie/druppie-up/bootstrap/component"
	"github.com/druppie/druppie-up/bootstrap/gitops"
	"github.com/druppie/druppie-up/bootstrap/kube"
	"github.com/druppie/druppie-up/bootstrap/supply"
	"github.com/druppie/druppie-up/bootstrap/supply/store"
	"github.com/druppie/druppie-up/internal/names"
	"github.com/druppie/druppie-up/internal/ui"
	"github.com/druppie/druppie-up/manifests"
)

// platform is one run of `up`: what its steps hand to each other.
type platform struct {
	opts Options
	rep  ui.Reporter

	components []component.Component
	store      *store.Store
	source     supply.Supply // nil when the store needed nothing
	filling    *errgroup.Group
	stopFill   context.CancelCauseFunc
	fillFailed context.Context // done when the fill has failed, with its error as cause

	kube     *kube.Client
	endpoint gitops.Endpoint
	vars     map[string]string
	revision string
}

// loadComponents reads what the platform is made of.
func loadComponents() ([]component.Component, error) {
	comps, err := component.Load(manifests.FS)
	if err != nil {
		return nil, fmt.Errorf("read components: %w", err)
	}
	return comps, nil
}

// images names the images and upstream files of the given stages.
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
			if builtIn && img.Preloaded {
				continue // upstream's node image carries it
			}
			refs = append(refs, img.Name)
		}
	}
	return refs
}

// await waits until the store has what the stages need, and ends at once with
// the supply's own error if filling fails.
func (p *platform) await(ctx context.Context, task ui.Task, stages ...string) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(p.fillFailed, func() { cancel(context.Cause(p.fillFailed)) })
	defer stop()
	wait := func(refs []string) error {
		err := supply.Wait(ctx, p.store, refs, func(missing []string) {
			task.Detail("waits for %s from %s", firstOf(missing), p.supplyName())
		})
		if err != nil {
			return fmt.Errorf("images of stage %s: %w", strings.Join(stages, ", "), err)
		}
		return nil
	}
	// What the node image carries can't be told before it is there.
	if err := wait([]string{nodeImage(p.components)}); err != nil {
		return err
	}
	return wait(images(p.components, p.builtInNode(), stages...))
}

// close ends a fill that goes on in the background.
func (p *platform) close() {
	if p.filling == nil {
		return
	}
	p.stopFill(errors.New("the command ended"))
	_ = p.filling.Wait() // its error has been reported, or nobody needs it any more
}

func (p *platform) supplyName() string {
	if p.source == nil {
		return "local"
	}
	return p.source.Name()
}

func (p *platform) renderer() *renderer {
	return &renderer{
		store: p.store, components: p.components, vars: p.vars, values: siteValues(p.opts), unpinned: map[string]bool{},
	}
}

func (p *platform) summary(took time.Duration) Summary {
	return Summary{
		Name:       p.opts.Name,
		Kubeconfig: p.opts.Kubeconfig(),
		URLs:       urls(p.opts.Port),
		Revision:   p.revision,
		Supply:     p.supplyName(),
		Took:       took,
	}
}

// urls are the pages behind the front door.
func urls(port int) []URL {
	at := func(host string) string { return fmt.Sprintf("https://%s.%s:%d/", host, names.Domain, port) }
	return []URL{
		{Title: "Start page", Address: fmt.Sprintf("https://%s:%d/", names.Domain, port)},
		{Title: "Gitea", Address: at("gitea")},
		{Title: "Registry", Address: at("registry") + "v2/_catalog"},
		{Title: "Trace", Address: at("trace")},
	}
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// firstOf shows one of many, since a line has no room for all.
func firstOf(names []string) string {
	switch len(names) {
	case 0:
		return "nothing"
	case 1:
		return names[0]
	}
	return fmt.Sprintf("%s (and %d more)", names[0], len(names)-1)
}
