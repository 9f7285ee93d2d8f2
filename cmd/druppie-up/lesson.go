package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/druppie/druppie-up/bootstrap"
	"github.com/druppie/druppie-up/cmd/internal/cli"
	"github.com/druppie/druppie-up/internal/names"
	"github.com/druppie/druppie-up/internal/text"
	"github.com/druppie/druppie-up/internal/ui"
	"github.com/druppie/druppie-up/lessons"
	"github.com/spf13/cobra"
)

type lessonOptions struct {
	lang string
	all  bool // lessons, of everybody
	lessons.CheckOptions
	until string
	port  int // of the front door
	options
}

func newLessonCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "lesson",
		Short: "Learn the platform by doing, step by step",
		Long: `A lesson walks you through a scenario: what a step is about, what to do yourself in Gitea, with kubectl and
on the pages of the trace, whether it is done, and why it went so. A check looks at the platform and takes
nobody's word. In English and Dutch.`,
		Example: `  druppie-up lesson list
  druppie-up lesson start root-refused
  druppie-up lesson check
  druppie-up lesson next`,
	}
	cmd.AddCommand(newLessonListCmd(a), newLessonStartCmd(a), newLessonCheckCmd(a), newLessonHintCmd(a), newLessonNextCmd(a),
		newLessonResetCmd(a), newLessonProveCmd(a))
	return cli.Parent(cmd)
}

// lessonCmd finishes a command about lessons. One that is live looks at the platform, which must run.
func lessonCmd(cmd *cobra.Command, opts *lessonOptions, live bool, run func(context.Context, *lessons.Walk, []string) error) *cobra.Command {
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := completeOptions(cmd, &opts.Options); err != nil {
			return err
		}
		for _, name := range args {
			if err := opts.known(name); err != nil {
				return err
			}
		}
		if live {
			var err error
			if opts.port, err = bootstrap.Running(cmd.Context(), opts.Options); err != nil {
				return err
			}
		}
		w, err := opts.open("lessons")
		if err != nil {
			return err
		}
		return opts.hint(run(cmd.Context(), w, args))
	}
	nameFlag(cmd, &opts.Options)
	outputFlag(cmd, &opts.format)
	localeFlag(cmd, &opts.lang)
	return cmd
}

// known refuses a name that is no lesson's, and names those that are.
func (o *lessonOptions) known(name string) error {
	if _, err := lessons.Find(name); err != nil {
		all, listed := lessonNames()
		if listed != nil {
			return listed
		}
		return ui.Usage(ui.WithHint(err, "there are "+strings.Join(all, ", ")))
	}
	return nil
}

func lessonNames() ([]string, error) {
	all, err := lessons.All()
	var out []string
	for _, l := range all {
		out = append(out, l.Name)
	}
	return out, err
}

func completeLessons(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	all, err := lessonNames()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return all, cobra.ShellCompDirectiveNoFileComp
}

// open reads where the attendee is, from a folder in the platform's.
func (o *lessonOptions) open(dir string) (*lessons.Walk, error) {
	scenario, err := o.scenario(o.port)
	if err != nil {
		return nil, err
	}
	at := func(host string) string {
		return fmt.Sprintf("https://%s.%s:%d/", host, names.Domain, cmp.Or(o.port, o.Port))
	}
	opt := lessons.Options{
		Scenario: scenario,
		Dir:      filepath.Join(o.StateDir, dir), Lang: o.lang,
		Say: map[string]string{
			"GITEA": at("gitea"), "TRACE": at("trace"), "CA": filepath.Join(o.StateDir, "ca.crt"), "PLATFORM": nameArg(o.Name),
		},
	}
	if o.all {
		return lessons.Afresh(opt), nil
	}
	w, err := lessons.Open(opt)
	if errors.Is(err, lessons.ErrState) {
		err = ui.WithHint(err, "druppie-up lesson reset --all"+nameArg(o.Name)+" takes away what lessons made, and begins anew")
	}
	return w, err
}

// hint adds what an attendee can do about an error of the way.
func (o *lessonOptions) hint(err error) error {
	if errors.Is(err, lessons.ErrNoLesson) {
		return ui.WithHint(err, "druppie-up lesson list"+nameArg(o.Name)+" shows them; begin with druppie-up lesson start first-flight"+nameArg(o.Name))
	}
	return err
}

