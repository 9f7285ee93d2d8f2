package main

import (
	"context"

	"github.com/druppie/druppie-up/bootstrap"
	"github.com/spf13/cobra"
)

func newCredentialsCmd(a *app) *cobra.Command {
	opts := &options{app: a}
	cmd := command(&cobra.Command{
		Use:   "credentials",
		Short: "Print the user names and passwords of the platform",
		Long: `credentials reads the identities from the cluster, where they were generated once, and prints them
to standard output. They are kept nowhere else.`,
		Example: `  druppie-up credentials
  druppie-up credentials -o json | jq -r '.[] | select(.username=="builder").password'`,
	}, &opts.Options, func(ctx context.Context) error {
		all, err := bootstrap.Credentials(ctx, opts.Options)
		if err != nil {
			return err
		}
		return writeResult(opts.app.Out, opts.format, all, credentialsView(all))
	})
	nameFlag(cmd, &opts.Options)
	outputFlag(cmd, &opts.format)
	return cmd
}
