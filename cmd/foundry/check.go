package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/druppie/druppie-up/internal/ui"
	"github.com/druppie/druppie-up/tracedb/register"
)

// checked is what check found, as -o json tells it.
type checked struct {
	Repository string              `json:"repository,omitempty"`
	Algorithm  string              `json:"algorithm,omitempty"` // id in the register
	Name       string              `json:"name,omitempty"`
	Valid      bool                `json:"valid"`
	Violations register.Violations `json:"violations"`
}

func checkCommand() *cobra.Command {
	var source, repository, algorithmResult, output string
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check " + register.File + " and the hashes of the data it names",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if output != "text" && output != "json" {
				return ui.Usage(fmt.Errorf("unknown output %q: text or json", output))
			}
			found, err := checkSource(source)
			if err != nil {
				return err
			}
			found.Repository = repository
			if err := found.write(cmd.OutOrStdout(), output); err != nil {
				return err
			}
			if n := len(found.Violations); n > 0 {
				return ui.WithHint(fmt.Errorf("%s isn't valid (violations: %d)", register.File, n),
					"each line says what would be right; try again in your own copy with: foundry check --source .")
			}
			return writeResult(algorithmResult, found.Algorithm)
		},
	}
	f := cmd.Flags()
	f.StringVar(&source, "source", "", "folder with the files of the repository")
	f.StringVar(&repository, "repository", "", "full name of the repository, owner/name, to say it along")
	f.StringVar(&algorithmResult, "algorithm-result", "", "file to write the algorithm's id to, when all is well")
	f.StringVarP(&output, "output", "o", "text", "text: one violation a line; json: everything as one object")
	return required(cmd, "source")
}

// checkSource reads nothing outside the folder, whatever links are in it.
func checkSource(source string) (checked, error) {
	root, err := os.OpenRoot(source)
	if err != nil {
		return checked{}, fmt.Errorf("open the source: %w", err)
	}
	defer root.Close()
	d, violations, err := register.ValidateTree(root.FS())
	if err != nil {
		return checked{}, fmt.Errorf("check %s: %w", register.File, err)
	}
	if violations == nil {
		violations = register.Violations{}
	}
	return checked{Algorithm: d.ID, Name: d.Register.Name, Valid: len(violations) == 0, Violations: violations}, nil
}

func (c checked) write(w io.Writer, output string) error {
	if output == "json" {
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		return enc.Encode(c)
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
