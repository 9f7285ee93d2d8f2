package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/druppie/druppie-up/bootstrap"
	"github.com/druppie/druppie-up/cmd/internal/cli"
	"github.com/druppie/druppie-up/internal/text"
	"github.com/druppie/druppie-up/internal/ui"
	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/catalog"
	"github.com/druppie/druppie-up/tracedb/client"
	"github.com/druppie/druppie-up/tracedb/register"
	"github.com/spf13/cobra"
)

func newTraceRegisterCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "register",
		Short: "Read the AI register, and check an entry before it is committed",
		Long: `The register holds an entry for every service, which comes from the algorithm.yaml in its repository.
It is public: no token is needed to read it. grant and revoke are for the CISO.`,
		Example: `  druppie-up trace register list
  druppie-up trace register show alg-d1jk3vl8
  druppie-up trace register validate algorithm.yaml`,
	}
	cmd.AddCommand(newTraceRegisterListCmd(a), newTraceRegisterShowCmd(a), newTraceRegisterExportCmd(a), newTraceRegisterValidateCmd(a),
		newTraceRegisterGrantCmd(a), newTraceRegisterRevokeCmd(a))
	return cli.Parent(cmd)
}

// traceRegisterOptions are those of every command about the register.
type traceRegisterOptions struct {
	id string
	traceOptions
}

// registerCmd finishes a command about the register, which asks the trace as an account.
func registerCmd(a *app, cmd *cobra.Command, opts *traceRegisterOptions, account string, run func(context.Context, *client.Client) error) *cobra.Command {
	return traceCmd(a, cmd, &opts.traceOptions, account, func(_ *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		opts.id = args[0]
		if err := (tracedb.Ref{Type: tracedb.RefAlgorithm, Value: opts.id}).Check(); err != nil {
			return ui.WithHint(ui.Usage(fmt.Errorf("%q isn't the id of an algorithm: %w", opts.id, err)), "druppie-up trace register list shows those that there are")
		}
		return nil
	}, run)
}

