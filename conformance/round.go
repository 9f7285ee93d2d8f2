package conformance

import (
	"context"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/druppie/druppie-up/scenarios"
)

// round runs all scenarios that the suite's controls need, once. Where there are more places than one, those that
// keep to a tenant are dealt out among the places, and the others follow one after another. An error says that it was
// interrupted; what ran until then is in the results.
func (s Suite) round(ctx context.Context, o Options, number int) ([]scenarios.Result, error) {
	order := s.needed(o.Shuffle)
	d := &dealer{note: func(name string) { o.Note("scenario %s, round %d", name, number) }}
	if len(o.Beside) == 0 {
		err := d.run(ctx, o.Run, order...)
		return d.results, err
	}
	isAlone, isFirst := map[string]bool{}, map[string]bool{} // what others come after is wanted in each place
	for _, info := range s.Scenarios {
		isAlone[info.Name] = info.Alone != ""
		for _, name := range info.After {
			isFirst[name] = isFirst[name] || info.Alone == "" && slices.Contains(order, info.Name)
		}
	}
	var first, alone []string
	for _, name := range order {
		switch {
		case isAlone[name]:
			alone = append(alone, name)
		case isFirst[name]:
			first = append(first, name)
		default:
			d.left = append(d.left, name)
		}
	}
	var places errgroup.Group
	for _, run := range append([]RunFunc{o.Run}, o.Beside...) {
		places.Go(func() error {
			if err := d.run(ctx, run, first...); err != nil {
				return err
			}
			for name := d.next(); name != ""; name = d.next() {
				if err := d.run(ctx, run, name); err != nil {
					return err
				}
			}
			return nil
		})
	}
	err := places.Wait()
	if err == nil {
		err = d.run(ctx, o.Run, alone...)
	}
	return d.results, err
}

// dealer hands scenarios to places, and takes what came of them.
type dealer struct {
	note    func(name string)
	mu      sync.Mutex
	left    []string
	results []scenarios.Result
}

// next is a scenario that nobody ran yet; empty: there is none.
func (d *dealer) next() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.left) == 0 {
		return ""
	}
	name := d.left[0]
	d.left = d.left[1:]
	return name
}

// run runs scenarios one after another in one place.
func (d *dealer) run(ctx context.Context, run RunFunc, names ...string) error {
	for _, name := range names {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		d.note(name)
		result, _ := run(ctx, name) // that it failed is in the result
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		d.mu.Lock()
		d.results = append(d.results, result)
		d.mu.Unlock()
	}
	return nil
}