func newLessonListCmd(a *app) *cobra.Command {
	opts := &lessonOptions{options: options{app: a}}
	return lessonCmd(&cobra.Command{
		Use:     "list",
		Short:   "List the lessons, and how far you are",
		Example: `  druppie-up lesson list --lang nl`,
		Args:    cli.Args(),
	}, opts, false, func(_ context.Context, w *lessons.Walk, _ []string) error { return opts.list(w) })
}

// lessonInfo is a lesson in the list.
type lessonInfo struct {
	Name     string            `json:"name"`
	Title    text.Text         `json:"title"`
	Minutes  int               `json:"minutes"`
	Steps    int               `json:"steps"`
	Progress *lessons.Progress `json:"progress,omitempty"`
}

func (o *lessonOptions) list(w *lessons.Walk) error {
	all, err := lessons.All()
	if err != nil {
		return err
	}
	say := func(word string) string { return lessonWords[word].In(o.lang) }
	v := view{headers: []string{say("lesson"), say("minutes"), say("steps"), say("state"), say("about")}}
	var infos []lessonInfo
	for _, l := range all {
		info := lessonInfo{l.Name, l.Title, l.Minutes, len(l.Steps), w.Progress(l.Name)}
		infos = append(infos, info)
		state := ""
		switch p := info.Progress; {
		case p == nil:
		case p.Done:
			state = say("done")
		default:
			state = say("begun") + " " + p.Step
		}
		v.rows = append(v.rows, []string{l.Name, strconv.Itoa(l.Minutes), strconv.Itoa(len(l.Steps)), state, l.Title.In(o.lang)})
	}
	return writeResult(o.app.Out, o.format, infos, v)
}

func newLessonStartCmd(a *app) *cobra.Command {
	opts := &lessonOptions{options: options{app: a}}
	cmd := lessonCmd(&cobra.Command{
		Use:   "start LESSON",
		Short: "Begin a lesson, or go on where you left it",
		Long: `start begins a lesson: it looks whether what the lesson needs is there, and shows where to work and the first
step. A lesson that has begun goes on where you left it.`,
		Example:           `  druppie-up lesson start first-flight --lang nl`,
		Args:              cli.Args("name the LESSON to begin"),
		ValidArgsFunction: completeLessons,
	}, opts, true, func(ctx context.Context, w *lessons.Walk, args []string) error {
		v, err := w.Start(ctx, args[0])
		if err != nil {
			return opts.notYet(v, err, "can't begin", "")
		}
		return opts.write(v, func(out io.Writer) error {
			if err := opts.where(out, v); err != nil {
				return err
			}
			return opts.step(out, v)
		})
	})
	return cmd
}

func newLessonCheckCmd(a *app) *cobra.Command {
	opts := &lessonOptions{options: options{app: a}}
	cmd := lessonCmd(&cobra.Command{
		Use:   "check",
		Short: "Look whether the step is done",
		Long: `check looks at the platform, whether the step is done. If it is, it explains what happened; if not, it says what
is missing, and the exit code is 1. It waits a moment for what was just done; --wait has it wait longer, such
as for a pipeline.`,
		Example: `  druppie-up lesson check
  druppie-up lesson check --wait 5m
  druppie-up lesson check --answer 241`,
		Args: cli.Args(),
	}, opts, true, func(ctx context.Context, w *lessons.Walk, _ []string) error {
		if opts.Wait < 0 {
			return ui.Usage(fmt.Errorf("--wait must be more than zero, not %s", opts.Wait))
		}
		v, err := w.Check(ctx, opts.CheckOptions)
		if err != nil {
			return opts.notYet(v, err, "not done yet", "druppie-up lesson hint"+nameArg(opts.Name))
		}
		return opts.write(v, func(out io.Writer) error { return opts.passed(out, v) })
	})
	cmd.Flags().StringVar(&opts.Answer, "answer", "", "your answer, where the step asks something")
	cmd.Flags().DurationVar(&opts.Wait, "wait", 0, "how long to wait for what isn't there yet (default: a moment)")
	cmd.Flags().BoolVar(&opts.Solve, "solve", false, "do the step for the attendee first")
	cli.Complete(cmd, "answer")
	cli.Complete(cmd, "wait")
	_ = cmd.Flags().MarkHidden("solve") // it was defined just now
	return cmd
}

