package main

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/druppie/druppie-up/cmd/foundry/internal/receive"
	"github.com/druppie/druppie-up/cmd/internal/cli"
)

// newPreReceiveCmd is git's hook of that name: what it prints, whoever pushes reads.
func newPreReceiveCmd() *cobra.Command {
	var most int64
	cmd := &cobra.Command{
		Use:   "pre-receive",
		Short: "As git's hook: refuse a push that brings more than anybody can list",
		Args:  cli.Args(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return receive.Check(cmd.Context(), os.Environ(), most)
		},
	}
	maxEntries(cmd, &most)
	return cmd
}

func maxEntries(cmd *cobra.Command, value *int64) {
	cmd.Flags().Int64Var(value, "max-entries", receive.MaxEntries, "how many files and folders a folder may hold, with those below it")
}

func newInstallHookCmd() *cobra.Command {
	var repositories, dir string
	var most int64
	cmd := &cobra.Command{
		Use:     "install-hook",
		Short:   "Put the hook pre-receive into Gitea's repositories",
		Args:    cli.Args(),
		PreRunE: checkRequired,
		RunE:    func(*cobra.Command, []string) error { return receive.Install(repositories, dir, most) },
	}
	require(cmd, &repositories, "repositories", "folder with the repositories, owner/name.git")
	maxEntries(cmd, &most)
	require(cmd, &dir, "dir", "folder for this program and git's template of new repositories")
	return cmd
}
