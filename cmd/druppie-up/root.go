package main

import (
	"context"

	"github.com/druppie/druppie-up/cmd/internal/cli"
	"github.com/druppie/druppie-up/internal/ui"
	"github.com/spf13/cobra"
)

// app is what all commands share. There is one for each run of the program.
type app struct {
	ui.Streams
	progress string      // --progress
	rep      ui.Reporter // set before any command runs
	started  bool        // flags and arguments were fine, and a command took over
}

// run runs the command line and returns the exit code.
func run(ctx context.Context, args []string, streams ui.Streams) int {
	a := &app{Streams: streams, progress: ui.ModeAuto}
	root := newRootCmd(a)
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	err = classify(ctx, a, cmd, err)
	ui.WriteError(a.Err, a.progress, err)
	return ui.ExitCode(err)
}

// classify gives an error the exit code and the hint that only the outermost layer can know.
func classify(ctx context.Context, a *app, cmd *cobra.Command, err error) error {
	switch {
	case err == nil:
		return nil
	case !a.started:
		return cli.Refused(cmd, err)
	case ui.Interrupted(ctx):
		// Whatever the error is, it is what the interrupt did to a program or a connection.
		return ui.WithHint(ui.ErrInterrupted, "run it again, it goes on where it stopped")
	}
	return err
}

func newRootCmd(a *app) *cobra.Command {
	cmd := cli.Root(&cobra.Command{
		Use:   "druppie-up",
		Short: "Put the Druppie platform on one machine, and prove that it works",
		Long: `druppie-up makes a kind cluster, installs a foundry (Gitea, Tekton, a registry) and a gatekeeper
(Flux, Kyverno) on it, and flies services through them: a commit ends, by itself, as a signed,
admitted, running pod.

Results are written to standard output; progress and errors to standard error. The exit code is 0
when all went well, 2 when the input was refused and nothing was changed, and 1 for any other error.`,
		Example: `  druppie-up doctor --fix
  druppie-up up
  druppie-up scenario run first-flight
  druppie-up down`,
		PersistentPreRunE: func(cmd *cobra.Command, args []string) (err error) {
			if err := refuseEmpty(cmd.Flags()); err != nil {
				return err
			}
			if a.rep, err = ui.NewReporter(a.Err, a.progress); err != nil {
				return err
			}
			a.rep = ui.Interruptible(cmd.Context(), a.rep)
			a.started = true
			return nil
		},
	}, a.Streams)
	cmd.PersistentFlags().Var(cli.OneOf(&a.progress, ui.ModeAuto, ui.ModeTerminal, ui.ModePlain, ui.ModeJSON),
		"progress", "how to show progress")
	cli.Complete(cmd, "progress", ui.ModeAuto, ui.ModePlain, ui.ModeJSON)
	cmd.AddCommand(
		newUpCmd(a, runUp),
		newDownCmd(a),
		newOnboardCmd(a),
		newStatusCmd(a),
		newNetworkCmd(a),
		newDoctorCmd(a),
		newScenarioCmd(a),
		newConformanceCmd(a),
		newLessonCmd(a),
		newSupplyCmd(a),
		newRenderCmd(a),
		newCredentialsCmd(a),
		newTraceCmd(a),
		newVersionCmd(a),
	)
	return cmd
}
