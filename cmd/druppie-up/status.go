package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/druppie/druppie-up/bootstrap"
	"github.com/druppie/druppie-up/internal/ui"
	"github.com/spf13/cobra"
)

func newStatusCmd(a *app) *cobra.Command {
	opts := &options{app: a}
	cmd := command(&cobra.Command{
		Use:   "status",
		Short: "Show what is up, what isn't and why, and the last pipeline runs",
		Long: `status looks and changes nothing. It fails when the platform isn't there or not ready, so that
scripts can ask.`,
		Example: `  druppie-up status
  druppie-up status -o json`,
	}, &opts.Options, func(ctx context.Context) error {
		s, err := bootstrap.GetStatus(ctx, opts.Options)
		if err != nil {
			return err
		}
		return errors.Join(writeResult(opts.app.Out, opts.format, s, statusView(s)), unready(s))
	})
	nameFlag(cmd, &opts.Options)
	outputFlag(cmd, &opts.format)
	return cmd
}

// unready is the error that tells scripts by the exit code what the result tells people.
func unready(s bootstrap.Status) error {
	switch {
	case s.Ready:
		return nil
	case s.State == "running":
		return ui.WithHint(fmt.Errorf("platform %s is not ready", s.Name), "see the messages above; druppie-up up"+nameArg(s.Name)+" puts back what is missing")
	}
	return ui.WithHint(fmt.Errorf("platform %s is %s", s.Name, s.State), "bring it up with druppie-up up"+nameArg(s.Name))
}
