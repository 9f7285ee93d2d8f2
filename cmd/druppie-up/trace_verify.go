package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/druppie/druppie-up/cmd/internal/cli"
	"github.com/druppie/druppie-up/internal/ui"
	"github.com/druppie/druppie-up/tracedb/export"
	"github.com/spf13/cobra"
)

func newTraceVerifyCmd(a *app) *cobra.Command {
	var key, format string
	cmd := &cobra.Command{
		Use:   "verify FILE",
		Short: "Check an exported archive offline, with nothing but the log's public key",
		Long: `verify checks that every record of the archive is in the tree whose checkpoint the log signed, that
every payload is the one that was recorded, that every attestation is signed with a key that was in the
keyring, and that nothing else is in the archive. It names each file that isn't right, and asks nobody.
The key is the whole of what is trusted: take it from elsewhere than the archive.`,
		Example: `  druppie-up trace verify trace-alg-d1jk3vl8.zip --key checkpoint.pub
  druppie-up trace verify trace-alg-d1jk3vl8.zip --key checkpoint.pub -o json | jq '.files[] | select(.ok|not)'`,
		Args: cli.Args("give the FILE to verify"),
		RunE: func(_ *cobra.Command, args []string) error {
			if key == "" {
				return ui.WithHint(ui.Usage(errors.New("--key is missing")), "give the log's public key, or a file with it, from elsewhere than the archive")
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
				return fmt.Errorf("verify %s: %w", args[0], err)
			}
			return errors.Join(writeResult(a.Out, format, report, verifyView(report)), unproven(report))
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return []string{"zip"}, cobra.ShellCompDirectiveFilterFileExt
		},
	}
	cmd.Flags().StringVar(&key, "key", "", "the log's public key, or a file with it")
	outputFlag(cmd, &format)
	return cmd
}

// verifyView lists what is wrong, or says what was proven.
func verifyView(r *export.Report) view {
	if !r.OK {
		v := view{headers: []string{"file", "what is wrong"}}
		for _, f := range r.Files {
			if !f.OK {
				v.rows = append(v.rows, []string{f.Name, f.Problem})
			}
		}
		return v
	}
	v := view{headers: []string{"proven", ""}, rows: [][]string{
		{"about", r.Subject.String()},
		{"log", r.Origin},
		{"records", fmt.Sprintf("%d of %d", r.Records, r.Size)},
		{"signatures of attestations", strconv.Itoa(r.Signatures)},
		{"payloads disposed of after their term", strconv.Itoa(r.Disposed)},
		{"files", strconv.Itoa(len(r.Files))},
	}}
	if len(r.NotCompared) > 0 {
		v.rows = append(v.rows, []string{"NOT compared with the records, since another version worded it", strings.Join(r.NotCompared, ", ")})
	}
	return v
}

// unproven is the error for an archive in which something is wrong.
func unproven(r *export.Report) error {
	return ui.WithHint(r.Err(), "export it again; if it stays wrong, ask who changed the log")
}
