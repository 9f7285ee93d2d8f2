package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/druppie/druppie-up/cmd/foundry/internal/source"
	"github.com/druppie/druppie-up/cmd/foundry/internal/trust"
	"github.com/druppie/druppie-up/internal/ui"
)

func cloneCommand() *cobra.Command {
	var caFile, forge, repository, revision, dir string
	cmd := &cobra.Command{
		Use:   "clone",
		Short: "Put the files of one commit into an empty folder",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			url, err := source.URL(forge, repository)
			if err != nil {
				return ui.Usage(err)
			}
			if err := source.CheckRevision(revision); err != nil {
				return ui.Usage(err)
			}
			ca, err := trust.ReadCA(caFile)
			if err != nil {
				return err
			}
			commit, err := source.Checkout(cmd.Context(), source.Origin{URL: url, CA: ca}, revision, dir)
			if err != nil {
				return explain(err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s at %s\n%s <%s>: %s\n", repository, commit.Hash,
				commit.Author.Name, commit.Author.Email, firstLine(commit.Message))
			return nil
		},
	}
	f := cmd.Flags()
	caFlag(f, &caFile)
	forgeFlag(f, &forge)
	f.StringVar(&repository, "repository", "", "full name of the repository, owner/name")
	f.StringVar(&revision, "revision", "", "full hash of the commit")
	f.StringVar(&dir, "dir", "", "folder to fill; must be empty")
	return required(cmd, "ca-file", "forge", "repository", "revision", "dir")
}
