package registry

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/druppie/druppie-up/bootstrap/component"
	"github.com/druppie/druppie-up/bootstrap/supply/store"
)

// Locked is what Lock found out about one image.
type Locked struct {
	Ref    string `json:"ref"`              // name and tag
	Pinned string `json:"pinned,omitempty"` // the digest that component.yaml has
	Found  string `json:"found,omitempty"`  // the digest that the tag stands for now
	Error  string `json:"error,omitempty"`  // why that couldn't be found out
}

// lockBudget bounds the attempts for one image: whoever asks sits and waits.
const lockBudget = 30 * time.Second

// Lock asks the registries which digest each image's tag stands for now, pinned
// or not. A failure is noted with its image and doesn't end the others.
func (r *Registry) Lock(ctx context.Context, comps []component.Component) []Locked {
	all := *r
	all.opt.Preloaded, all.opt.Unpinned = true, false
	list := all.pulls(comps)
	locked := make([]Locked, len(list))
	var g errgroup.Group
	g.SetLimit(4)
	for i, w := range list {
		g.Go(func() error {
			locked[i] = Locked{Ref: w.ref.Tagged(), Pinned: w.ref.Digest}
			err := w.err
			if err == nil {
				locked[i].Found, err = all.tagDigest(ctx, w.ref)
			}
			if err != nil {
				locked[i].Error = err.Error()
			}
			return nil
		})
	}
	_ = g.Wait()
	return locked
}

func (r *Registry) tagDigest(ctx context.Context, ref store.Ref) (string, error) {
	repo, err := r.source(ref.Name)
	if err != nil {
		return "", err
	}
	var digest string
	try := retrier{budget: min(lockBudget, r.opt.Budget), first: r.opt.Pause}
	err = try.do(ctx, func(ctx context.Context) (bool, error) {
		m, err := r.fetch.manifest(ctx, repo, ref.Tag)
		digest = m.Digest.String()
		return false, err
	})
	if err != nil {
		return "", err
	}
	return digest, nil
}