func newTraceRegisterListCmd(a *app) *cobra.Command {
	opts := &traceRegisterOptions{}
	cmd := registerCmd(a, &cobra.Command{
		Use:     "list",
		Short:   "List the entries of the register",
		Example: `  druppie-up trace register list`,
		Args:    cli.Args(),
	}, opts, bootstrap.TraceAuditor, func(ctx context.Context, c *client.Client) error {
		all, err := c.Register(ctx)
		if err != nil {
			return err
		}
		v := view{headers: []string{"id", "name", "category", "status", "may run", "repository"}}
		for _, x := range all {
			v.rows = append(v.rows, []string{x.ID, x.Document.Register.Name, x.Document.Register.PublicationCategory, x.Document.Register.Status, yes(x.MayRun), x.Repository})
		}
		return writeResult(a.Out, opts.format, all, v)
	})
	outputFlag(cmd, &opts.format)
	return cmd
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// shown is an entry with its history.
type shown struct {
	catalog.Algorithm
	Versions []catalog.Version `json:"versions"`
}

func newTraceRegisterShowCmd(a *app) *cobra.Command {
	opts := &traceRegisterOptions{}
	cmd := registerCmd(a, &cobra.Command{
		Use:     "show ID",
		Short:   "Show an entry of the register, and the versions that it had",
		Example: `  druppie-up trace register show alg-d1jk3vl8`,
		Args:    cli.Args("give the ID of an algorithm"),
	}, opts, bootstrap.TraceAuditor, func(ctx context.Context, c *client.Client) error {
		entry, err := c.Algorithm(ctx, opts.id)
		if err != nil {
			return err
		}
		versions, err := c.Versions(ctx, opts.id)
		if err != nil {
			return err
		}
		return writeResult(a.Out, opts.format, shown{entry, versions}, registerView(entry, versions))
	})
	outputFlag(cmd, &opts.format)
	return cmd
}

// registerView shows every field of the entry that says something, by the names of the file.
func registerView(x catalog.Algorithm, versions []catalog.Version) view {
	v := view{headers: []string{"field", "value"}}
	add := func(name, value string) {
		if value != "" {
			v.rows = append(v.rows, []string{name, value})
		}
	}
	_, reason, _ := x.Document.MayRun()
	add("id", x.ID)
	add("repository", x.Repository)
	add("commit", x.Commit)
	add("may run", strings.TrimSuffix(yes(x.MayRun)+", "+reason.EN, ", "))
	r, p := x.Document.Register, x.Document.AIActProfile
	for _, f := range []struct{ name, value string }{
		{"name", r.Name}, {"description_short", r.DescriptionShort}, {"organization", r.Organization}, {"status", r.Status},
		{"publication_category", r.PublicationCategory}, {"contact_email", r.ContactEmail}, {"begin_date", r.BeginDate}, {"end_date", r.EndDate},
		{"goal", r.Goal}, {"proportionality", r.Proportionality}, {"human_intervention", r.HumanIntervention}, {"risks", r.Risks},
		{"impacttoetsen", r.Impacttoetsen}, {"source_data", r.SourceData}, {"methods_and_models", r.MethodsAndModels}, {"provider", r.Provider},
		{"ai_act_profile.type", p.Type}, {"ai_act_profile.risk_group", p.RiskGroup}, {"ai_act_profile.role", strings.Join(p.Role, ", ")},
	} {
		add(f.name, f.value)
	}
	for _, old := range versions {
		add("version of "+old.Time.UTC().Format(time.DateTime), fmt.Sprintf("%s, commit %.10s, record %d", old.Document.Register.Status, old.Commit, old.Seq))
	}
	return v
}

func newTraceRegisterExportCmd(a *app) *cobra.Command {
	opts := &traceRegisterOptions{}
	return registerCmd(a, &cobra.Command{
		Use:   "export ID",
		Short: "Write an entry as JSON in the shape of the Algoritmeregister's delivery API",
		Example: `  druppie-up trace register export alg-d1jk3vl8
  druppie-up trace register export alg-d1jk3vl8 | jq .name`,
		Args: cli.Args("give the ID of an algorithm"),
	}, opts, bootstrap.TraceAuditor, func(ctx context.Context, c *client.Client) error {
		delivery, err := c.Delivery(ctx, opts.id)
		if err != nil {
			return err
		}
		return cli.JSON(a.Out, delivery)
	})
}

func newTraceRegisterValidateCmd(a *app) *cobra.Command {
	var lang, format string
	cmd := &cobra.Command{
		Use:   "validate FILE",
		Short: "Check an algorithm.yaml as the pipeline will",
		Long: `validate holds an algorithm.yaml against every rule, and says for each that is broken where, and what
would be right. Given the folder of a repository instead of a file it also hashes the data that the
entry names. It asks nobody.`,
		Example: `  druppie-up trace register validate algorithm.yaml
  druppie-up trace register validate . --lang nl`,
		Args: cli.Args("give the FILE to validate"),
		RunE: func(_ *cobra.Command, args []string) error {
			d, violations, err := validate(args[0])
			if err != nil {
				return ui.Usage(err)
			}
			if format == formatJSON {
				err = cli.JSON(a.Out, newValidated(d, violations))
			} else {
				err = writeViolations(a.Out, d, violations, lang)
			}
			if n := len(violations); n > 0 && err == nil {
				err = ui.WithHint(fmt.Errorf("%s isn't valid (violations: %d)", args[0], n), "each line says what would be right")
			}
			return err
		},
	}
	langFlag(cmd, &lang)
	outputFlag(cmd, &format)
	return cmd
}

// validated is what was found about a file.
type validated struct {
	ID         string              `json:"id,omitempty"`
	Name       string              `json:"name,omitempty"`
	Valid      bool                `json:"valid"`
	Violations register.Violations `json:"violations"`
}

func newValidated(d register.Document, violations register.Violations) validated {
	if violations == nil {
		violations = register.Violations{}
	}
	return validated{ID: d.ID, Name: d.Register.Name, Valid: len(violations) == 0, Violations: violations}
}

// writeViolations lists what is wrong, or says that nothing is.
func writeViolations(w io.Writer, d register.Document, violations register.Violations, lang string) error {
	for _, v := range violations {
		if _, err := fmt.Fprintln(w, ui.OneLine(text.Of(v.String(), v.Dutch()).In(lang))); err != nil {
			return err
		}
	}
	if len(violations) > 0 {
		return nil
	}
	_, err := fmt.Fprintf(w, "%s is valid: %s, %s\n", register.File, ui.OneLine(d.ID), ui.OneLine(d.Register.Name))
	return err
}

// validate reads a file, or the file in a folder together with the data that it names.
func validate(name string) (register.Document, register.Violations, error) {
	info, err := os.Stat(name)
	if err != nil {
		return register.Document{}, nil, err
	}
	if info.IsDir() {
		return register.ValidateFolder(name)
	}
	if info.Size() > register.MaxSize {
		return register.Document{}, nil, fmt.Errorf("%s has %d bytes, an entry at most %d", name, info.Size(), register.MaxSize)
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return register.Document{}, nil, err
	}
	d, violations := register.Validate(text)
	return d, violations, nil
}
