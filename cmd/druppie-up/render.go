package main

import (
	"context"

	"github.com/druppie/druppie-up/bootstrap"
	"github.com/spf13/cobra"
)

type renderOptions struct {
	app *app
	bootstrap.Options
}

func newRenderCmd(a *app, runF func(context.Context, *renderOptions) error) *cobra.Command {
	opts := &renderOptions{app: a}
	cmd := &cobra.Command{
		Use:   "render",
		Short: "Write every object that up would apply; no cluster is needed",
		Long: `render writes one stream of YAML to standard output, with every image pinned to the digest that the
store holds. Secrets are generated in the cluster, so they aren't in it.`,
		Example: `  druppie-up render | less
  druppie-up render | kubectl diff -f -`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := settle(cmd, &opts.Options); err != nil {
				return err
			}
			if runF != nil {
				return runF(cmd.Context(), opts)
			}
			return bootstrap.Render(cmd.Context(), opts.Options, a.Out)
		},
	}
	nameFlag(cmd, &opts.Options)
	sizeFlags(cmd, &opts.Options)
	portFlag(cmd, &opts.Options)
	storeFlag(cmd, &opts.Options)
	return cmd
}
