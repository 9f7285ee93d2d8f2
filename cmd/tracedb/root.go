package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/druppie/druppie-up/internal/ui"
)

// run runs the command line and returns the exit code.
func run(ctx context.Context, args []string, streams ui.Streams) int {
	started := false
	root := newRootCmd(streams, &started)
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err != nil && !started {
		// Whatever cobra refused, it refused before anything was done.
		err = ui.Usage(err)
		if ui.Hint(err) == "" {
			err = ui.WithHint(err, fmt.Sprintf("see %s --help", cmd.CommandPath()))
		}
	}
	ui.WriteError(streams.Err, ui.ModePlain, err)
	return ui.ExitCode(err)
}

func newRootCmd(streams ui.Streams, started *bool) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "tracedb",
		Short: "The Traceability DB: what happened, who said so, and the proof",
		Long: `tracedb keeps an append-only log of what the platform did, answers why something runs, and proves
that nobody changed the answer. serve is the service; the other commands look after its database.

Results are written to standard output; notes and errors to standard error. The exit code is 0 when
all went well, 2 when the input was refused and nothing was changed, and 1 for any other error.`,
		Example: `  tracedb serve --config /etc/tracedb/config.yaml
  tracedb verify trace-alg-7f3a9c21.zip --key checkpoint.pub
  tracedb check --config /etc/tracedb/config.yaml --checkpoint kept.txt`,
		SilenceErrors:     true,
		SilenceUsage:      true,
		PersistentPreRunE: func(*cobra.Command, []string) error { *started = true; return nil },
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			err := fmt.Errorf("unknown command %q for %q", args[0], cmd.CommandPath())
			if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
				return ui.WithHint(err, "did you mean "+strings.Join(near, ", ")+"?")
			}
			return err
		},
		RunE: func(cmd *cobra.Command, args []string) error { return cmd.Help() },
	}
	cmd.SuggestionsMinimumDistance = 2
	cmd.SetIn(streams.In)
	cmd.SetOut(streams.Out)
	cmd.SetErr(streams.Err)
	cmd.CompletionOptions.DisableDefaultCmd = true
	cmd.AddCommand(newServeCmd(), newVerifyCmd(), newCheckCmd(), newBackupCmd(), newRestoreCmd(), newRebuildCmd(), newDisposeCmd(), newKeygenCmd(), newVersionCmd())
	return cmd
}

// exactArgs takes the arguments that are named, and no others.
func exactArgs(names ...string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		switch {
		case len(args) < len(names):
			return fmt.Errorf("%s is missing", names[len(args)])
		case len(args) > len(names):
			return fmt.Errorf("unexpected argument %q", args[len(names)])
		}
		return nil
	}
}
