package main

import (
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/druppie/druppie-up/cmd/internal/cli"
)

func newServeCmd() *cobra.Command {
	var file string
	verbose := false
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the service until it is told to stop",
		Long: `serve answers over HTTPS and follows the platform's components. Told to stop, it takes no new
requests, finishes those it has, publishes a last checkpoint and closes the database.`,
		Example: "  tracedb serve --config /etc/tracedb/config.yaml",
		Args:    cli.Args(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := loadConfig(file)
			if err != nil {
				return err
			}
			var options slog.HandlerOptions // info
			if verbose {
				options.Level = slog.LevelDebug
			}
			logger := slog.New(slog.NewJSONHandler(cmd.ErrOrStderr(), &options))
			s, err := start(cmd.Context(), c, environment{logger: logger})
			if err != nil {
				return err
			}
			return s.run(cmd.Context())
		},
	}
	cmd.Flags().StringVar(&file, "config", "/etc/tracedb/config.yaml", "the service's configuration")
	cmd.Flags().BoolVar(&verbose, "verbose", false, "log every request, not only those that failed")
	return cmd
}
