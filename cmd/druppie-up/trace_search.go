package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/druppie/druppie-up/bootstrap"
	"github.com/druppie/druppie-up/cmd/internal/cli"
	"github.com/druppie/druppie-up/internal/text"
	"github.com/druppie/druppie-up/internal/ui"
	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/client"
	"github.com/druppie/druppie-up/tracedb/why"
	"github.com/spf13/cobra"
)

type traceSearchOptions struct {
	lang, service, outcome, from, until string
	kinds, refs                         []string
	query                               tracedb.Query
	traceOptions
}

func newTraceSearchCmd(a *app) *cobra.Command {
	opts := &traceSearchOptions{}
	cmd := traceCmd(a, &cobra.Command{
		Use:   "search",
		Short: "Search the log, newest first",
		Long: `search finds records by when they were taken, their kind, who did what they record, how that ended, and
what they are about. What isn't said doesn't restrict. The next page is asked for with --before.`,
		Example: `  druppie-up trace search --kind admission --outcome denied
  druppie-up trace search --service druppie/drone-service --from 2026-02-01 --limit 200
  druppie-up trace search --ref image:sha256:0000000000000000000000000000000000000000000000000000000000000000 -o json`,
		Args: cli.Args(),
	}, &opts.traceOptions, bootstrap.TraceAuditor, func(cmd *cobra.Command, _ []string) error {
		if cmd.Flags().Changed("before") && opts.query.Before < 1 {
			return ui.Usage(errors.New("--before must be a record's number, from 1"))
		}
		return opts.setQuery()
	}, func(ctx context.Context, c *client.Client) error {
		page, err := c.Search(ctx, opts.query)
		if err != nil {
			return err
		}
		if err := writeResult(a.Out, opts.format, page, searchView(page, opts.lang)); err != nil {
			return err
		}
		if page.Next > 0 && opts.format != formatJSON {
			a.rep.Note("there is more: add --before %d", page.Next)
		}
		return nil
	})
	f := cmd.Flags()
	var kinds, outcomes []string
	for _, k := range tracedb.Kinds() {
		kinds = append(kinds, string(k.Kind))
	}
	for _, o := range tracedb.Outcomes() {
		outcomes = append(outcomes, string(o))
	}
	f.StringSliceVar(&opts.kinds, "kind", nil, "only records of this kind; may be given again")
	cli.Complete(cmd, "kind", kinds...)
	f.StringVar(&opts.query.Actor, "actor", "", "only what this identity did")
	cli.Complete(cmd, "actor")
	f.StringVar(&opts.service, "service", "", "only what is about this repository: owner/name")
	cli.Complete(cmd, "service")
	f.StringSliceVar(&opts.refs, "ref", nil, "only what is about this, as type:value; given again, about all of them")
	cli.Complete(cmd, "ref")
	f.StringVar(&opts.outcome, "outcome", "", "only what ended so")
	cli.Complete(cmd, "outcome", outcomes...)
	f.StringVar(&opts.from, "from", "", "only records taken at that time or later: 2026-02-01, or 2026-02-01T15:04:05Z")
	cli.Complete(cmd, "from")
	f.StringVar(&opts.until, "until", "", "only records taken before that time")
	cli.Complete(cmd, "until")
	f.Int64Var(&opts.query.Before, "before", 0, "only records before this one: the next page")
	cli.Complete(cmd, "before")
	f.IntVar(&opts.query.Limit, "limit", tracedb.DefaultPage, fmt.Sprintf("how many records, at most %d", tracedb.MaxPage))
	cli.Complete(cmd, "limit")
	langFlag(cmd, &opts.lang)
	outputFlag(cmd, &opts.format)
	return cmd
}

// setQuery makes the query of the flags.
func (o *traceSearchOptions) setQuery() error {
	q := &o.query
	q.Kinds, q.Refs = nil, nil
	for _, k := range o.kinds {
		if _, ok := tracedb.Kind(k).Info(); !ok {
			return ui.Usage(fmt.Errorf("--kind: there is no kind %q", k))
		}
		q.Kinds = append(q.Kinds, tracedb.Kind(k))
	}
	if o.service != "" {
		o.refs = append(o.refs, string(tracedb.RefRepository)+":"+o.service)
	}
	for _, r := range o.refs {
		ref, err := why.Subject(r)
		if err != nil {
			return err
		}
		q.Refs = append(q.Refs, ref)
	}
	if q.Outcome = tracedb.Outcome(o.outcome); o.outcome != "" && !slices.Contains(tracedb.Outcomes(), q.Outcome) {
		return ui.Usage(fmt.Errorf("--outcome: nothing ends as %q", o.outcome))
	}
	if q.Limit < 1 || q.Limit > tracedb.MaxPage {
		return ui.Usage(fmt.Errorf("--limit must be between 1 and %d", tracedb.MaxPage))
	}
	for _, t := range []struct {
		flag, text string
		into       *time.Time
	}{{"from", o.from, &q.From}, {"until", o.until, &q.Until}} {
		if t.text == "" {
			continue
		}
		var err error
		if *t.into, err = time.Parse(time.RFC3339, t.text); err != nil {
			*t.into, err = time.Parse(time.DateOnly, t.text)
		}
		if err != nil {
			return ui.Usage(fmt.Errorf("--%s: %q is no time: want 2026-02-01, or 2026-02-01T15:04:05Z", t.flag, t.text))
		}
	}
	return nil
}

func searchView(page tracedb.Page, lang string) view {
	say := func(word string) string { return whyWords[word].In(lang) }
	v := view{headers: []string{"record", say("when"), say("who"), say("outcome"), say("what")}}
	for _, e := range page.Entries {
		title, titleNL, _ := why.Describe(e, nil)
		v.rows = append(v.rows, []string{
			strconv.FormatInt(e.Seq, 10), e.At.UTC().Format(time.DateTime), why.Account(e.Actor), text.Of(why.OutcomeName(e.Outcome)).In(lang), text.Of(title, titleNL).In(lang),
		})
	}
	return v
}
