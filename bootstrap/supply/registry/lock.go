package registry

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/druppie/druppie-up/bootstrap/component"
	"github.com/druppie/druppie-up/bootstrap/supply/store"
)

// Locked is what Lock found out about one image.
type Locked struct {
	Ref    string // name and tag
	Pinned string // the digest that component.yaml has
	Found  string // the digest that the tag stands for now
	Err    error  // why that couldn't be found out
}

// lockPatience bounds the attempts for one image: whoever asks sits and waits.
const lockPatience = 30 * time.Second

// Lock asks the registries which digest each image's tag stands for now, pinned
// or not. A failure is noted with its image and doesn't end the others.
func (r *Registry) Lock(ctx context.Context, comps []component.Component) []Locked {
	all := *r
	all.opt.Preloaded, all.opt.Unpinned = true, false
	list := all.wanted(comps)
	locked := make([]Locked, len(list))
	var g errgroup.Group
	g.SetLimit(4)
	var mu sync.Mutex
	for i, w := range list {
		g.Go(func() error {
			l := Locked{Ref: w.ref.Tagged(), Pinned: w.ref.Digest, Err: w.err}
			if l.Err == nil {
				l.Found, l.Err = all.tagDigest(ctx, w.ref)
			}
			mu.Lock()
			defer mu.Unlock()
			locked[i] = l
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
	try := retrier{budget: min(lockPatience, r.opt.Budget), first: r.opt.Pause}
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
