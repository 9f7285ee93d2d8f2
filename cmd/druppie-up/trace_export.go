package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"

	"github.com/druppie/druppie-up/bootstrap"
	"github.com/druppie/druppie-up/internal/ui"
	"github.com/druppie/druppie-up/tracedb/export"
	"github.com/druppie/druppie-up/tracedb/why"
	"github.com/spf13/cobra"
)

type traceExportOptions struct {
	file, subject string
	traceOptions
}

func newTraceExportCmd(a *app) *cobra.Command {
	opts := &traceExportOptions{}
	opts.app = a
	cmd := &cobra.Command{
		Use:   "export SUBJECT",
		Short: "Write everything about a subject as one archive that proves itself",
		Long: `export writes a zip with the records about a subject, the proof that they are in the log, the log's
signed checkpoint, the public keys and a report to read in a browser. It is checked before it is kept.
Years later, and without this platform, trace verify checks it with nothing but the log's public key.`,
		Example: `  druppie-up trace export alg-d1jk3vl8
  druppie-up trace export druppie/drone-service --file drone-service.zip`,
		Args: oneArg("the SUBJECT to export"),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			opts.subject = args[0]
			ref, err := why.Subject(opts.subject)
			if err != nil {
				return withTraceHint(err)
			}
			if opts.file == "" {
				opts.file = "trace-" + unsafeInName.ReplaceAllString(ref.Value, "-") + ".zip"
			}
			if opts.key, err = readKey(opts.key); err != nil {
				return err
			}
			if err := checkTraceOptions(cmd, &opts.traceOptions); err != nil {
				return err
			}
			return runTraceExport(cmd.Context(), opts)
		},
	}
	traceFlags(cmd, &opts.traceOptions)
	keyFlag(cmd, &opts.key, "the log's public key, or a file with it (default: as the cluster has it, not the trace)")
	cmd.Flags().StringVarP(&opts.file, "file", "f", "", "file to write, which must not be there yet (default: named after the subject)")
	outputFlag(cmd, &opts.format)
	return cmd
}

var unsafeInName = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

// exported is the result of an export.
type exported struct {
	File     string         `json:"file"`
	Bytes    int            `json:"bytes"`
	Verified bool           `json:"verified"` // false: there was no key to verify it with
	Report   *export.Report `json:"report,omitempty"`
}

func runTraceExport(ctx context.Context, opts *traceExportOptions) error {
	c, key, err := openTrace(ctx, &opts.traceOptions, bootstrap.TraceAuditor)
	if err != nil {
		return err
	}
	if _, err := os.Lstat(opts.file); err == nil {
		return ui.WithHint(ui.Usage(fmt.Errorf("%s is there already", opts.file)), "name another with --file")
	}
	var archive bytes.Buffer
	if err := c.Export(ctx, opts.subject, &archive); err != nil {
		return withTraceHint(err)
	}
	result := exported{File: opts.file, Bytes: archive.Len()}
	if key != "" {
		if result.Report, err = export.Verify(bytes.NewReader(archive.Bytes()), int64(archive.Len()), key); err != nil {
			return err
		}
		if err := unproven(result.Report); err != nil {
			return err
		}
		result.Verified = true
	}
	f, err := os.OpenFile(opts.file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err == nil {
		_, err = f.Write(archive.Bytes())
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		return fmt.Errorf("write the archive: %w", err)
	}
	if !result.Verified {
		opts.app.rep.Note("nobody checked the archive: give the log's public key with --key")
	}
	return writeResult(opts.app.Out, opts.format, result, exportView(result))
}

func exportView(x exported) view {
	records := ""
	if x.Report != nil {
		records = strconv.Itoa(x.Report.Records)
	}
	return view{
		headers: []string{"file", "bytes", "records", "verified"},
		rows:    [][]string{{x.File, strconv.Itoa(x.Bytes), records, yes(x.Verified)}},
	}
}
