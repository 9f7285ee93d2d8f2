// Package registry owns the supply that pulls: it fills a store from upstream's container registries, or from a
// mirror of them, one platform of each image. It trusts digests, where component.yaml pins one, and goes on where
// an earlier attempt stopped. It refuses to give up while bytes still come, and to keep bytes that aren't what
// their digest says.
package registry

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"golang.org/x/sync/errgroup"

	"github.com/druppie/druppie-up/bootstrap/component"
	"github.com/druppie/druppie-up/bootstrap/supply/store"
	"github.com/druppie/druppie-up/internal/names"
	"github.com/druppie/druppie-up/internal/ui"
)

// unpinnedAnnotation marks entries that were fetched by their tag though a
// digest is pinned, since the user asked for that.
const unpinnedAnnotation = "io.druppie.unpinned"

// TakenUnpinned says whether an entry was fetched with Unpinned, so that it may
// differ from what component.yaml pins.
func TakenUnpinned(e store.Entry) bool { return e.Annotations[unpinnedAnnotation] != "" }

// Name is how this supply is chosen.
const Name = "registry"

// Options are the settings of a Registry. Zero values have defaults.
type Options struct {
	// Mirror is a registry that holds all images as MIRROR/<upstream
	// host>/<repository>, for example localhost:5000/quay.io/a/b; it may carry a
	// path, and http:// in front. Empty asks upstream. The mirror that this
	// project puts beside a cluster answers such names too.
	Mirror string
	// Unpinned takes what a tag stands for, also where component.yaml pins a
	// digest: for a mirror whose images were built elsewhere. Say so to the user.
	Unpinned bool
	// Components are those whose hosts Available asks for.
	Components []component.Component
	// Preloaded fetches also what upstream's node image carries already.
	Preloaded bool
	// Budget is how long a transfer may stand still, over all its attempts; default 5 minutes.
	Budget time.Duration
	// Stall is how long one attempt may stand still; default 45 seconds.
	Stall time.Duration
	// Pause is the wait after the first failure; default a second.
	Pause time.Duration
}

// How many images are fetched at once, and layers of each.
const (
	imagesAtOnce = 3
	layersAtOnce = 3
)

// Registry fills a store from upstream's registries, one platform of each image.
type Registry struct {
	opt   Options
	fetch *fetcher
}

// New returns the supply; it touches nothing before it is used.
func New(opt Options) (*Registry, error) {
	opt.Budget = cmp.Or(opt.Budget, 5*time.Minute)
	opt.Stall = cmp.Or(opt.Stall, 45*time.Second)
	opt.Pause = cmp.Or(opt.Pause, time.Second)
	r := &Registry{opt: opt, fetch: &fetcher{base: upstreamTransport(), stall: opt.Stall}}
	if opt.Mirror != "" {
		if _, err := r.source("docker.io/library/a"); err != nil {
			return nil, ui.Usage(ui.WithHint(fmt.Errorf("registry mirror %q: %w", opt.Mirror, err), "write HOST[:PORT][/PATH]"))
		}
	}
	return r, nil
}

// upstreamTransport is go-containerregistry's own, but for the error about a
// proxy's address that can't be read: it would repeat the password in it.
func upstreamTransport() http.RoundTripper {
	t, ok := remote.DefaultTransport.(*http.Transport)
	if !ok {
		return remote.DefaultTransport
	}
	t = t.Clone()
	t.Proxy = func(req *http.Request) (*url.URL, error) {
		proxy, err := http.ProxyFromEnvironment(req)
		if err != nil {
			return nil, ui.WithHint(errors.New("the proxy's address in the environment can't be read"),
				"write characters such as @, / and blanks in its password as %40, %2F and %20")
		}
		return proxy, nil
	}
	return t
}

// Name is the supply's name.
func (r *Registry) Name() string { return Name }

