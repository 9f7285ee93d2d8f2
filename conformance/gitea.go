package conformance

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/druppie/druppie-up/internal/giteaclient"
)

// giteaSettings are settings in Gitea that a mutation changes.
type giteaSettings struct {
	GiteaChange
	client *giteaclient.Client
}

func (g giteaSettings) read(ctx context.Context) (map[string]any, error) {
	_, state, err := g.find(ctx)
	return state, err
}

// find gives the settings and their path, which for one of a list ends in its id.
func (g giteaSettings) find(ctx context.Context) (path string, state map[string]any, err error) {
	if g.Where == nil {
		if err := g.client.Call(ctx, http.MethodGet, g.Path, nil, &state); err != nil {
			return "", nil, fmt.Errorf("read %s: %w", g.Path, err)
		}
		return g.Path, state, nil
	}
	var list []map[string]any
	if err := g.client.Call(ctx, http.MethodGet, g.Path, nil, &list); err != nil {
		return "", nil, fmt.Errorf("read %s: %w", g.Path, err)
	}
	i := slices.IndexFunc(list, func(item map[string]any) bool {
		for field, want := range g.Where {
			if got, _, _ := unstructured.NestedString(item, strings.Split(field, ".")...); got != want {
				return false
			}
		}
		return true
	})
	if i < 0 {
		return "", nil, fmt.Errorf("%s has none where %v", g.Path, g.Where)
	}
	id, _ := list[i]["id"].(float64) // JSON knows no whole numbers
	return fmt.Sprintf("%s/%.0f", g.Path, id), list[i], nil
}

func (g giteaSettings) change(ctx context.Context) error { return g.set(ctx, g.Set) }

func (g giteaSettings) set(ctx context.Context, values map[string]any) error {
	path, _, err := g.find(ctx)
	if err != nil {
		return err
	}
	return g.client.Call(ctx, http.MethodPatch, path, values, nil)
}

func (g giteaSettings) restore(ctx context.Context, was map[string]any) error {
	back := maps.Clone(g.Set)
	for name := range back {
		back[name] = was[name]
	}
	return g.set(ctx, back)
}

func (g giteaSettings) settings(state map[string]any) map[string]any {
	state = maps.Clone(state)
	delete(state, "updated_at")
	return state
}
