package main

import (
	"context"

	"github.com/druppie/druppie-up/bootstrap"
	"github.com/spf13/cobra"
)

func newRenderCmd(a *app) *cobra.Command {
	opts := &options{app: a}
	cmd := command(&cobra.Command{
		Use:   "render",
		Short: "Write every object that up would apply; no cluster is needed",
		Long: `render writes one stream of YAML to standard output, with every image pinned to the digest that the
store holds. Secrets are generated in the cluster, so they aren't in it.`,
		Example: `  druppie-up render | less
  druppie-up render | kubectl diff -f -`,
	}, &opts.Options, func(ctx context.Context) error { return bootstrap.Render(ctx, opts.Options, a.Out) })
	nameFlag(cmd, &opts.Options)
	sizeFlags(cmd, &opts.Options)
	portFlag(cmd, &opts.Options)
	storeFlag(cmd, &opts.Options)
	return cmd
}
