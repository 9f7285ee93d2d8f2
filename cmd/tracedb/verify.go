package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/druppie/druppie-up/cmd/internal/cli"
	"github.com/druppie/druppie-up/internal/ui"
	"github.com/druppie/druppie-up/tracedb/export"
)

func newVerifyCmd() *cobra.Command {
	var key, format string
	cmd := &cobra.Command{
		Use:   "verify FILE",
		Short: "Check an exported archive offline, with nothing but the log's public key",
		Long: `verify checks that every record of the archive is in the tree whose signed checkpoint it carries, that
payloads and signatures fit, and names each file that doesn't. It asks nobody. The key is the whole of
what is trusted: take it from elsewhere than the archive.`,
		Example: `  tracedb verify trace-alg-7f3a9c21.zip --key checkpoint.pub
  tracedb verify trace-alg-7f3a9c21.zip --key checkpoint.pub -o json`,
		Args: cli.Args("the FILE to verify is missing"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if key == "" {
				return ui.WithHint(ui.Usage(errors.New("--key is missing")), "give the log's public key, from elsewhere than the archive")
			}
			verifier, err := cli.LogKey(key)
			if err != nil {
				return err
			}
			f, size, err := cli.OpenFile(args[0])
			if err != nil {
				return err
			}
			defer f.Close()
			report, err := export.Verify(f, size, verifier)
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			if format == "json" {
				err = cli.JSON(cmd.OutOrStdout(), report)
			} else {
				err = writeVerified(cmd.OutOrStdout(), report)
			}
			return errors.Join(err, ui.WithHint(report.Err(), "export it again; if it stays wrong, ask who changed the log"))
		},
	}
	cmd.Flags().StringVar(&key, "key", "", "the log's public key, or a file with it")
	cli.Choice(cmd, &format, "output", "o", "how to write the result", "text", "json")
	return cmd
}

// writeVerified lists what is wrong, or says what was proven.
func writeVerified(w io.Writer, r *export.Report) error {
	for _, f := range r.Files {
		if !f.OK {
			fmt.Fprintf(w, "WRONG %s: %s\n", f.Name, f.Problem)
		}
	}
	if !r.OK {
		return nil
	}
	if len(r.NotCompared) > 0 {
		fmt.Fprintf(w, "NOT compared with the records, since another version worded it: %s\n", strings.Join(r.NotCompared, ", "))
	}
	_, err := fmt.Fprintf(w, "%s: %d records (%d with their payload disposed of), all in the tree of %d records that %s signed; %d signatures of attestations fit\n",
		r.Subject, r.Records, r.Disposed, r.Size, r.Origin, r.Signatures)
	return err
}
