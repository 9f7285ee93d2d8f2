// Command foundry is the step tool of the pipeline: every step that isn't
// somebody else's program is one subcommand of it, each in a pod with only what
// that needs. It reads its input from flags and mounted files, writes Tekton's
// results to the files that flags name, and keeps nothing.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/druppie/druppie-up/internal/ui"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	cmd := newCommand(os.Stdout)
	cmd.SetArgs(os.Args[1:])
	if err := cmd.ExecuteContext(ctx); err != nil {
		ui.WriteError(os.Stderr, ui.ModePlain, err)
		os.Exit(ui.ExitCode(err))
	}
}

func newCommand(out io.Writer) *cobra.Command {
	cmd := &cobra.Command{
		Use:           "foundry",
		Short:         "The steps of the release pipeline",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	cmd.SetOut(out)
	cmd.CompletionOptions.DisableDefaultCmd = true
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return ui.Usage(err) })
	cmd.AddCommand(newCloneCmd(), newTestsCmd(), newCheckCmd(), newPushCmd(), newSignCmd(), newAttestCmd(), newVerifyCmd(), newRecordCmd(),
		newWithdrawCmd(), newPreReceiveCmd(), newInstallHookCmd(), newPromoteCmd(), newApproveCmd(), newListenCmd(), newWatchCmd())
	return cmd
}
