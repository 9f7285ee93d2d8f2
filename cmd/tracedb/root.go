package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/druppie/druppie-up/cmd/internal/cli"
	"github.com/druppie/druppie-up/internal/ui"
)

// run runs the command line and returns the exit code.
func run(ctx context.Context, args []string, streams ui.Streams) int {
	started := false
	root := newRootCmd(streams, &started)
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err != nil && !started {
		err = cli.Refused(cmd, err)
	}
	ui.WriteError(streams.Err, ui.ModePlain, err)
	return ui.ExitCode(err)
}

func newRootCmd(streams ui.Streams, started *bool) *cobra.Command {
	cmd := cli.Root(&cobra.Command{
		Use:   "tracedb",
		Short: "The Traceability DB: what happened, who said so, and the proof",
		Long: `tracedb keeps an append-only log of what the platform did, answers why something runs, and proves
that nobody changed the answer. serve is the service; the other commands look after its database.

Results are written to standard output; notes and errors to standard error. The exit code is 0 when
all went well, 2 when the input was refused and nothing was changed, and 1 for any other error.`,
		Example: `  tracedb serve --config /etc/tracedb/config.yaml
  tracedb verify trace-alg-7f3a9c21.zip --key checkpoint.pub
  tracedb check --config /etc/tracedb/config.yaml --checkpoint kept.txt`,
		PersistentPreRunE: func(*cobra.Command, []string) error { *started = true; return nil },
	}, streams)
	cmd.CompletionOptions.DisableDefaultCmd = true
	cmd.AddCommand(newServeCmd(), newVerifyCmd(), newCheckCmd(), newBackupCmd(), newRestoreCmd(), newRebuildCmd(), newDisposeCmd(), newAuditCmd(), newKeygenCmd(), newVersionCmd())
	return cmd
}
