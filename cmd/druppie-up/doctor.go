package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/druppie/druppie-up/bootstrap"
	"github.com/druppie/druppie-up/bootstrap/host"
	"github.com/druppie/druppie-up/cmd/internal/cli"
	"github.com/druppie/druppie-up/internal/ui"
	"github.com/spf13/cobra"
)

type doctorOptions struct {
	fix, yes, undo, changeEngine bool
	options
}

func newDoctorCmd(a *app) *cobra.Command {
	opts := &doctorOptions{options: options{app: a}}
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
		Args: cli.Args(),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := opts.check(); err != nil {
				return err
			}
			if err := completeOptions(cmd, &opts.Options); err != nil {
				return err
			}
			return runDoctor(cmd.Context(), opts)
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&opts.fix, "fix", false, "mend what can be mended, after showing it")
	flags.BoolVar(&opts.yes, "yes", false, "with --fix or --undo: don't ask")
	flags.BoolVar(&opts.undo, "undo", false, "take back what doctor changed on this machine")
	flags.BoolVar(&opts.changeEngine, "change-engine", false, "with --fix: also change an engine that doctor didn't install")
	nameFlag(cmd, &opts.Options)
	portFlag(cmd, &opts.Options)
	storeFlag(cmd, &opts.Options)
	supplyFlags(cmd, &opts.Options)
	outputFlag(cmd, &opts.format)
	return cmd
}

func (o *doctorOptions) check() error {
	switch {
	case o.fix && o.undo:
		return ui.Usage(errors.New("--fix and --undo exclude each other"))
	case o.yes && !o.fix && !o.undo:
		return ui.Usage(errors.New("--yes means something only with --fix or --undo"))
	case o.changeEngine && !o.fix:
		return ui.Usage(errors.New("--change-engine means something only with --fix"))
	}
	return nil
}

func runDoctor(ctx context.Context, opts *doctorOptions) error {
	needs, err := bootstrap.HostOptions(opts.Options)
	if err != nil {
		return err
	}
	needs.ChangeEngine, needs.Unattended = opts.changeEngine, opts.yes
	confirm := func(lines []string) (bool, error) { return opts.confirm(ctx, lines) }
	if opts.undo {
		return host.Undo(ctx, needs, confirm, opts.app.rep)
	}
	findings, err := opts.inspect(ctx, needs)
	if err != nil {
		return err
	}
	if opts.fix {
		err := host.Fix(ctx, needs, findings, confirm, opts.app.rep)
		if errors.Is(err, host.ErrDeclined) {
			return err
		}
		// Also when a fix failed: what it left behind is what the user has to know.
		again, againErr := opts.inspect(ctx, needs)
		if againErr != nil {
			return errors.Join(err, againErr)
		}
		findings = again
		if err != nil {
			return errors.Join(err, opts.write(findings))
		}
	}
	return errors.Join(opts.write(findings), host.Failed(findings))
}

// inspect makes the checks. The result lists each of them, so that people see one line of progress
// and not the same list twice.
func (o *doctorOptions) inspect(ctx context.Context, needs host.Options) ([]host.Finding, error) {
	if o.app.progress == ui.ModeJSON {
		return host.Run(ctx, needs, o.app.rep)
	}
	var findings []host.Finding
	err := ui.Run(o.app.rep, "doctor", "Look at this machine", func(task ui.Task) (_ string, err error) {
		findings, err = host.Run(ctx, needs, titles{ui.Discard(), task})
		return fmt.Sprintf("%d checks", len(findings)), err
	})
	return findings, err
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
func (o *doctorOptions) confirm(ctx context.Context, lines []string) (bool, error) {
	fmt.Fprintln(o.app.Err, "This will be done on this machine:")
	for _, line := range lines {
		fmt.Fprintln(o.app.Err, "  "+line)
	}
	if o.yes {
		return true, nil
	}
	fmt.Fprint(o.app.Err, "Go on? [y/N] ")
	var answer string
	var err error
	read := make(chan struct{})
	go func() {
		defer close(read)
		answer, err = bufio.NewReader(o.app.In).ReadString('\n')
	}()
	select {
	case <-ctx.Done(): // a read can't be called off; the process ends with it
		return false, context.Cause(ctx)
	case <-read:
	}
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
