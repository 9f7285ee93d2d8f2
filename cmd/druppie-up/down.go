package main

import (
	"context"

	"github.com/druppie/druppie-up/bootstrap"
	"github.com/spf13/cobra"
)

func newDownCmd(a *app) *cobra.Command {
	opts := &options{app: a}
	cmd := command(&cobra.Command{
		Use:   "down",
		Short: "Remove exactly what up made",
		Long: `down removes the cluster, everything in it, and its state folder, and fails when anything is left.
The evidence goes too: the Traceability DB's log, its keys, and the checkpoints in Gitea. What must be
kept, export (trace export) or back up (docs/trace/operating.md) first. The image store stays, so that
the next up is quick; the engine stays as it is (see doctor --undo).`,
		Example: `  druppie-up down
  druppie-up down --name workshop`,
	}, &opts.Options, func(ctx context.Context) error { return bootstrap.Down(ctx, opts.Options, a.rep) })
	nameFlag(cmd, &opts.Options)
	return cmd
}
