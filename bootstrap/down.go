package bootstrap

import (
	"context"
	"fmt"
	"strings"

	"github.com/druppie/druppie-up/bootstrap/cluster"
	"github.com/druppie/druppie-up/internal/ui"
)

// Down removes exactly what Up made of the cluster that o names, and fails,
// naming it, if anything is left. The store stays: it outlives clusters.
func Down(ctx context.Context, o Options, rep ui.Reporter) error {
	task := rep.Start("down", "Remove cluster "+o.Name)
	state, err := cluster.Inspect(ctx, o.Name)
	if err != nil {
		task.Fail(err)
		return err
	}
	left, err := cluster.Delete(ctx, o.Name, o.StateDir, task)
	if err == nil && len(left) > 0 {
		err = fmt.Errorf("%s left: %s", plural(len(left), "thing"), strings.Join(left, ", "))
	}
	switch {
	case err != nil:
		task.Fail(err)
	case !state.Exists():
		task.Skip("there is no such cluster")
	default:
		task.Done("nothing is left of it; the image store stays in %s", o.StoreDir)
	}
	return err
}
