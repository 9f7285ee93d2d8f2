package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/druppie/druppie-up/cmd/foundry/internal/source"
)

func newCloneCmd() *cobra.Command {
	var s step
	var dir string
	cmd := newStep(&s, "clone", "Put the files of one commit into an empty folder", func(ctx context.Context, out io.Writer) error {
		commit, err := source.Checkout(ctx, s.remote, s.revision, dir)
		if err != nil {
			return err
		}
		subject, _, _ := strings.Cut(strings.TrimSpace(commit.Message), "\n")
		fmt.Fprintf(out, "%s at %s\n%s <%s>: %s\n", s.repository, commit.Hash, commit.Author.Name, commit.Author.Email, subject)
		return nil
	})
	s.flags(cmd, "ca-file", "forge", "repository", "revision")
	require(cmd, &dir, "dir", "folder to fill; must be empty")
	return cmd
}
