// Package cli is what the platform's commands have in common: how their command lines are read and refused, and
// how they write JSON. It owns no command, and refuses to know what one does.
package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/druppie/druppie-up/internal/ui"
	"github.com/spf13/cobra"
)

// Root finishes the command that stands for a whole program, whose main writes its errors itself.
func Root(cmd *cobra.Command, streams ui.Streams) *cobra.Command {
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetIn(streams.In)
	cmd.SetOut(streams.Out)
	cmd.SetErr(streams.Err)
	return Parent(cmd)
}

// Parent finishes a command that has subcommands only: alone it shows its help, and an unknown one is an
// error that names similar ones.
func Parent(cmd *cobra.Command) *cobra.Command {
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		err := fmt.Errorf("unknown command %q for %q", args[0], cmd.CommandPath())
		if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
			return ui.WithHint(err, "did you mean "+strings.Join(near, ", ")+"?")
		}
		return err
	}
	cmd.SuggestionsMinimumDistance = 2
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return cmd.Help() }
	return cmd
}

// Refused is the error of a command line that cobra refused, before anything was done.
func Refused(cmd *cobra.Command, err error) error {
	err = ui.Usage(err)
	if ui.Hint(err) == "" {
		err = ui.WithHint(err, fmt.Sprintf("see %s --help", cmd.CommandPath()))
	}
	return err
}

// Args takes as many arguments as there are texts, each of which is the error where that argument is missing.
func Args(missing ...string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		switch {
		case len(args) < len(missing):
			return ui.Usage(errors.New(missing[len(args)]))
		case len(args) > len(missing):
			return ui.Usage(fmt.Errorf("unexpected argument %q", args[len(missing)]))
		}
		return nil
	}
}

// JSON writes a result for programs.
func JSON(w io.Writer, result any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(result); err != nil {
		return fmt.Errorf("write result: %w", err)
	}
	return nil
}
