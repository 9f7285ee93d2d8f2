package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/druppie/druppie-up/bootstrap/host"
	"github.com/druppie/druppie-up/internal/ui"
	"github.com/spf13/cobra"
)

type doctorOptions struct {
	app    *app
	format string
	fix    bool
	yes    bool
	undo   bool
	host.Options
}

func newDoctorCmd(a *app, runF func(context.Context, *doctorOptions) error) *cobra.Command {
	opts := &doctorOptions{app: a}
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check what this machine offers, and mend what is safe to mend",
		Long: `doctor looks at the engine, its limits, memory, disk, ports and supply, and says for each what it
found, why that matters and how to mend it. It changes nothing unless --fix is given, and then shows
first what it will do. An engine that doctor didn't install is changed only with --change-engine or
your yes at the terminal; --undo takes back everything that doctor ever changed.`,
		Example: `  druppie-up doctor
  druppie-up doctor --fix
  druppie-up doctor --fix --yes
  druppie-up doctor --undo`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.PortChosen = cmd.Flags().Changed("port")
			opts.Unattended = opts.yes
			if err := opts.check(); err != nil {
				return err
			}
			if runF != nil {
				return runF(cmd.Context(), opts)
			}
			return runDoctor(cmd.Context(), opts)
		},
	}
	opts.Supply = "auto"
	flags := cmd.Flags()
	flags.BoolVar(&opts.fix, "fix", false, "mend what can be mended, after showing it")
	flags.BoolVar(&opts.yes, "yes", false, "with --fix or --undo: don't ask")
	flags.BoolVar(&opts.undo, "undo", false, "take back what doctor changed on this machine")
	flags.BoolVar(&opts.ChangeEngine, "change-engine", false, "with --fix: also change an engine that doctor didn't install")
	flags.StringVar(&opts.Cluster, "name", "druppie", "name of the cluster; a port that it holds itself is not in the way")
	flags.IntVar(&opts.Port, "port", host.DefaultPort, "port on 127.0.0.1 that has to be free")
	flags.Var(oneOf(&opts.Supply, "auto", "registry", "modules"), "supply", "where images will come from")
	complete(cmd, "supply", "auto", "registry", "modules")
	outputFlag(cmd, &opts.format)
	return cmd
}

func (o *doctorOptions) check() error {
	switch {
	case o.fix && o.undo:
		return ui.Usage(errors.New("--fix and --undo exclude each other"))
	case o.yes && !o.fix && !o.undo:
		return ui.Usage(errors.New("--yes means something only with --fix or --undo"))
	case o.ChangeEngine && !o.fix:
		return ui.Usage(errors.New("--change-engine means something only with --fix"))
	case o.Port < 1 || o.Port > 65535:
		return ui.Usage(fmt.Errorf("--port must be from 1 to 65535, not %d", o.Port))
	}
	return nil
}

func runDoctor(ctx context.Context, opts *doctorOptions) error {
	if opts.undo {
		return host.Undo(ctx, opts.Options, opts.confirm, opts.app.rep)
	}
	findings, err := opts.look(ctx)
	if err != nil {
		return err
	}
	if opts.fix {
		err := host.Fix(ctx, opts.Options, findings, opts.confirm, opts.app.rep)
		if errors.Is(err, host.ErrDeclined) {
			return err
		}
		// Also when a fix failed: what it left behind is what the user has to know.
		again, lookErr := opts.look(ctx)
		if lookErr != nil {
			return errors.Join(err, lookErr)
		}
		findings = again
		if err != nil {
			return errors.Join(err, opts.write(findings))
		}
	}
	return errors.Join(opts.write(findings), host.Failed(findings))
}

// look makes the checks. The result lists each of them, so that people see one line of progress
// and not the same list twice.
func (o *doctorOptions) look(ctx context.Context) ([]host.Finding, error) {
	if o.app.progress == ui.ModeJSON {
		return host.Run(ctx, o.Options, o.app.rep)
	}
	task := o.app.rep.Start("doctor", "Look at this machine")
	findings, err := host.Run(ctx, o.Options, titles{ui.Discard(), task})
	if err != nil {
		task.Fail(err)
		return nil, err
	}
	task.Done("%d checks", len(findings))
	return findings, nil
}

// titles shows the steps of others as details of one task.
type titles struct {
	ui.Reporter
	task ui.Task
}

func (t titles) Start(id, title string) ui.Task {
	t.task.Detail("%s", title)
	return t.Reporter.Start(id, title)
}

func (o *doctorOptions) write(findings []host.Finding) error {
	v := view{headers: []string{"result", "check", "found", "mend"}}
	for _, f := range findings {
		v.rows = append(v.rows, []string{string(f.Status), f.Title, f.Found, f.Mend})
	}
	return writeResult(o.app.Out, o.format, findings, v)
}

// confirm shows what will be done and asks, unless --yes answered already.
func (o *doctorOptions) confirm(lines []string) (bool, error) {
	fmt.Fprintln(o.app.Err, "This will be done on this machine:")
	for _, line := range lines {
		fmt.Fprintln(o.app.Err, "  "+line)
	}
	if o.yes {
		return true, nil
	}
	fmt.Fprint(o.app.Err, "Go on? [y/N] ")
	answer, err := bufio.NewReader(o.app.In).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return false, fmt.Errorf("read the answer: %w", err)
	}
	if answer == "" {
		return false, ui.WithHint(errors.New("nobody is here to say yes: nothing was changed"), "give --yes to go on without asking")
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return true, nil
	}
	return false, nil
}
