package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"github.com/druppie/druppie-up/internal/ui"
	"github.com/druppie/druppie-up/tracedb/export"
	"github.com/spf13/cobra"
)

type traceVerifyOptions struct {
	file, key string
	options
}

func newTraceVerifyCmd(a *app) *cobra.Command {
	opts := &traceVerifyOptions{options: options{app: a}}
	cmd := &cobra.Command{
		Use:   "verify FILE",
		Short: "Check an exported archive offline, with nothing but the log's public key",
		Long: `verify checks that every record of the archive is in the tree whose checkpoint the log signed, that
every payload is the one that was recorded, that every attestation is signed with a key that was in the
keyring, and that nothing else is in the archive. It names each file that isn't right, and asks nobody.
The key is the whole of what is trusted: take it from elsewhere than the archive.`,
		Example: `  druppie-up trace verify trace-alg-d1jk3vl8.zip --key checkpoint.pub
  druppie-up trace verify trace-alg-d1jk3vl8.zip --key checkpoint.pub -o json | jq '.files[] | select(.ok|not)'`,
		Args: oneArg("the FILE to verify"),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			opts.file = args[0]
			if opts.key == "" {
				return ui.WithHint(ui.Usage(errors.New("--key is missing")), "give the log's public key, or a file with it, from elsewhere than the archive")
			}
			if opts.key, err = readKey(opts.key); err != nil {
				return err
			}
			return runTraceVerify(opts)
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return []string{"zip"}, cobra.ShellCompDirectiveFilterFileExt
		},
	}
	keyFlag(cmd, &opts.key, "the log's public key, or a file with it")
	outputFlag(cmd, &opts.format)
	return cmd
}

func runTraceVerify(opts *traceVerifyOptions) error {
	f, err := os.Open(opts.file)
	if err != nil {
		return ui.Usage(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return ui.Usage(err)
	}
	if !info.Mode().IsRegular() {
		return ui.Usage(fmt.Errorf("%s isn't a file", opts.file))
	}
	report, err := export.Verify(f, info.Size(), opts.key)
	if err != nil {
		return fmt.Errorf("verify %s: %w", opts.file, err)
	}
	return errors.Join(writeResult(opts.app.Out, opts.format, report, verifyView(report)), unproven(report))
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
	return view{headers: []string{"proven", ""}, rows: [][]string{
		{"about", r.Subject.String()},
		{"log", r.Origin},
		{"records", fmt.Sprintf("%d of %d", r.Records, r.Size)},
		{"signatures of attestations", strconv.Itoa(r.Signatures)},
		{"payloads disposed of after their term", strconv.Itoa(r.Disposed)},
		{"files", strconv.Itoa(len(r.Files))},
	}}
}

// unproven is the error for an archive in which something is wrong.
func unproven(r *export.Report) error {
	if r.OK {
		return nil
	}
	var bad []string
	for _, f := range r.Files {
		if !f.OK {
			bad = append(bad, f.Name)
		}
	}
	first := ""
	if len(bad) > 0 {
		first = ", first " + bad[0]
	}
	return ui.WithHint(fmt.Errorf("the archive isn't what the log signed (files that are wrong: %d%s)", len(bad), first), "export it again; if it stays wrong, ask who changed the log")
}
