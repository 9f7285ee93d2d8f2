package main

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/druppie/druppie-up/cmd/foundry/internal/receive"
	"github.com/druppie/druppie-up/cmd/internal/cli"
)

// newPreReceiveCmd is git's hook of that name: what it prints, whoever pushes reads.
func newPreReceiveCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "pre-receive",
		Short: "As git's hook: refuse a push that brings more than anybody can list",
		Args:  cli.Args(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return receive.Check(cmd.Context(), os.Environ())
		},
	}
}

func newInstallHookCmd() *cobra.Command {
	var repositories, dir string
	cmd := &cobra.Command{
		Use:     "install-hook",
		Short:   "Put the hook pre-receive into Gitea's repositories",
		Args:    cli.Args(),
		PreRunE: checkRequired,
		RunE:    func(*cobra.Command, []string) error { return receive.Install(repositories, dir) },
	}
	require(cmd, &repositories, "repositories", "folder with the repositories, owner/name.git")
	require(cmd, &dir, "dir", "folder for this program and git's template of new repositories")
	return cmd
}
