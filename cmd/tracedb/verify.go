package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/druppie/druppie-up/internal/ui"
	"github.com/druppie/druppie-up/tracedb/export"
	"github.com/spf13/cobra"
)

func newVerifyCmd() *cobra.Command {
	var key string
	cmd := &cobra.Command{
		Use:   "verify FILE",
		Short: "Check an exported archive offline, with nothing but the log's public key",
		Long: `verify checks that every record of the archive is in the tree whose signed checkpoint it carries, that
payloads and signatures fit, and names each file that doesn't. It asks nobody. The key is the whole of
what is trusted: take it from elsewhere than the archive.`,
		Example: "  tracedb verify trace-alg-7f3a9c21.zip --key checkpoint.pub",
		Args:    oneFile("the FILE to verify"),
		RunE: func(cmd *cobra.Command, args []string) error {
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
			report, err := export.Verify(f, info.Size(), verifier)
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			return writeVerified(cmd, report)
		},
	}
	cmd.Flags().StringVar(&key, "key", "", "the log's public key, or a file with it")
	return cmd
}

func writeVerified(cmd *cobra.Command, r *export.Report) error {
	out := cmd.OutOrStdout()
	bad := 0
	for _, f := range r.Files {
		if !f.OK {
			bad++
			fmt.Fprintf(out, "WRONG %s: %s\n", f.Name, f.Problem)
		}
	}
	if !r.OK {
		return ui.WithHint(fmt.Errorf("the archive isn't what the log signed: files that are wrong: %d", bad), "export it again; if it stays wrong, ask who changed the log")
	}
	_, err := fmt.Fprintf(out, "%s: %d records (%d with their payload disposed of), all in the tree of %d records that %s signed; %d signatures of attestations fit\n",
		r.Subject, r.Records, r.Disposed, r.Size, r.Origin, r.Signatures)
	return err
}
