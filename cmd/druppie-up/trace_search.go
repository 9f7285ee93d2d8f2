package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/druppie/druppie-up/bootstrap"
	"github.com/druppie/druppie-up/internal/ui"
	"github.com/druppie/druppie-up/tracedb"
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
	opts.app = a
	cmd := &cobra.Command{
		Use:   "search",
		Short: "Search the log, newest first",
		Long: `search finds records by when they were taken, their kind, who did what they record, how that ended, and
what they are about. What isn't said doesn't restrict. The next page is asked for with --before.`,
		Example: `  druppie-up trace search --kind admission --outcome denied
  druppie-up trace search --service druppie/drone-service --from 2026-02-01 --limit 200
  druppie-up trace search --ref image:sha256:0000000000000000000000000000000000000000000000000000000000000000 -o json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("before") && opts.query.Before < 1 {
				return ui.Usage(errors.New("--before must be a record's number, from 1"))
			}
			if err := opts.setQuery(); err != nil {
				return err
			}
			if err := checkTraceOptions(cmd, &opts.traceOptions); err != nil {
				return err
			}
			return runTraceSearch(cmd.Context(), opts)
		},
	}
	traceFlags(cmd, &opts.traceOptions)
	f := cmd.Flags()
	var kinds []string
	for _, k := range tracedb.Kinds() {
		kinds = append(kinds, string(k.Kind))
	}
	f.StringSliceVar(&opts.kinds, "kind", nil, "only records of this kind; may be given again")
	complete(cmd, "kind", kinds...)
	f.StringVar(&opts.query.Actor, "actor", "", "only what this identity did")
	complete(cmd, "actor")
	f.StringVar(&opts.service, "service", "", "only what is about this repository: owner/name")
	complete(cmd, "service")
	f.StringSliceVar(&opts.refs, "ref", nil, "only what is about this, as type:value; given again, about all of them")
	complete(cmd, "ref")
	f.StringVar(&opts.outcome, "outcome", "", "only what ended so")
	complete(cmd, "outcome", outcomeNames()...)
	f.StringVar(&opts.from, "from", "", "only records taken at that time or later: 2026-02-01, or 2026-02-01T15:04:05Z")
	complete(cmd, "from")
	f.StringVar(&opts.until, "until", "", "only records taken before that time")
	complete(cmd, "until")
	f.Int64Var(&opts.query.Before, "before", 0, "only records before this one: the next page")
	complete(cmd, "before")
	f.IntVar(&opts.query.Limit, "limit", tracedb.DefaultPage, fmt.Sprintf("how many records, at most %d", tracedb.MaxPage))
	complete(cmd, "limit")
	langFlag(cmd, &opts.lang)
	outputFlag(cmd, &opts.format)
	return cmd
}

func outcomeNames() []string {
	var out []string
	for _, k := range tracedb.Kinds() {
		for _, o := range k.Outcomes {
			if !slices.Contains(out, string(o)) {
				out = append(out, string(o))
			}
		}
	}
	return out
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
			return withTraceHint(err)
		}
		q.Refs = append(q.Refs, ref)
	}
	if q.Outcome = tracedb.Outcome(o.outcome); o.outcome != "" && !slices.Contains(outcomeNames(), o.outcome) {
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

func runTraceSearch(ctx context.Context, opts *traceSearchOptions) error {
	c, _, err := openTrace(ctx, &opts.traceOptions, bootstrap.TraceAuditor)
	if err != nil {
		return err
	}
	page, err := c.Search(ctx, opts.query)
	if err != nil {
		return withTraceHint(err)
	}
	if err := writeResult(opts.app.Out, opts.format, page, searchView(page, opts.lang)); err != nil {
		return err
	}
	if page.Next > 0 && opts.format != formatJSON {
		opts.app.rep.Note("there is more: add --before %d", page.Next)
	}
	return nil
}

func searchView(page tracedb.Page, lang string) view {
	words := whyWords[lang]
	v := view{headers: []string{"record", words["when"], words["who"], words["outcome"], words["what"]}}
	for _, e := range page.Entries {
		title, titleNL, _ := why.Describe(e, nil)
		outcome, outcomeNL := why.OutcomeName(e.Outcome)
		if lang == dutch {
			title, outcome = titleNL, outcomeNL
		}
		v.rows = append(v.rows, []string{strconv.FormatInt(e.Seq, 10), e.At.UTC().Format("2006-01-02 15:04:05"), why.Account(e.Actor), outcome, title})
	}
	return v
}