// source is where a repository is fetched from.
func (r *Registry) source(upstream string) (name.Repository, error) {
	if r.opt.Mirror == "" {
		return name.NewRepository(upstream)
	}
	base, plain := strings.CutPrefix(r.opt.Mirror, "http://")
	base = strings.Trim(strings.TrimPrefix(base, "https://"), "/")
	// An upstream host with a port can't stand in a path as it is.
	full := base + "/" + strings.ReplaceAll(upstream, ":", "-")
	if _, err := name.NewRegistry(strings.SplitN(base, "/", 2)[0], name.StrictValidation); err != nil {
		return name.Repository{}, err
	}
	if plain {
		return name.NewRepository(full, name.Insecure)
	}
	return name.NewRepository(full)
}

// Available says whether every registry that the components need answers.
func (r *Registry) Available(ctx context.Context) error {
	hosts := map[string]name.Registry{}
	var repositories []string
	for _, w := range r.pulls(r.opt.Components) {
		repositories = append(repositories, w.ref.Name)
	}
	if len(repositories) == 0 {
		repositories = []string{"docker.io/library/a"}
	}
	for _, repository := range repositories {
		repo, err := r.source(repository)
		if err != nil {
			return err
		}
		hosts[repo.RegistryStr()] = repo.Registry
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var mu sync.Mutex
	var errs []error
	var wait sync.WaitGroup
	for host, reg := range hosts {
		wait.Go(func() {
			if _, err := transport.Ping(ctx, reg, r.fetch.base); err != nil {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, fmt.Errorf("%s doesn't answer: %w", host, err))
			}
		})
	}
	wait.Wait()
	if len(errs) > 1 { // the causes are mostly one and the same
		return fmt.Errorf("%d of %d registries don't answer, among them: %w", len(errs), len(hosts), errs[0])
	}
	return errors.Join(errs...)
}

// pull is one image to fetch.
type pull struct {
	ref       store.Ref        // with the digest, where it is pinned
	manifests []store.Manifest // upstream's index, where there is one, and the image's
	manifest  *v1.Manifest
	repo      name.Repository
	resolved  chan struct{}
	err       error
}

func (w *pull) blobs() []v1.Descriptor {
	return append([]v1.Descriptor{w.manifest.Config}, w.manifest.Layers...)
}

// pulls lists the images of comps in their order, each once.
func (r *Registry) pulls(comps []component.Component) []*pull {
	var list []*pull
	seen := map[string]bool{}
	for _, c := range comps {
		for _, img := range c.Images {
			if img.Preloaded && !r.opt.Preloaded || strings.HasPrefix(img.Name, names.OwnHost+"/") || seen[img.Name] {
				continue
			}
			seen[img.Name] = true
			full := img.Name
			if img.Digest != "" && !r.opt.Unpinned {
				full += "@" + img.Digest
			}
			w := &pull{resolved: make(chan struct{})}
			w.ref, w.err = store.ParseRef(full)
			list = append(list, w)
		}
	}
	return list
}

// lacks says whether the store has to get w. Another supply's image of that
// name will do; our own has to be the one that is pinned now.
func lacks(s *store.Store, w *pull) (bool, error) {
	e, err := s.Entry(w.ref.Tagged())
	if errors.Is(err, store.ErrNotFound) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	stale := w.ref.Digest != "" && e.Descriptor.Digest.String() != w.ref.Digest
	return stale && e.Annotations[store.Supplier] == Name, nil
}

// Fill fetches what the store lacks in the order of comps, several images at once.
func (r *Registry) Fill(ctx context.Context, s *store.Store, comps []component.Component, rep ui.Reporter) error {
	task := rep.Start("supply/registry", "Pull images")
	err := s.Hint(r.fill(ctx, s, comps, task))
	if err != nil {
		task.Fail(err)
	}
	return err
}

func (r *Registry) fill(ctx context.Context, s *store.Store, comps []component.Component, task ui.Task) error {
	var todo []*pull
	for _, w := range r.pulls(comps) {
		if w.err != nil {
			return w.err
		}
		lacks, err := lacks(s, w)
		if err != nil {
			return err
		}
		if lacks {
			todo = append(todo, w)
		}
	}
	if len(todo) == 0 {
		task.Skip("every image is in the store")
		return nil
	}
	m := &progress{task: task, images: len(todo), current: map[string]bool{}}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return r.resolveAll(ctx, todo, m) })
	g.Go(func() error { return r.pullAll(ctx, s, todo, m) })
	if err := g.Wait(); err != nil {
		return err
	}
	task.Done("%d images, %d MB", len(todo), m.fetched>>20)
	return nil
}

