package main

import (
	"context"

	"github.com/druppie/druppie-up/bootstrap"
	"github.com/druppie/druppie-up/cmd/internal/cli"
	"github.com/spf13/cobra"
)

func newUpCmd(a *app, run func(context.Context, *options) error) *cobra.Command {
	opts := &options{app: a}
	cmd := command(&cobra.Command{
		Use:   "up",
		Short: "Bring the platform up, or bring back what is missing",
		Long: `up asks the cluster what is there and does what is missing. Run it again after a failure, an
interrupt or a restart of the machine: it goes on where it stopped, and changes nothing that is right.`,
		Example: `  druppie-up up
  druppie-up up --workers 2 --gpu-nodes 1
  druppie-up up --name workshop --port 9443 --progress plain
  druppie-up up --supply registry`,
	}, &opts.Options, func(ctx context.Context) error { return run(ctx, opts) })
	nameFlag(cmd, &opts.Options)
	sizeFlags(cmd, &opts.Options)
	portFlag(cmd, &opts.Options)
	storeFlag(cmd, &opts.Options)
	supplyFlags(cmd, &opts.Options)
	cmd.Flags().DurationVar(&opts.Timeout, "timeout", 0, "give up after this time (default 3h)")
	cli.Complete(cmd, "timeout")
	outputFlag(cmd, &opts.format)
	return cmd
}

func runUp(ctx context.Context, opts *options) error {
	summary, err := bootstrap.Up(ctx, opts.Options, opts.app.rep)
	if err != nil {
		return err
	}
	return writeResult(opts.app.Out, opts.format, summary, upView(summary))
}
