package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/druppie/druppie-up/bootstrap"
	"github.com/druppie/druppie-up/cmd/internal/cli"
	"github.com/druppie/druppie-up/conformance"
	"github.com/druppie/druppie-up/internal/text"
	"github.com/druppie/druppie-up/internal/ui"
	"github.com/druppie/druppie-up/policies"
	"github.com/druppie/druppie-up/scenarios"
	"github.com/druppie/druppie-up/scenarios/platform"
	"github.com/spf13/cobra"
)

// The ways to write a report beside those of every result.
const (
	formatJUnit    = "junit"
	formatMarkdown = "markdown"
	formatHTML     = "html"
	formatOSCAL    = "oscal"
	formatBadge    = "badge"
)

// reportFlags give a command whose result is a report the flags that say how to write it.
func reportFlags(cmd *cobra.Command, format, lang *string) {
	documentFlag(cmd, format, formatTable, formatJSON, formatJUnit, formatMarkdown, formatHTML, formatOSCAL, formatBadge)
	cli.Choice(cmd, lang, "lang", "", "language of -o html", text.English, text.Dutch)
}

type conformanceOptions struct {
	controls  []string
	mutate    bool
	undo      bool
	again     bool
	sample    int
	others    int
	shuffle   bool
	seed      uint64
	repeat    int
	parallel  int
	record    bool
	artifacts string
	lang      string
	options
}

func newConformanceCmd(a *app) *cobra.Command {
	opts := &conformanceOptions{options: options{app: a}}
	cmd := command(&cobra.Command{
		Use:   "conformance",
		Short: "Prove every control of the platform, and that its proof can fail",
		Long: `conformance runs the scenarios of every control of the design against the running platform and says of
each whether it holds. With --mutate each control is weakened in turn, and the scenario that proves it
must turn red; what was changed is put back, and seen to be back. A control that nothing enforces yet is
listed as "not there", never as holding. It fails when a control doesn't hold, wasn't tried, or could be
weakened unnoticed. The report is signed with the platform's conformance key and recorded in the trace.`,
		Example: `  druppie-up conformance
  druppie-up conformance --control C3,F6.2 --shuffle --repeat 3
  druppie-up conformance --parallel 3
  druppie-up conformance --mutate -o junit
  druppie-up conformance --context my-cluster
  druppie-up conformance --undo`,
	}, &opts.Options, func(ctx context.Context) error { return runConformance(ctx, opts) })
	flags := cmd.Flags()
	flags.StringSliceVar(&opts.controls, "control", nil, "controls to prove, by id (default: all)")
	flags.BoolVar(&opts.mutate, "mutate", false, "weaken each control in turn: a scenario of it must turn red")
	flags.IntVar(&opts.sample, "sample", 0, "with --mutate: try so many mutations only, others for each build of this program (0: all)")
	flags.IntVar(&opts.others, "others", 3, "with --mutate: also run so many scenarios of other controls under each mutation, by rotation")
	flags.BoolVar(&opts.undo, "undo", false, "put back what a killed --mutate has left changed, and do nothing else")
	flags.BoolVar(&opts.again, "again", false, "with --mutate: also try what was noticed in an earlier run of this program on this platform")
	flags.BoolVar(&opts.shuffle, "shuffle", false, "run the scenarios in a random order, as far as one needs no other before it")
	flags.Uint64Var(&opts.seed, "seed", 0, "with --shuffle: the order of an earlier run, as its report names it")
	flags.BoolVar(&opts.record, "record", true, "sign the report with the platform's key and record it in the trace")
	flags.IntVar(&opts.repeat, "repeat", 1, "how many times to run the scenarios")
	flags.IntVar(&opts.parallel, "parallel", 1, "how many scenarios to run side by side where they keep to a tenant: each in one of its own, conformance-1 and so on")
	artifactsFlag(cmd, &opts.artifacts)
	platformFlags(cmd, &opts.Options)
	reportFlags(cmd, &opts.format, &opts.lang)
	cli.Complete(cmd, "sample")
	cli.Complete(cmd, "others")
	cli.Complete(cmd, "seed")
	cli.Complete(cmd, "repeat")
	cli.Complete(cmd, "parallel")
	_ = cmd.RegisterFlagCompletionFunc("control", completeControls)
	cmd.AddCommand(newConformanceListCmd(a), newConformanceReportCmd(a), newConformanceSchemaCmd(a), newConformanceHavenCmd(a), newConformanceHistoryCmd(a))
	return cmd
}

func completeControls(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	suite, err := loadSuite()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var ids []string
	for _, c := range suite.Controls {
		ids = append(ids, c.ID+"\t"+c.Statement.EN)
	}
	return ids, cobra.ShellCompDirectiveNoFileComp
}

// loadSuite is the suite that this program carries.
func loadSuite() (conformance.Suite, error) {
	infos, err := scenarios.List()
	if err != nil {
		return conformance.Suite{}, err
	}
	mutations, err := scenarios.Mutations()
	if err != nil {
		return conformance.Suite{}, err
	}
	return conformance.Load(policies.Controls, infos, mutations)
}

