package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/druppie/druppie-up/bootstrap"
	"github.com/druppie/druppie-up/cmd/internal/cli"
	"github.com/druppie/druppie-up/internal/ui"
	"github.com/druppie/druppie-up/scenarios"
	"github.com/spf13/cobra"
)

func newScenarioCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "scenario",
		Short: "Prove what the platform promises, from outside",
		Long: `A scenario acts as the platform's users do, each identity with its own token, and passes only if the
platform did the right thing and its trace says so. It may run again at any time.`,
		Example: `  druppie-up scenario list
  druppie-up scenario run first-flight`,
	}
	cmd.AddCommand(newScenarioListCmd(a), newScenarioRunCmd(a))
	return cli.Parent(cmd)
}

func newScenarioListCmd(a *app) *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the scenarios and the controls that they prove",
		Example: `  druppie-up scenario list`,
		Args:    cli.Args(),
		RunE: func(*cobra.Command, []string) error {
			all, err := scenarios.List()
			if err != nil {
				return err
			}
			v := view{headers: []string{"name", "proves", "what it shows"}}
			for _, s := range all {
				v.rows = append(v.rows, []string{s.Name, strings.Join(s.Controls, " "), s.Title})
			}
			return writeResult(a.Out, format, all, v)
		},
	}
	outputFlag(cmd, &format)
	return cmd
}

type scenarioRunOptions struct {
	names     []string
	left      []string // out, since they can't run there
	keep      bool
	step      bool
	artifacts string
	options
}

func newScenarioRunCmd(a *app) *cobra.Command {
	opts := &scenarioRunOptions{options: options{app: a}}
	cmd := &cobra.Command{
		Use:   "run [SCENARIO...]",
		Short: "Run scenarios against the running platform; all of them unless some are named",
		Example: `  druppie-up scenario run first-flight
  druppie-up scenario run
  druppie-up scenario run unsigned-image failing-test -o json`,
		ValidArgsFunction: completeScenarios,
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if err := completeOptions(cmd, &opts.Options); err != nil {
				return err
			}
			if opts.names, opts.left, err = chosen(args, opts.Context != ""); err != nil {
				return err
			}
			if opts.step && !ui.IsTerminal(a.In) {
				return ui.Usage(errors.New("--step waits for Enter, and there is no terminal to hear it from"))
			}
			return runScenarios(cmd.Context(), opts)
		},
	}
	cmd.Flags().BoolVar(&opts.step, "step", false, "before each phase say what it does, and wait for Enter")
	cmd.Flags().BoolVar(&opts.keep, "keep", false, "leave what a scenario that fails has made, and run none after it")
	artifactsFlag(cmd, &opts.artifacts)
	platformFlags(cmd, &opts.Options)
	outputFlag(cmd, &opts.format)
	return cmd
}

// artifactsFlag is where a command that runs scenarios keeps what there is to see when one fails.
func artifactsFlag(cmd *cobra.Command, dir *string) {
	cmd.Flags().StringVar(dir, "artifacts", "", "folder for the objects, events, logs and trace's records at the moment a scenario fails")
	_ = cmd.MarkFlagDirname("artifacts")
}

func completeScenarios(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	names, _, err := chosen(nil, false)
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// chosen are the scenarios to run: those named, or all but those that can't run on another machine's platform, which
// are left out. None runs when one of the names is wrong.
func chosen(names []string, elsewhere bool) (run, left []string, err error) {
	list, err := scenarios.List()
	if err != nil {
		return nil, nil, err
	}
	var all []string
	for _, s := range list {
		all = append(all, s.Name)
		if elsewhere && s.Machine {
			left = append(left, s.Name)
		} else {
			run = append(run, s.Name)
		}
	}
	for _, name := range names {
		if !slices.Contains(all, name) {
			return nil, nil, ui.WithHint(ui.Usage(fmt.Errorf("%w: %q", scenarios.ErrUnknown, name)), "there are "+strings.Join(all, ", "))
		}
	}
	if len(names) > 0 {
		return names, nil, nil
	}
	return run, left, nil
}

func runScenarios(ctx context.Context, opts *scenarioRunOptions) error {
	port, err := bootstrap.Running(ctx, opts.Options)
	if err != nil {
		return err
	}
	if len(opts.left) > 0 {
		opts.app.rep.Note("left out, since it needs the machine of the nodes: %s", strings.Join(opts.left, ", "))
	}
	o, err := opts.scenario(port)
	if err != nil {
		return err
	}
	if opts.step {
		o.Step = stepper(opts.app)
	}
	o.Out, o.Keep, o.Artifacts = opts.log(), opts.keep, opts.artifacts
	var results []scenarios.Result
	var failures []error
	for _, name := range opts.names {
		opts.app.rep.Note("scenario %s", name)
		o.Name = name
		result, err := scenarios.Run(ctx, o)
		results = append(results, result)
		if err != nil {
			failures = append(failures, fmt.Errorf("%s: %w", name, err))
		}
		if ctx.Err() != nil || err != nil && opts.keep {
			break
		}
	}
	return errors.Join(opts.write(results), errors.Join(failures...))
}

// scenario gives the options of every scenario on the platform whose front door is at a port.
func (o *options) scenario(port int) (scenarios.Options, error) {
	command, err := os.Executable()
	if err != nil {
		return scenarios.Options{}, fmt.Errorf("find this program: %w", err)
	}
	return scenarios.Options{
		Kubeconfig: o.Kubeconfig(), Context: o.Context, Port: port, Command: command, Platform: o.Name, Reporter: o.app.rep,
		Trace: func(ctx context.Context) (scenarios.Trace, error) {
			return openTrace(ctx, &traceOptions{options: *o}, bootstrap.TraceAuditor)
		},
	}, nil
}

// stepper shows each phase and waits for Enter.
func stepper(a *app) func(context.Context, scenarios.Step) error {
	lines := make(chan error)
	in := bufio.NewReader(a.In)
	return func(ctx context.Context, s scenarios.Step) error {
		a.rep.Note("")
		a.rep.Note("%s", strings.ToUpper(s.Phase))
		for line := range strings.Lines(s.Script) {
			a.rep.Note("  %s", strings.TrimRight(line, "\n"))
		}
		a.rep.Note("Enter goes on, Ctrl-C stops")
		go func() {
			_, err := in.ReadString('\n')
			lines <- err
		}()
		select {
		case err := <-lines:
			return err
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// log is where a scenario's phases and, if it failed, its log go: they are for people.
func (o *scenarioRunOptions) log() io.Writer {
	if o.app.progress == ui.ModeJSON {
		return io.Discard
	}
	return o.app.Err
}

func (o *scenarioRunOptions) write(results []scenarios.Result) error {
	v := view{headers: []string{"scenario", "result", "took", "proves", "why"}}
	for _, r := range results {
		outcome := "passed"
		if !r.Passed {
			outcome = "FAILED"
		}
		v.rows = append(v.rows, []string{r.Name, outcome, fmt.Sprintf("%.0f s", r.Duration.Seconds()), strings.Join(r.Controls, " "), r.Why})
	}
	return writeResult(o.app.Out, o.format, results, v)
}
