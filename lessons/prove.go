package lessons

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Proof is what came of solving a lesson as an attendee would.
type Proof struct {
	Lesson string        `json:"lesson"`
	Passed bool          `json:"passed"`
	Why    string        `json:"why,omitempty"` // it didn't
	Steps  []ProvenStep  `json:"steps"`
	Reset  time.Duration `json:"reset"` // how long it took
	Took   time.Duration `json:"took"`
}

// ProvenStep is one step: what its check said before, and how long the solution and the check took.
type ProvenStep struct {
	ID     string        `json:"id"`
	Before string        `json:"before"`
	Took   time.Duration `json:"took"`
}

// beforePatience is how long a check that must fail may wait.
const beforePatience = 3 * time.Second

// Prove goes through a lesson on the platform: each step's check fails, the solution runs, the check passes. Then,
// or after the step that until names, the lesson is reset, twice: a second reset finds nothing to do. It wants a
// walk of its own, in which no lesson has begun.
func (w *Walk) Prove(ctx context.Context, name, until string) (Proof, error) {
	began := time.Now()
	proof := Proof{Lesson: name}
	err := w.proveSteps(ctx, name, until, &proof)
	// Whatever happened is taken back.
	undo := context.WithoutCancel(ctx)
	id := ""
	if p := w.Progress(name); p != nil {
		id = p.ID
	}
	reset := time.Now()
	err = errors.Join(err, w.Reset(undo, name))
	proof.Reset = time.Since(reset)
	if proof.Reset > ResetLimit {
		err = errors.Join(err, fmt.Errorf("the reset took %s, and %s is all it may", proof.Reset, ResetLimit))
	}
	if err == nil && id != "" {
		err = w.again(undo, name, id)
	}
	proof.Took, proof.Passed = time.Since(began), err == nil
	if err != nil {
		proof.Why = err.Error()
		err = fmt.Errorf("lesson %s: %w", name, err)
	}
	return proof, err
}

func (w *Walk) proveSteps(ctx context.Context, name, until string, proof *Proof) error {
	v, err := w.Start(ctx, name)
	for err == nil {
		began := time.Now()
		step := ProvenStep{ID: v.ID}
		before, failed := w.Check(ctx, CheckOptions{Wait: beforePatience})
		switch {
		case failed == nil:
			return fmt.Errorf("the check of step %s passes before anything was done", v.ID)
		case !errors.Is(failed, ErrNotYet):
			return failed
		}
		step.Before = before.Seen
		after, err := w.Check(ctx, CheckOptions{Solve: true})
		if err != nil {
			return fmt.Errorf("step %s, solved: %w", v.ID, err)
		}
		step.Took = time.Since(began)
		proof.Steps = append(proof.Steps, step)
		if after.Done || v.ID == until {
			return nil
		}
		v, err = w.Next()
		if err != nil {
			return err
		}
	}
	return err
}

// again resets what was reset already, as whoever isn't sure does: there must be nothing left to do.
func (w *Walk) again(ctx context.Context, name, id string) error {
	w.state.Lessons[name] = &Progress{ID: id, Began: time.Now().UTC(), Vars: map[string]string{}}
	if err := w.Reset(ctx, name); err != nil {
		return fmt.Errorf("the second reset: %w", err)
	}
	return nil
}