func newConformanceListCmd(a *app) *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the controls, what proves each and what weakens it",
		Example: `  druppie-up conformance list
  druppie-up conformance list -o markdown`,
		Args: cli.Args(),
		RunE: func(*cobra.Command, []string) error {
			suite, err := loadSuite()
			if err != nil {
				return err
			}
			if format == formatMarkdown {
				return suite.Markdown(a.Out)
			}
			v := view{headers: []string{"control", "state", "what it promises", "scenarios", "mutations"}}
			for _, c := range suite.Controls {
				v.rows = append(v.rows, []string{c.ID, string(c.State), c.Statement.EN, strings.Join(suite.Proving(c.ID), " "), strings.Join(suite.Weakening(c.ID), " ")})
			}
			return writeResult(a.Out, format, suite, v)
		},
	}
	documentFlag(cmd, &format, formatTable, formatJSON, formatMarkdown)
	return cmd
}

func newConformanceReportCmd(a *app) *cobra.Command {
	var format, lang string
	cmd := &cobra.Command{
		Use:   "report FILE",
		Short: "Show a report that was written with -o json",
		Example: `  druppie-up conformance report conformance.json
  druppie-up conformance report conformance.json -o html --lang nl
  druppie-up conformance report conformance.json -o oscal`,
		Args: cli.Args("name the file of a report"),
		RunE: func(_ *cobra.Command, args []string) error {
			data, err := os.ReadFile(args[0])
			if err != nil {
				return ui.Usage(err)
			}
			rep, err := conformance.ReadReport(data)
			if err != nil {
				return ui.Usage(fmt.Errorf("%s: %w", args[0], err))
			}
			return writeReport(a, format, lang, rep)
		},
	}
	reportFlags(cmd, &format, &lang)
	return cmd
}

func newConformanceSchemaCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "schema",
		Short:   "Print the JSON Schema of the reports that -o json writes",
		Example: `  druppie-up conformance schema`,
		Args:    cli.Args(),
		RunE: func(*cobra.Command, []string) error {
			_, err := a.Out.Write(conformance.ReportSchema)
			return err
		},
	}
}

func writeReport(a *app, format, lang string, rep conformance.Report) error {
	switch format {
	case formatJUnit:
		return rep.JUnit(a.Out)
	case formatMarkdown:
		return rep.Markdown(a.Out)
	case formatHTML:
		return rep.HTML(a.Out, lang)
	case formatOSCAL:
		return rep.OSCAL(a.Out)
	case formatBadge:
		return rep.Badge(a.Out)
	}
	v := view{headers: []string{"control", "verdict", "scenarios", "why"}}
	for _, c := range rep.Controls {
		v.rows = append(v.rows, []string{c.ID, string(c.Verdict), strings.Join(c.Scenarios, " "), c.Why})
	}
	for _, m := range rep.Mutations {
		verdict := "noticed"
		if !m.Noticed {
			verdict = "NOT NOTICED"
		}
		v.rows = append(v.rows, []string{m.Control, verdict, m.Scenario, "mutation " + m.Name + ": " + m.What.EN + " " + m.Why})
	}
	return writeResult(a.Out, format, rep, v)
}

