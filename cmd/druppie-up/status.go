package main

import (
	"context"

	"github.com/druppie/druppie-up/bootstrap"
	"github.com/spf13/cobra"
)

type statusOptions struct {
	app    *app
	format string
	bootstrap.Options
}

func newStatusCmd(a *app, runF func(context.Context, *statusOptions) error) *cobra.Command {
	opts := &statusOptions{app: a}
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show what is up, what isn't and why, and the last pipeline runs",
		Long: `status looks and changes nothing. It fails when the platform isn't there or not ready, so that
scripts can ask.`,
		Example: `  druppie-up status
  druppie-up status -o json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := settle(cmd, &opts.Options); err != nil {
				return err
			}
			if runF != nil {
				return runF(cmd.Context(), opts)
			}
			return runStatus(cmd.Context(), opts)
		},
	}
	nameFlag(cmd, &opts.Options)
	outputFlag(cmd, &opts.format)
	return cmd
}
