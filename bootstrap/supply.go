package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gofrs/flock"
	"golang.org/x/sync/errgroup"

	"github.com/druppie/druppie-up/bootstrap/component"
	"github.com/druppie/druppie-up/bootstrap/supply"
	"github.com/druppie/druppie-up/bootstrap/supply/modules"
	"github.com/druppie/druppie-up/bootstrap/supply/own"
	"github.com/druppie/druppie-up/bootstrap/supply/registry"
	"github.com/druppie/druppie-up/bootstrap/supply/sources"
	"github.com/druppie/druppie-up/bootstrap/supply/store"
	"github.com/druppie/druppie-up/internal/command"
	"github.com/druppie/druppie-up/internal/ui"
)

// States of what the platform needs, as the store has it.
const (
	SupplyThere   = "there"
	SupplyMissing = "missing"
	SupplyStale   = "stale" // made from another recipe, or not the pinned digest
	SupplyDamaged = "damaged"
)

// SupplyItem is an image, or the upstream files of a component, that the
// platform needs.
type SupplyItem struct {
	Component string `json:"component"`
	Stage     string `json:"stage"`
	Ref       string `json:"ref"`
	Digest    string `json:"digest,omitempty"` // what the store holds
	Supply    string `json:"supply,omitempty"` // which supply brought it
	Pinned    string `json:"pinned,omitempty"` // upstream's index digest, where it is known
	State     string `json:"state"`
	Reason    string `json:"reason,omitempty"` // of a state that isn't right
}

// SupplyList lists what the platform needs and what of it the store holds. It
// looks at names and recipes; SupplyVerify looks at every byte.
func SupplyList(ctx context.Context, o Options) ([]SupplyItem, error) {
	in, err := openInputs(o)
	if err != nil {
		return nil, err
	}
	return in.items()
}

func (in inputs) items() ([]SupplyItem, error) {
	builtIn := in.builtInNode(nil)
	outdated, err := modules.New(modules.Options{}).Outdated(in.store, in.components)
	if err != nil {
		return nil, err
	}
	var items []SupplyItem
	for _, c := range in.components {
		pinned := map[string]string{}
		for _, img := range c.Images {
			pinned[img.Name] = img.Digest
		}
		for _, ref := range images([]component.Component{c}, builtIn, component.Stages()...) {
			item := SupplyItem{Component: c.Name, Stage: c.Stage, Ref: ref, State: SupplyThere, Pinned: pinned[ref]}
			e, err := in.store.Entry(ref)
			switch {
			case errors.Is(err, store.ErrNotFound):
				item.State = SupplyMissing
			case err != nil:
				return nil, err
			default:
				item.Digest, item.Supply = e.Descriptor.Digest.String(), e.Annotations[store.Supplier]
				if slices.Contains(outdated, ref) {
					item.State, item.Reason = SupplyStale, "its recipe has changed since it was built"
				}
				if !modules.Built(e) && pinned[ref] != "" && pinned[ref] != item.Digest {
					item.State, item.Reason = SupplyStale, "another digest is pinned: "+pinned[ref]
					if registry.TakenUnpinned(e) { // the user said so
						item.State, item.Reason = SupplyThere, "taken with --unpinned"
					}
				}
			}
			items = append(items, item)
		}
	}
	return items, nil
}

// SupplyVerify hashes every byte of the store and says how many items are not
// as they must be, or with rebuild builds that image once more and compares.
func SupplyVerify(ctx context.Context, o Options, rebuild string, rep ui.Reporter) error {
	in, err := openInputs(o)
	if err != nil {
		return err
	}
	if rebuild != "" {
		return in.rebuild(ctx, rebuild, rep)
	}
	return ui.Run(rep, "verify", "Verify the store in "+in.opts.StoreDir, func(task ui.Task) (string, error) {
		items, err := in.verify(ctx, task)
		return fmt.Sprintf("all %d are there and undamaged", len(items)), err
	})
}

func (in inputs) verify(ctx context.Context, task ui.Task) ([]SupplyItem, error) {
	items, err := in.items()
	if err != nil {
		return nil, err
	}
	problems, err := in.store.Verify(ctx, store.VerifyOptions{Progress: task.Progress})
	if err != nil {
		return nil, err
	}
	for _, p := range problems {
		i := slices.IndexFunc(items, func(item SupplyItem) bool { return item.Ref == p.Ref })
		if i < 0 {
			items = append(items, SupplyItem{Ref: p.Ref})
			i = len(items) - 1
		}
		items[i].State, items[i].Digest, items[i].Reason = SupplyDamaged, p.Digest, p.Reason
	}
	var amiss []string
	for _, item := range items {
		if item.State != SupplyThere {
			amiss = append(amiss, strings.TrimSpace(item.State+": "+item.Ref+" "+item.Reason))
		}
	}
	if len(amiss) == 0 {
		return items, nil
	}
	err = fmt.Errorf("the store is not complete: of %d items %d are not right:\n  %s", len(items), len(amiss), strings.Join(amiss, "\n  "))
	return items, ui.WithHint(err, "`druppie-up supply fill` gets what isn't right")
}

// SupplyFill brings the store to what this build of the platform needs.
func SupplyFill(ctx context.Context, o Options, rep ui.Reporter) error {
	in, err := openInputs(o)
	if err != nil {
		return err
	}
	if err := in.forgetDamaged(ctx, rep); err != nil {
		return err
	}
	if err := own.Pack(in.store, in.opts.BinDir); err != nil {
		return err
	}
	source, why, err := chooseSupply(ctx, in.opts, in.components)
	if err != nil {
		return err
	}
	rep.Note("images come from %s: %s", source.Name(), why)
	return in.fill(ctx, source, rep)
}

