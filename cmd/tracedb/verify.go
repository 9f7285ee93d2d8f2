package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

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
		Args: exactArgs("the FILE to verify"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if format != "text" && format != "json" {
				return ui.Usage(fmt.Errorf("--output must be text or json, not %q", format))
			}
			if key == "" {
				return ui.WithHint(ui.Usage(errors.New("--key is missing")), "give the log's public key, from elsewhere than the archive")
			}
			verifier, err := readVerifier(key)
			if err != nil {
				return err
			}
			f, err := os.Open(args[0])
			if err != nil {
				return ui.Usage(err)
			}
			defer f.Close()
			info, err := f.Stat()
			if err != nil {
				return err
			}
			if !info.Mode().IsRegular() {
				return ui.Usage(fmt.Errorf("%s isn't a file", args[0]))
			}
			report, err := export.Verify(f, info.Size(), verifier)
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			if format == "json" {
				enc := json.NewEncoder(cmd.OutOrStdout())
				enc.SetIndent("", "  ")
				err = enc.Encode(report)
			} else {
				err = writeVerified(cmd.OutOrStdout(), report)
			}
			if report.OK {
				return err
			}
			wrong := 0
			for _, f := range report.Files {
				if !f.OK {
					wrong++
				}
			}
			return errors.Join(err, ui.WithHint(fmt.Errorf("the archive isn't what the log signed: files that are wrong: %d", wrong), "export it again; if it stays wrong, ask who changed the log"))
		},
	}
	cmd.Flags().StringVar(&key, "key", "", "the log's public key, or a file with it")
	cmd.Flags().StringVarP(&format, "output", "o", "text", "how to write the result: text or json")
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
	_, err := fmt.Fprintf(w, "%s: %d records (%d with their payload disposed of), all in the tree of %d records that %s signed; %d signatures of attestations fit\n",
		r.Subject, r.Records, r.Disposed, r.Size, r.Origin, r.Signatures)
	return err
}
