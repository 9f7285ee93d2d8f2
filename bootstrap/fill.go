package bootstrap

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/druppie/druppie-up/bootstrap/component"
	"github.com/druppie/druppie-up/bootstrap/supply"
	"github.com/druppie/druppie-up/bootstrap/supply/store"
	"github.com/druppie/druppie-up/internal/ui"
)

// fill brings into the store, in the background, what it lacks.
type fill struct {
	source supply.Supply // nil when the store lacked nothing
	why    string        // the source was chosen
	lacked int           // images

	work   errgroup.Group
	stop   context.CancelCauseFunc
	failed context.Context // done when it has failed, with its error as cause
	fail   context.CancelCauseFunc
}

// startFill fills the store with what it lacks, in the order in which the steps
// need it.
func startFill(ctx context.Context, in inputs, rep ui.Reporter) (*fill, error) {
	ctx, stop := context.WithCancelCause(ctx)
	failed, fail := context.WithCancelCause(context.Background())
	f := &fill{stop: stop, failed: failed, fail: fail}
	missing, err := in.store.Missing(images(in.components, in.builtInNode(nil), component.Stages()...))
	if err != nil || len(missing) == 0 {
		return f, err
	}
	f.lacked = len(missing)
	if f.source, f.why, err = chooseSupply(ctx, in.opts, in.components); err != nil {
		return nil, err
	}
	f.work.Go(func() error {
		err := in.fill(ctx, f.source, rep)
		if err != nil {
			err = fmt.Errorf("supply %s: %w", f.source.Name(), err)
			f.fail(err)
		}
		return err
	})
	return f, nil
}

func (f *fill) String() string {
	if f.source == nil {
		return "complete"
	}
	return fmt.Sprintf("%s to come from %s: %s", plural(f.lacked, "image"), f.source.Name(), f.why)
}

// name of the source; "local" when nothing was lacking.
func (f *fill) name() string {
	if f.source == nil {
		return "local"
	}
	return f.source.Name()
}

// wait ends when the store lacks nothing any more.
func (f *fill) wait() error { return f.work.Wait() }

// close ends a fill that goes on in the background.
func (f *fill) close() {
	defer f.fail(nil)
	f.stop(errors.New("the command ended"))
	_ = f.work.Wait() // its error has been reported, or nobody needs it any more
}

// await waits until the store has all of refs, whoever writes them, and ends at
// once with the fill's own error if that fails.
func (f *fill) await(ctx context.Context, images *store.Store, task ui.Task, refs []string) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(f.failed, func() { cancel(context.Cause(f.failed)) })
	defer stop()
	return supply.Wait(ctx, images, refs, func(missing []string) {
		task.Detail("waits for %s from %s", summarize(missing), f.name())
	})
}