func runConformance(ctx context.Context, opts *conformanceOptions) error {
	suite, err := opts.suite()
	if err != nil {
		return ui.Usage(err)
	}
	port, err := bootstrap.Running(ctx, opts.Options)
	if err != nil {
		return err
	}
	p, closePlatform, err := conformance.Connect(ctx, platform.Options{Kubeconfig: opts.Kubeconfig(), Context: opts.Context, Port: port})
	if err != nil {
		return err
	}
	defer closePlatform()
	rep := opts.app.rep
	if opts.undo {
		name, err := p.Undo(ctx)
		if err != nil {
			return err
		}
		undone := struct {
			Undone string `json:"undone"` // mutation; empty: none was applied
		}{name}
		return writeResult(opts.app.Out, opts.format, undone, view{headers: []string{"undone"}, rows: [][]string{{cmp.Or(name, "none")}}})
	}
	scenario, err := opts.scenario(port)
	if err != nil {
		return err
	}
	kept, err := openKept(filepath.Join(opts.StateDir, "conformance.json"), opts.again)
	if err != nil {
		return err
	}
	if !opts.mutate { // a mutation's scenario is to fail
		scenario.Artifacts = opts.artifacts
	}
	beside, err := opts.beside(ctx, scenario)
	if err != nil {
		return err
	}
	o := conformance.Options{
		Run: runIn(scenario, scenarios.Sample(), opts.parallel > 1), Beside: beside,
		Cluster: p, Repeat: opts.repeat, Others: opts.others, Note: rep.Note, Known: kept.known, Keep: kept.keep, Now: time.Now, Again: 15 * time.Second,
	}
	if opts.shuffle {
		if opts.seed == 0 {
			opts.seed = rand.Uint64N(1<<32) + 1
		}
		o.Shuffle = rand.New(rand.NewPCG(opts.seed, 0)).Shuffle
	}
	prove, kind := suite.Check, conformance.Check
	if opts.mutate {
		prove, kind = suite.Mutate, conformance.Mutate
	}
	began := time.Now()
	report, err := prove(ctx, o)
	if errors.Is(err, conformance.ErrApplied) {
		err = ui.WithHint(err, "wait for the end of the run that applied it; if that was killed, druppie-up conformance --undo"+platformArg(opts.Options)+" puts everything back")
	}
	report.Kind, report.Platform, report.Tool, report.Cores = kind, cmp.Or(opts.Context, opts.Name), conformance.Tool(thisBuild()), runtime.NumCPU()
	report.Began, report.Ended, report.Seed = began.UTC(), time.Now().UTC(), opts.seed
	if err != nil {
		report.Stopped = err.Error()
	}
	var listed error
	report.Tested, listed = tested(ctx, p)
	if n := len(report.Scenarios); n > 0 {
		var took, waited time.Duration
		for _, s := range report.Scenarios {
			took, waited = took+s.Duration, waited+s.Waited
		}
		rep.Note("%d runs of scenarios in %s, together %s, of which %s waiting for the platform",
			n, report.Took().Round(time.Second), took.Round(time.Second), waited.Round(time.Second))
	}
	var recorded error
	if opts.record && listed == nil {
		recorded = recordReport(ctx, opts, p.Attest, report)
	}
	return errors.Join(writeReport(opts.app, opts.format, opts.lang, report), err, listed, recorded, notProven(report, opts.mutate))
}

// tested is what runs in the cluster. An interrupted run says so too.
func tested(ctx context.Context, p conformance.Platform) (conformance.Tested, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	return p.Tested(ctx)
}

// suite is what the options choose of what this program carries. It refuses options that say nothing together.
func (o *conformanceOptions) suite() (conformance.Suite, error) {
	suite, err := loadSuite()
	if err != nil {
		return suite, err
	}
	if o.Context != "" {
		suite = suite.Elsewhere()
	}
	for i, id := range o.controls {
		o.controls[i] = strings.TrimSpace(id)
	}
	if suite, err = suite.Select(o.controls); err != nil {
		return suite, err
	}
	switch {
	case o.undo && (o.mutate || o.again || o.shuffle || o.repeat != 1 || o.sample != 0 || len(o.controls) > 0):
		return suite, errors.New("--undo puts back whatever is changed, and goes with no other choice")
	case o.undo && o.format != formatTable && o.format != formatJSON:
		return suite, fmt.Errorf("--undo makes no report, so it can't be written as %s", o.format)
	case o.mutate && (o.shuffle || o.repeat != 1):
		return suite, errors.New("--shuffle and --repeat are for runs without --mutate")
	case o.mutate && o.artifacts != "":
		return suite, errors.New("--artifacts is for runs without --mutate, in which no scenario is to fail")
	case !o.mutate && (o.again || o.sample != 0):
		return suite, errors.New("--again and --sample are for --mutate")
	case o.mutate && len(suite.Mutations) == 0:
		return suite, fmt.Errorf("no mutation weakens %s yet, so nothing would be tried", strings.Join(o.controls, ", "))
	case o.sample < 0 || o.others < 0:
		return suite, fmt.Errorf("--sample and --others can't be negative, as %d and %d", o.sample, o.others)
	case o.parallel < 1 || o.parallel > maxParallel:
		return suite, fmt.Errorf("--parallel must be from 1 to %d, not %d", maxParallel, o.parallel)
	case o.parallel > 1 && (o.mutate || o.undo):
		return suite, errors.New("--parallel is for runs without --mutate: a weakened control is weakened for every tenant")
	case o.repeat < 1 || o.repeat > 100:
		return suite, fmt.Errorf("--repeat must be from 1 to 100, not %d", o.repeat)
	case o.seed != 0 && !o.shuffle:
		return suite, errors.New("--seed is for --shuffle")
	case o.sample > 0:
		suite = suite.Sample(o.sample, revision)
	}
	return suite, nil
}

// notProven is the error that tells scripts by the exit code what the report tells people.
func notProven(rep conformance.Report, mutate bool) error {
	switch unnoticed, failed := rep.Unnoticed(), rep.Failed(); {
	case len(unnoticed) > 0:
		return fmt.Errorf("no scenario noticed %s: %s", strings.Join(unnoticed, ", "), rep.Summary())
	case !mutate && len(failed) > 0:
		return fmt.Errorf("%s not proven: %s", strings.Join(failed, ", "), rep.Summary())
	case !mutate && len(rep.Scenarios) == 0:
		return fmt.Errorf("nothing is proven, since nothing enforces what was asked for: %s", rep.Summary())
	}
	return nil
}
