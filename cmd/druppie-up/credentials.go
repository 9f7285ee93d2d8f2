package main

import (
	"context"

	"github.com/druppie/druppie-up/bootstrap"
	"github.com/spf13/cobra"
)

type credentialsOptions struct {
	app    *app
	format string
	bootstrap.Options
}

func newCredentialsCmd(a *app, runF func(context.Context, *credentialsOptions) error) *cobra.Command {
	opts := &credentialsOptions{app: a}
	cmd := &cobra.Command{
		Use:   "credentials",
		Short: "Print the user names and passwords of the platform",
		Long: `credentials reads the identities from the cluster, where they were generated once, and prints them
to standard output. They are kept nowhere else.`,
		Example: `  druppie-up credentials
  druppie-up credentials -o json | jq -r '.[] | select(.username=="builder").password'`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := settle(cmd, &opts.Options); err != nil {
				return err
			}
			if runF != nil {
				return runF(cmd.Context(), opts)
			}
			return runCredentials(cmd.Context(), opts)
		},
	}
	nameFlag(cmd, &opts.Options)
	outputFlag(cmd, &opts.format)
	return cmd
}

func runCredentials(ctx context.Context, opts *credentialsOptions) error {
	all, err := bootstrap.Credentials(ctx, opts.Options)
	if err != nil {
		return err
	}
	return writeResult(opts.app.Out, opts.format, all, credentialsView(all))
}
