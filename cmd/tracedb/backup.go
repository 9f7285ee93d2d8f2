package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/druppie/druppie-up/cmd/internal/cli"
	"github.com/druppie/druppie-up/internal/ui"
	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/log"
)

// stream stands for standard output and input where a file is named.
const stream = "-"

func newBackupCmd() *cobra.Command {
	var db database
	cmd := &cobra.Command{
		Use:   "backup FILE|-",
		Short: "Copy the log, as it is at one moment, while the service goes on",
		Long: `backup writes a copy of an SQLite log to FILE, which must not be there, or with - to standard output.
The copy holds everything that was acknowledged before it began. PostgreSQL has pg_dump for that.

What goes to standard output is made in a file first, where TMPDIR says, which needs that much room.`,
		Example: `  tracedb backup /backup/trace.db --config /etc/tracedb/config.yaml
  tracedb backup - --config /etc/tracedb/config.yaml`,
		Args: cli.Args("the FILE to write is missing"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if args[0] == stream {
				return db.open(cmd.Context(), true, func(l *log.Log) error { return streamBackup(cmd.Context(), l, cmd.OutOrStdout()) })
			}
			if there(args[0]) {
				return ui.WithHint(ui.Usage(fmt.Errorf("%s is there already", args[0])), "a backup overwrites nothing: choose another name")
			}
			return db.open(cmd.Context(), true, func(l *log.Log) error {
				if err := l.Backup(cmd.Context(), args[0]); err != nil {
					return err
				}
				_, err := fmt.Fprintf(cmd.OutOrStdout(), "wrote %s\n", args[0])
				return err
			})
		},
	}
	db.flags(cmd)
	return cmd
}

func there(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// streamBackup writes a backup and nothing else.
func streamBackup(ctx context.Context, l *log.Log, out io.Writer) (err error) {
	dir, err := os.MkdirTemp("", "tracedb-backup-")
	if err != nil {
		return fmt.Errorf("back up: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	file := filepath.Join(dir, "trace.db")
	if err := l.Backup(ctx, file); err != nil {
		return err
	}
	f, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("back up: %w", err)
	}
	defer f.Close()
	if _, err := io.Copy(out, f); err != nil {
		return fmt.Errorf("back up: %w", err)
	}
	return nil
}

func newRestoreCmd() *cobra.Command {
	var (
		db        database
		files     []string
		unchecked bool
		replace   bool
	)
	cmd := &cobra.Command{
		Use:   "restore FILE|-",
		Short: "Put a backup in the place of a log that is gone",
		Long: `restore reads a backup from FILE, or with - from standard input, checks it as check does, also against
the newest checkpoint that was kept elsewhere, and puts it where the configuration has the database. A
backup that is older than the checkpoint lacks records that were acknowledged, and is refused.

It overwrites nothing. With --replace a database that is there is moved aside first, under its name and
the time; stop the service before.`,
		Example: `  tracedb restore /backup/trace.db --config /etc/tracedb/config.yaml --checkpoint kept.txt
  tracedb restore - --replace --config /etc/tracedb/config.yaml --checkpoint kept.txt`,
		Args: cli.Args("the FILE to restore is missing"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(files) == 0 && !unchecked {
				return ui.WithHint(ui.Usage(errors.New("--checkpoint is missing")), "take the newest one from the repository of checkpoints; without any, say --no-checkpoint, and nobody can tell whether records are missing")
			}
			if len(files) > 0 && unchecked {
				return ui.Usage(errors.New("--checkpoint and --no-checkpoint exclude each other"))
			}
			checkpoints, err := readCheckpoints(files)
			if err != nil {
				return err
			}
			o, err := db.options(true)
			if err != nil {
				return err
			}
			backup := cmd.InOrStdin()
			if args[0] != stream {
				f, err := os.Open(args[0])
				if err != nil {
					return ui.Usage(fmt.Errorf("restore: %w", err))
				}
				defer f.Close()
				backup = f
			}
			aside := ""
			if replace {
				aside = time.Now().UTC().Format(".before-20060102T150405Z")
			}
			report, err := log.Restore(cmd.Context(), backup, o, aside, checkpoints...)
			path := strings.TrimPrefix(o.DSN, "sqlite:")
			if err != nil {
				for _, f := range report.Faults {
					fmt.Fprintln(cmd.OutOrStdout(), "FAULT", f)
				}
				if there(path) && !replace {
					err = ui.WithHint(err, "stop the service, and say --replace to move that aside")
				}
				return err
			}
			if replace && there(path+aside) {
				fmt.Fprintf(cmd.OutOrStdout(), "moved what was there to %s\n", path+aside)
			}
			return writeCheck(cmd.OutOrStdout(), report)
		},
	}
	db.flags(cmd)
	cmd.Flags().StringArrayVar(&files, "checkpoint", nil, "a signed checkpoint that the backup must contain; may be given again")
	cmd.Flags().BoolVar(&unchecked, "no-checkpoint", false, "there is none: restore what the backup has")
	cmd.Flags().BoolVar(&replace, "replace", false, "move a database that is there aside")
	return cmd
}

func newDisposeCmd() *cobra.Command {
	var (
		db  database
		dry bool
	)
	cmd := &cobra.Command{
		Use:   "dispose",
		Short: "Delete payloads whose term is over, and record that",
		Long: `dispose deletes the payloads of records that are older than their kind's term; the records themselves,
with the payloads' hashes, stay for ever, and each deletion is a record of its own. The service does
this by itself once a day; --dry-run shows the terms and what would be due. Terms go on while something
is recorded: a clock that is ahead of the newest record by more than a few days counts for nothing.`,
		Example: `  tracedb dispose --config /etc/tracedb/config.yaml --dry-run
  tracedb dispose --config /etc/tracedb/config.yaml`,
		Args: cli.Args(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return db.open(cmd.Context(), dry, func(l *log.Log) error {
				now, err := l.Reckoned(cmd.Context(), time.Now())
				if err != nil {
					return err
				}
				if dry {
					return showDue(cmd, l, now)
				}
				receipts, err := l.Dispose(cmd.Context(), now)
				for _, r := range receipts {
					fmt.Fprintf(cmd.OutOrStdout(), "recorded the disposal as record %d\n", r.Seq)
				}
				if err == nil && len(receipts) == 0 {
					fmt.Fprintln(cmd.OutOrStdout(), "nothing was due")
				}
				return err
			})
		},
	}
	db.flags(cmd)
	cmd.Flags().BoolVar(&dry, "dry-run", false, "change nothing")
	return cmd
}

// showDue lists, for each kind with a term, whether records older than it still have payloads.
func showDue(cmd *cobra.Command, l *log.Log, now time.Time) error {
	out := cmd.OutOrStdout()
	for _, info := range tracedb.Kinds() {
		if info.Term == 0 {
			continue
		}
		page, err := l.Search(cmd.Context(), tracedb.Query{Kinds: []tracedb.Kind{info.Kind}, Until: now.Add(-info.Term), Limit: tracedb.MaxPage})
		if err != nil {
			return err
		}
		due, more := 0, ""
		if page.Next > 0 {
			more = " or more"
		}
		for _, e := range page.Entries {
			switch _, err := l.Payload(cmd.Context(), e.Seq); {
			case err == nil:
				due++
			case !errors.Is(err, tracedb.ErrDisposed):
				return err
			}
		}
		fmt.Fprintf(out, "%-12s %4d days  due: %d%s\n", info.Kind, int(info.Term.Hours()/24), due, more)
	}
	return nil
}
