package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/druppie/druppie-up/cmd/internal/cli"
	"github.com/druppie/druppie-up/internal/ui"
	"github.com/druppie/druppie-up/tracedb/register"
)

// checkResult is what check found, as -o json prints it.
type checkResult struct {
	Repository string              `json:"repository,omitempty"`
	Algorithm  string              `json:"algorithm,omitempty"` // id in the register
	Name       string              `json:"name,omitempty"`
	Valid      bool                `json:"valid"`
	Violations register.Violations `json:"violations"`
}

func newCheckCmd() *cobra.Command {
	var source, repository, algorithmResult, output string
	cmd := &cobra.Command{
		Use:     "check",
		Short:   "Check " + register.File + " and the hashes of the data it names",
		Args:    cli.Args(),
		PreRunE: checkRequired,
		RunE: func(cmd *cobra.Command, _ []string) error {
			result, err := checkSource(source)
			if err != nil {
				return err
			}
			result.Repository = repository
			if err := result.write(cmd.OutOrStdout(), output); err != nil {
				return err
			}
			if n := len(result.Violations); n > 0 {
				return ui.WithHint(fmt.Errorf("%s isn't valid (violations: %d)", register.File, n),
					"each line says what would be right; try again in your own copy with: foundry check --source .")
			}
			return writeResult(algorithmResult, result.Algorithm)
		},
	}
	require(cmd, &source, "source", "folder with the files of the repository")
	f := cmd.Flags()
	f.StringVar(&repository, "repository", "", "full name of the repository, owner/name, to print with the result")
	f.StringVar(&algorithmResult, "algorithm-result", "", "file to write the algorithm's id to, when all is well")
	cli.Choice(cmd, &output, "output", "o", "text: one violation a line; json: everything as one object", "text", "json")
	return cmd
}

// checkSource checks the entry and the data in a folder.
func checkSource(source string) (checkResult, error) {
	d, violations, err := register.ValidateFolder(source)
	if err != nil {
		return checkResult{}, fmt.Errorf("check %s: %w", register.File, err)
	}
	if violations == nil {
		violations = register.Violations{}
	}
	return checkResult{Algorithm: d.ID, Name: d.Register.Name, Valid: len(violations) == 0, Violations: violations}, nil
}

func (c checkResult) write(w io.Writer, output string) error {
	if output == "json" {
		return cli.JSON(w, c)
	}
	if !c.Valid {
		_, err := fmt.Fprintln(w, c.Violations.Error())
		return err
	}
	of := ""
	if c.Repository != "" {
		of = " of " + c.Repository
	}
	_, err := fmt.Fprintf(w, "%s%s is valid: %s, %s\n", register.File, of, c.Algorithm, c.Name)
	return err
}