// fill lets one process at a time fill a store: two would build the same twice.
// The later one waits, and then finds most of it there.
func (in inputs) fill(ctx context.Context, source supply.Supply, rep ui.Reporter) error {
	lock := flock.New(filepath.Join(in.opts.StoreDir, "fill.lock"))
	locked, err := lock.TryLock()
	if err != nil {
		return fmt.Errorf("lock the store: %w", err)
	}
	if !locked {
		rep.Note("another druppie-up fills the store; this one waits for it")
		if _, err := lock.TryLockContext(ctx, time.Second); err != nil {
			return fmt.Errorf("wait for the druppie-up that fills the store: %w", err)
		}
	}
	defer lock.Close()
	packed := func() error { return sources.Pack(ctx, in.store, in.opts.golang(), in.components) }
	if source.Name() != registry.Name {
		// Upstream's files first: they are small, and rendering can begin.
		if err := packed(); err != nil {
			return err
		}
		return source.Fill(ctx, in.store, in.components, rep)
	}
	var g *errgroup.Group
	g, ctx = errgroup.WithContext(ctx)
	g.Go(packed)
	g.Go(func() error { return in.fillFromRegistry(ctx, source, rep) })
	return g.Wait()
}

// fillFromRegistry fetches the node image first: what is in it decides whether
// the control plane's images are wanted too.
func (in inputs) fillFromRegistry(ctx context.Context, source supply.Supply, rep ui.Reporter) error {
	node := slices.DeleteFunc(slices.Clone(in.components), func(c component.Component) bool { return c.Name != nodeComponent })
	if err := source.Fill(ctx, in.store, node, rep); err != nil {
		return err
	}
	upstream, err := in.upstreamNode()
	if err != nil {
		return err
	}
	all, err := registrySupply(in.opts, in.components, !upstream)
	if err != nil {
		return err
	}
	return all.Fill(ctx, in.store, in.components, rep)
}

func registrySupply(o Options, comps []component.Component, preloaded bool) (*registry.Registry, error) {
	return registry.New(registry.Options{
		Mirror: o.RegistryMirror, Unpinned: o.Unpinned, Components: comps, Preloaded: preloaded,
	})
}

// forgetDamaged takes what is damaged out of the store, so that it counts as
// missing and comes again.
func (in inputs) forgetDamaged(ctx context.Context, rep ui.Reporter) error {
	return ui.Run(rep, "verify", "Look for damage in the store", func(task ui.Task) (string, error) {
		problems, err := in.store.Verify(ctx, store.VerifyOptions{Remove: true, Progress: task.Progress})
		for _, p := range problems {
			rep.Note("damaged, and fetched again: %s", p)
		}
		return plural(len(problems), "problem"), err
	})
}

// rebuild builds one image of the store anew, elsewhere, and compares bytes.
func (in inputs) rebuild(ctx context.Context, ref string, rep ui.Reporter) error {
	return ui.Run(rep, "rebuild", "Build "+ref+" again", func(task ui.Task) (string, error) {
		builder := modules.New(modules.Options{CacheDir: in.opts.buildDir(), Log: taskLog{task}})
		r, err := builder.Rebuild(ctx, in.store, in.components, ref)
		if err == nil && r.Stored != r.Made {
			err = fmt.Errorf("%s: the store has %s, building it again made %s", ref, r.Stored, r.Made)
			if len(r.Replaced) > 0 {
				err = ui.WithHint(err, "the distribution has replaced packages since it was built: "+strings.Join(r.Replaced, ", "))
			}
		}
		return "the same bytes: " + r.Made, err
	})
}

// taskLog shows what a tool writes as a task's detail.
type taskLog struct{ ui.Task }

func (l taskLog) Write(p []byte) (int, error) {
	l.Detail("%s", command.LastLines(string(p), 1))
	return len(p), nil
}

// SupplyLock asks upstream's registries which digests the tags stand for now.
// It changes nothing: what it found is pinned in component.yaml by a human.
func SupplyLock(ctx context.Context, o Options) ([]registry.Locked, error) {
	in, err := openInputs(o)
	if err != nil {
		return nil, err
	}
	upstream, err := registrySupply(in.opts, in.components, true)
	if err != nil {
		return nil, err
	}
	return upstream.Lock(ctx, in.components), nil
}

// chooseSupply takes the supply that the options name, or for auto falls back from one
// to the next until it finds one that this machine can reach, and says why.
func chooseSupply(ctx context.Context, o Options, comps []component.Component) (supply.Supply, string, error) {
	puller, err := registrySupply(o, comps, false)
	if err != nil {
		return nil, "", err
	}
	builder := modules.New(modules.Options{CacheDir: o.buildDir()})
	candidates := []supply.Supply{puller, builder}
	switch o.Supply {
	case registry.Name:
		candidates = candidates[:1]
	case modules.Name:
		candidates = candidates[1:]
	default:
		return supply.Choose(ctx, candidates...)
	}
	source := candidates[0]
	if err := source.Available(ctx); err != nil {
		hint := ui.Hint(err)
		if hint == "" {
			hint = "connect this machine to it, name another registry with --registry-mirror, or leave out --supply: " +
				"then the first supply in reach is taken"
		}
		return nil, "", ui.WithHint(fmt.Errorf("supply %s can't be used: %w", source.Name(), err), hint)
	}
	return source, "chosen with --supply", nil
}
