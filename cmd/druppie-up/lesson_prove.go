package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/druppie/druppie-up/cmd/internal/cli"
	"github.com/druppie/druppie-up/lessons"
	"github.com/spf13/cobra"
)

func newLessonProveCmd(a *app) *cobra.Command {
	opts := &lessonOptions{options: options{app: a}}
	cmd := lessonCmd(&cobra.Command{
		Use:    "prove [LESSON...]",
		Hidden: true,
		Short:  "Prove that lessons can be taken: every check fails, is solved, and passes",
		Long: `prove goes through lessons as an attendee would, apart from anybody's own way: the check of each step must fail
before, and pass after the solution; then the lesson is reset, twice, and no reset may take more than 30 seconds.
--until has a lesson reset after one of its steps.`,
		Example: `  druppie-up lesson prove
  druppie-up lesson prove failing-test --until refused`,
		ValidArgsFunction: completeLessons,
	}, opts, true, func(ctx context.Context, _ *lessons.Walk, args []string) error { return opts.prove(ctx, args) })
	cmd.Flags().StringVar(&opts.until, "until", "", "id of the step after which to reset")
	cli.Complete(cmd, "until")
	return cmd
}

func (o *lessonOptions) prove(ctx context.Context, chosen []string) error {
	var err error
	if len(chosen) == 0 {
		if chosen, err = lessonNames(); err != nil {
			return err
		}
	}
	var proofs []lessons.Proof
	var failures []error
	v := view{headers: []string{"lesson", "result", "steps", "took", "reset", "why"}}
	for _, name := range chosen {
		if ctx.Err() != nil {
			break
		}
		o.app.rep.Note("lesson %s", name)
		dir, err := os.MkdirTemp(o.StateDir, "lessons-proof-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		w, err := o.open(filepath.Base(dir))
		if err != nil {
			return err
		}
		proof, err := w.Prove(ctx, name, o.until)
		proofs, failures = append(proofs, proof), append(failures, err)
		result := "passed"
		if !proof.Passed {
			result = "FAILED"
		}
		v.rows = append(v.rows, []string{
			name, result, strconv.Itoa(len(proof.Steps)), fmt.Sprintf("%.0f s", proof.Took.Seconds()), fmt.Sprintf("%.1f s", proof.Reset.Seconds()), proof.Why,
		})
	}
	return errors.Join(writeResult(o.app.Out, o.format, proofs, v), errors.Join(failures...))
}
