package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"

	"github.com/druppie/druppie-up/cmd/internal/cli"
	"github.com/druppie/druppie-up/internal/ui"
	"github.com/druppie/druppie-up/tracedb/client"
	"github.com/druppie/druppie-up/tracedb/export"
	"github.com/spf13/cobra"
)

func newTraceExportCmd(a *app) *cobra.Command {
	opts := &subjectOptions{}
	var file string
	cmd := subjectCmd(a, &cobra.Command{
		Use:   "export SUBJECT",
		Short: "Write everything about a subject as one archive that proves itself",
		Long: `export writes a zip with the records about a subject, the proof that they are in the log, the log's
signed checkpoint, the public keys and a report to read in a browser. It is checked before it is kept.
Years later, and without this platform, trace verify checks it with nothing but the log's public key.`,
		Example: `  druppie-up trace export alg-d1jk3vl8
  druppie-up trace export druppie/drone-service --file drone-service.zip`,
		Args: cli.Args("give the SUBJECT to export"),
	}, opts, func(ctx context.Context, c *client.Client) error {
		if file == "" {
			file = "trace-" + unsafeInName.ReplaceAllString(opts.subject.Value, "-") + ".zip"
		}
		result, err := exportTo(ctx, file, c, opts)
		if err != nil {
			return err
		}
		if !result.Verified {
			a.rep.Note("nobody checked the archive: give the log's public key with --key")
		}
		return writeResult(a.Out, opts.format, result, exportView(result))
	})
	cmd.Flags().StringVarP(&file, "file", "f", "", "file to write, which must not be there yet (default: named after the subject)")
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

// exportTo writes the archive to a file, if the archive proves itself.
func exportTo(ctx context.Context, file string, c *client.Client, opts *subjectOptions) (exported, error) {
	if _, err := os.Lstat(file); err == nil {
		return exported{}, ui.WithHint(ui.Usage(fmt.Errorf("%s is there already", file)), "name another with --file")
	}
	var archive bytes.Buffer
	if err := c.Export(ctx, opts.subject.String(), &archive); err != nil {
		return exported{}, err
	}
	result := exported{File: file, Bytes: archive.Len(), Verified: opts.key != ""}
	var err error
	if opts.key != "" {
		if result.Report, err = export.Verify(bytes.NewReader(archive.Bytes()), int64(archive.Len()), opts.key); err != nil {
			return exported{}, err
		}
		if err := unproven(result.Report); err != nil {
			return exported{}, err
		}
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err == nil {
		_, err = f.Write(archive.Bytes())
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		return exported{}, fmt.Errorf("write the archive: %w", err)
	}
	return result, nil
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
