package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/druppie/druppie-up/bootstrap"
	"github.com/druppie/druppie-up/cmd/internal/cli"
	"github.com/druppie/druppie-up/conformance"
	"github.com/druppie/druppie-up/internal/text"
	"github.com/druppie/druppie-up/internal/ui"
	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/client"
	"github.com/druppie/druppie-up/tracedb/why"
)

// What historyOptions.record is where it is no record's number.
const (
	latest = -1
	none   = -2
)

type historyOptions struct {
	limit  int
	before int64
	record int64 // to show; latest: the newest; none: they are listed
	lang   string
	traceOptions
}

func newConformanceHistoryCmd(a *app) *cobra.Command {
	opts := &historyOptions{record: none}
	cmd := traceCmd(a, &cobra.Command{
		Use:   "history [RECORD | latest]",
		Short: "List the reports that the trace holds, or show one of them",
		Long: `history lists what earlier runs of conformance recorded in the platform's trace, newest first. With the
number of a record, or latest, it shows that report, in every form that conformance writes; the trace
verified its signature when it took it, and trace why record:RECORD proves that it is in the log.`,
		Example: `  druppie-up conformance history
  druppie-up conformance history latest
  druppie-up conformance history latest -o badge
  druppie-up conformance history 4711 -o html --lang nl`,
		Args:      cobra.MaximumNArgs(1),
		ValidArgs: []string{"latest"},
	}, &opts.traceOptions, bootstrap.TraceAuditor, func(_ *cobra.Command, args []string) error {
		if len(args) > 0 {
			return opts.setRecord(args[0])
		}
		return opts.checkList()
	}, func(ctx context.Context, c *client.Client) error {
		if opts.record != none {
			return showRecorded(ctx, opts, c)
		}
		page, err := recorded(ctx, c, opts.before, opts.limit)
		if err != nil {
			return err
		}
		if err := writeResult(a.Out, opts.format, page, historyView(page, opts.lang)); err != nil {
			return err
		}
		if page.Next > 0 && opts.format != formatJSON {
			a.rep.Note("there is more: add --before %d", page.Next)
		}
		return nil
	})
	f := cmd.Flags()
	f.Int64Var(&opts.before, "before", 0, "only records before this one: the next page")
	cli.Complete(cmd, "before")
	f.IntVar(&opts.limit, "limit", tracedb.DefaultPage, fmt.Sprintf("how many records, at most %d", tracedb.MaxPage))
	cli.Complete(cmd, "limit")
	reportFlags(cmd, &opts.format, &opts.lang)
	return cmd
}

// setRecord reads which record is meant.
func (o *historyOptions) setRecord(arg string) (err error) {
	if arg == "latest" {
		o.record = latest
		return nil
	}
	if o.record, err = strconv.ParseInt(arg, 10, 64); err != nil || o.record < 0 {
		return ui.Usage(fmt.Errorf("%q is neither the number of a record nor latest", arg))
	}
	return nil
}

// checkList refuses what a list can't be.
func (o *historyOptions) checkList() error {
	switch {
	case o.format != formatTable && o.format != formatJSON:
		return ui.Usage(fmt.Errorf("a list can't be written as %s: name one report, or latest", o.format))
	case o.limit < 1 || o.limit > tracedb.MaxPage:
		return ui.Usage(fmt.Errorf("--limit must be between 1 and %d", tracedb.MaxPage))
	case o.before < 0:
		return ui.Usage(errors.New("--before must be a record's number"))
	}
	return nil
}

// recorded is a page of the records of reports, newest first.
func recorded(ctx context.Context, c *client.Client, before int64, limit int) (tracedb.Page, error) {
	return c.Search(ctx, tracedb.Query{Kinds: []tracedb.Kind{tracedb.KindConformance}, Before: before, Limit: limit})
}

func historyView(page tracedb.Page, lang string) view {
	v := view{headers: []string{"record", whyWords["when"].In(lang), whyWords["outcome"].In(lang), "commit"}}
	for _, e := range page.Entries {
		commit := ""
		for _, r := range e.Refs {
			if r.Type == tracedb.RefCommit {
				commit = r.Value
			}
		}
		v.rows = append(v.rows, []string{strconv.FormatInt(e.Seq, 10), e.At.UTC().Format(time.DateTime), text.Of(why.OutcomeName(e.Outcome)).In(lang), commit})
	}
	return v
}

func showRecorded(ctx context.Context, o *historyOptions, c *client.Client) error {
	if o.record == latest {
		page, err := recorded(ctx, c, 0, 1)
		if err != nil {
			return err
		}
		if len(page.Entries) == 0 {
			return ui.WithHint(errors.New("the trace holds no report yet"), "druppie-up conformance records one")
		}
		o.record = page.Entries[0].Seq
	}
	rec, err := c.Payload(ctx, o.record)
	if err != nil {
		return err
	}
	rep, err := conformance.Attested(rec)
	if err != nil {
		return err
	}
	return writeReport(o.app, o.format, o.lang, rep)
}

// recordTimeout is how long recording a report may take, also after the run was stopped.
const recordTimeout = time.Minute

// recordReport signs a report and records it in the trace. A run in which nothing was tried isn't recorded.
func recordReport(ctx context.Context, opts *conformanceOptions, sign func(context.Context, conformance.Report) (tracedb.Draft, error), rep conformance.Report) error {
	if len(rep.Scenarios) == 0 && len(rep.Mutations) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	draft, err := sign(ctx, rep)
	if err != nil {
		return notRecorded(err)
	}
	c, err := openTrace(ctx, &traceOptions{options: opts.options}, bootstrap.TraceConformance)
	if err != nil {
		return notRecorded(err)
	}
	receipts, err := c.Record(ctx, []tracedb.Draft{draft})
	if err != nil {
		return notRecorded(err)
	}
	opts.app.rep.Note("the report is record %d of the trace", receipts[0].Seq)
	return nil
}

func notRecorded(err error) error {
	return ui.WithHint(fmt.Errorf("the report isn't recorded in the trace: %w", err), "where there is no trace, or none that you may write to, run it with --record=false")
}
