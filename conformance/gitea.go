package conformance

import (
	"context"
	"fmt"
	"maps"
	"net/http"

	"github.com/druppie/druppie-up/internal/giteaclient"
)

// giteaSettings are settings in Gitea that a mutation changes.
type giteaSettings struct {
	GiteaChange
	client *giteaclient.Client
}

func (g giteaSettings) read(ctx context.Context) (map[string]any, error) {
	var state map[string]any
	if err := g.client.Call(ctx, http.MethodGet, g.Path, nil, &state); err != nil {
		return nil, fmt.Errorf("read %s: %w", g.Path, err)
	}
	return state, nil
}

func (g giteaSettings) change(ctx context.Context) error {
	return g.client.Call(ctx, http.MethodPatch, g.Path, g.Set, nil)
}

func (g giteaSettings) restore(ctx context.Context, was map[string]any) error {
	back := maps.Clone(g.Set)
	for name := range back {
		back[name] = was[name]
	}
	return g.client.Call(ctx, http.MethodPatch, g.Path, back, nil)
}

func (g giteaSettings) settings(state map[string]any) map[string]any {
	state = maps.Clone(state)
	delete(state, "updated_at")
	return state
}