// resolveAll fetches all manifests, small as they are, so that the size of the
// whole is known early and names that don't exist are reported all together.
func (r *Registry) resolveAll(ctx context.Context, todo []*pull, m *progress) error {
	var g errgroup.Group
	g.SetLimit(4)
	for _, w := range todo {
		g.Go(func() error {
			defer close(w.resolved)
			if w.err = r.retrier(m, w).do(ctx, func(ctx context.Context) (bool, error) { return false, r.resolve(ctx, w) }); w.err != nil {
				w.err = fmt.Errorf("%s: %w", w.ref, w.err)
				m.addTotal(nil)
				return nil
			}
			m.addTotal(w.blobs())
			return nil
		})
	}
	_ = g.Wait()
	var errs []error
	for _, w := range todo {
		if w.err != nil && !errors.Is(w.err, context.Canceled) {
			errs = append(errs, w.err)
		}
	}
	return errors.Join(errs...)
}

func (r *Registry) retrier(m *progress, w *pull) retrier {
	return retrier{budget: r.opt.Budget, first: r.opt.Pause, onWait: func(err error, wait time.Duration) {
		m.task.Detail("%s: %v; again in %s", w.ref, err, wait.Round(time.Second))
	}}
}

// resolve finds the image for this machine behind a name.
func (r *Registry) resolve(ctx context.Context, w *pull) error {
	var err error
	if w.repo, err = r.source(w.ref.Name); err != nil {
		return err
	}
	top := w.ref.Digest
	if top == "" {
		top = w.ref.Tag
	}
	m, err := r.fetch.manifest(ctx, w.repo, top)
	if err != nil {
		return err
	}
	w.manifests = []store.Manifest{m}
	if m.MediaType.IsIndex() {
		index, err := v1.ParseIndexManifest(bytes.NewReader(m.Raw))
		if err != nil {
			return err
		}
		child, err := store.Pick(index)
		if err != nil {
			return err
		}
		if m, err = r.fetch.manifest(ctx, w.repo, child.Digest.String()); err != nil {
			return err
		}
		w.manifests = append(w.manifests, m)
	}
	if !m.MediaType.IsImage() {
		return fmt.Errorf("can't read manifests of type %q", m.MediaType)
	}
	w.manifest, err = v1.ParseManifest(bytes.NewReader(m.Raw))
	return err
}

func (r *Registry) pullAll(ctx context.Context, s *store.Store, todo []*pull, m *progress) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(imagesAtOnce)
	for _, w := range todo {
		g.Go(func() error {
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-w.resolved:
			}
			if w.err != nil {
				return nil // resolveAll returns it, together with the others
			}
			if err := r.pullImage(ctx, s, w, m); err != nil {
				return fmt.Errorf("%s: %w", w.ref, err)
			}
			return nil
		})
	}
	return g.Wait()
}

// pullImage fetches the blobs of one image and, when all are there, names it.
func (r *Registry) pullImage(ctx context.Context, s *store.Store, w *pull, m *progress) error {
	defer m.fetching(w.ref.String())()
	g, blobCtx := errgroup.WithContext(ctx)
	g.SetLimit(layersAtOnce)
	for _, d := range w.blobs() {
		g.Go(func() error {
			count := &blobProgress{progress: m, size: d.Size}
			err := r.retrier(m, w).do(blobCtx, func(ctx context.Context) (moved bool, err error) {
				err = r.fetch.blob(ctx, s, w.repo, d, func(n int64) { moved = true; count.add(n) })
				return moved, err
			})
			if err == nil {
				count.complete()
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	ann := map[string]string{store.Supplier: Name}
	if r.opt.Unpinned {
		ann[unpinnedAnnotation] = "true"
	}
	_, err := s.PutManifests(w.ref.Tagged(), w.manifests, ann)
	return err
}
