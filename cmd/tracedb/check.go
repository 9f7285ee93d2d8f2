package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/druppie/druppie-up/cmd/internal/cli"
	"github.com/druppie/druppie-up/internal/ui"
	"github.com/druppie/druppie-up/tracedb/ingest"
	"github.com/druppie/druppie-up/tracedb/log"
)

func newCheckCmd() *cobra.Command {
	var (
		db    database
		files []string
	)
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Compute the whole log anew, and compare it with what is stored and what was signed",
		Long: `check reads every record, computes every hash of the tree, and compares: with the database, with the
facts that records give, and with checkpoints that were kept elsewhere, such as in the repository that
the service publishes them to. It changes nothing and may run beside the service.

Whoever has the database can make a new tree that agrees with itself. Only a checkpoint from elsewhere
shows that it is another one.`,
		Example: `  tracedb check --config /etc/tracedb/config.yaml --checkpoint kept.txt
  tracedb check --store sqlite:backup.db --key checkpoint.pub --checkpoint kept.txt`,
		Args: cli.Args(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			checkpoints, err := readCheckpoints(files)
			if err != nil {
				return err
			}
			return db.open(cmd.Context(), true, func(l *log.Log) error {
				report, err := l.Check(cmd.Context(), checkpoints...)
				if err != nil {
					return err
				}
				return writeCheck(cmd.OutOrStdout(), report)
			})
		},
	}
	db.flags(cmd)
	cmd.Flags().StringArrayVar(&files, "checkpoint", nil, "a signed checkpoint that the log must contain; may be given again")
	return cmd
}

// writeCheck writes what was found; faults make it an error.
func writeCheck(w io.Writer, r log.Report) error {
	for _, f := range r.Faults {
		fmt.Fprintln(w, "FAULT", f)
	}
	if r.More > 0 {
		fmt.Fprintf(w, "and %d faults more\n", r.More)
	}
	fmt.Fprintf(w, "%s: %d records, root %s\n", r.Origin, r.Size, r.Root)
	fmt.Fprintf(w, "looked at %d payloads (%d disposed of after their term), %d hashes inside the tree, %d heads, %d facts\n", r.Payloads, r.Disposed, r.Nodes, r.Heads, r.Facts)
	for _, size := range r.Checkpoints {
		fmt.Fprintf(w, "contains the checkpoint of %d records\n", size)
	}
	if n := len(r.Faults) + r.More; n > 0 {
		return ui.WithHint(fmt.Errorf("the log isn't what was written: faults: %d", n), "keep the database as it is, and compare it with backups and published checkpoints")
	}
	if len(r.Checkpoints) == 0 {
		fmt.Fprintln(w, "sound in itself; no checkpoint was given to compare it with")
		return nil
	}
	_, err := fmt.Fprintln(w, "sound")
	return err
}

func newRebuildCmd() *cobra.Command {
	var db database
	cmd := &cobra.Command{
		Use:   "rebuild",
		Short: "Derive columns, references and facts anew from the log",
		Long: `rebuild drops what is derived and derives it again from records and payloads, in one transaction. The
log itself isn't touched. Stop the service first: it keeps the facts in memory.`,
		Example: "  tracedb rebuild --config /etc/tracedb/config.yaml",
		Args:    cli.Args(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return db.open(cmd.Context(), false, func(l *log.Log) error {
				if err := l.Rebuild(cmd.Context(), ingest.Facts); err != nil {
					return err
				}
				_, err := fmt.Fprintf(cmd.OutOrStdout(), "rebuilt from %d records\n", l.Size())
				return err
			})
		},
	}
	db.flags(cmd)
	return cmd
}