func newLessonHintCmd(a *app) *cobra.Command {
	opts := &lessonOptions{options: options{app: a}}
	return lessonCmd(&cobra.Command{
		Use:     "hint",
		Short:   "Show a hint for the step",
		Example: `  druppie-up lesson hint`,
		Args:    cli.Args(),
	}, opts, false, func(_ context.Context, w *lessons.Walk, _ []string) error {
		v, err := w.Hint()
		if err != nil {
			return err
		}
		return opts.write(v, func(out io.Writer) error { return opts.paragraphs(out, v.Hint) })
	})
}

func newLessonNextCmd(a *app) *cobra.Command {
	opts := &lessonOptions{options: options{app: a}}
	return lessonCmd(&cobra.Command{
		Use:     "next",
		Short:   "Go to the next step, once this one's check has passed",
		Example: `  druppie-up lesson next`,
		Args:    cli.Args(),
	}, opts, false, func(_ context.Context, w *lessons.Walk, _ []string) error {
		v, err := w.Next()
		if errors.Is(err, lessons.ErrNotYet) {
			return ui.WithHint(errors.New(opts.say("unchecked", v)), "druppie-up lesson check"+nameArg(opts.Name))
		}
		if err != nil {
			return err
		}
		return opts.write(v, func(out io.Writer) error {
			if v.Done {
				return opts.end(out, v)
			}
			return opts.step(out, v)
		})
	})
}

func newLessonResetCmd(a *app) *cobra.Command {
	opts := &lessonOptions{options: options{app: a}}
	cmd := lessonCmd(&cobra.Command{
		Use:   "reset [LESSON]",
		Short: "Take away what a lesson made, and forget how far you were",
		Long: `reset closes the pull requests of a lesson, removes its namespaces, pods and files, puts back what else it changed,
and forgets how far you were: of the lesson that you are in, or the one that is named. It takes at most 30
seconds and may be stopped and run again. Branches stay, since Gitea keeps protected ones from being deleted,
and so does what the trace recorded. With --all it takes away what any lesson of anybody made on this platform,
also when nothing is known of it here any more.`,
		Example: `  druppie-up lesson reset
  druppie-up lesson reset failing-test
  druppie-up lesson reset --all`,
		ValidArgsFunction: completeLessons,
	}, opts, true, func(ctx context.Context, w *lessons.Walk, args []string) error { return opts.reset(ctx, w, args) })
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if opts.all && len(args) > 0 {
			return ui.Usage(errors.New("--all is for every lesson: name none"))
		}
		return cobra.MaximumNArgs(1)(cmd, args)
	}
	cmd.Flags().BoolVar(&opts.all, "all", false, "take away what any lesson of anybody made on this platform")
	return cmd
}

// resetResult says what was reset.
type resetResult struct {
	Lesson string        `json:"lesson,omitempty"` // none: all of them
	Took   time.Duration `json:"took"`
}

func (o *lessonOptions) reset(ctx context.Context, w *lessons.Walk, args []string) error {
	res := resetResult{}
	switch {
	case o.all:
	case len(args) > 0:
		res.Lesson = args[0]
	default:
		// Whoever isn't sure resets twice. A lesson whose step this version doesn't know can be reset too.
		if res.Lesson = w.CurrentName(); res.Lesson == "" {
			o.app.rep.Note("no lesson has begun: there is nothing to reset")
			return nil
		}
	}
	title := "Reset lesson " + res.Lesson
	if o.all {
		title = "Reset all lessons"
	}
	began := time.Now()
	err := ui.Run(o.app.rep, "lesson.reset", title, func(ui.Task) (string, error) {
		if o.all {
			return "", w.ResetAll(ctx)
		}
		return "", w.Reset(ctx, res.Lesson)
	})
	if err != nil {
		return err
	}
	res.Took = time.Since(began)
	if o.format == formatJSON {
		return cli.JSON(o.app.Out, res)
	}
	return nil
}
