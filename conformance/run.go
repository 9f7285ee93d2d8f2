package conformance

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/druppie/druppie-up/scenarios"
)

// RunFunc runs one scenario against the platform. Its result says whether it passed; so does its error.
type RunFunc func(ctx context.Context, scenario string) (scenarios.Result, error)

// Options say how to prove the controls.
type Options struct {
	Run     RunFunc
	Beside  []RunFunc // each runs scenarios in another tenant than Run and the others do, at the same time
	Cluster Cluster
	Shuffle func(n int, swap func(i, j int)) // nil: in order
	Repeat  int                              // rounds of the scenarios
	Others  int                              // how many scenarios of other controls also run under each mutation
	Note    func(format string, args ...any) // tells people what goes on
	Known   map[string]MutationResult        // what earlier runs of the matrix found, by mutation; those aren't run again
	Keep    func(MutationResult) error       // keeps what a mutation showed, for a later run
	Now     func() time.Time
	// Again is how long to wait before an undo that failed is tried once more.
	Again time.Duration
}

// Check runs the scenarios of the suite's controls and says of each control whether it holds. While a mutation
// is applied it refuses: the error is ErrApplied.
func (s Suite) Check(ctx context.Context, o Options) (Report, error) {
	rep := newReport()
	if applied, err := o.Cluster.Applied(ctx); err != nil || applied != "" {
		return rep, cmp.Or(err, ErrApplied)
	}
	for round := range max(o.Repeat, 1) {
		results, err := s.round(ctx, o, round+1)
		rep.Scenarios = append(rep.Scenarios, results...)
		if err != nil {
			return s.judge(rep), err
		}
	}
	return s.judge(rep), nil
}

// Mutate applies each mutation in turn, runs the scenario that must notice, and undoes it. A scenario that
// stays green is a fault of the scenario; one that turns red in another phase proves nothing either. Of whether
// the controls hold the report says nothing: that is Check's.
func (s Suite) Mutate(ctx context.Context, o Options) (Report, error) {
	rep := newReport()
	var untried error
	inARow := 0 // that couldn't be tried
	for _, m := range s.Mutations {
		if known := o.Known[m.Name]; known.Noticed {
			o.Note("mutation %s was noticed in an earlier run", m.Name)
			rep.Mutations = append(rep.Mutations, known)
			continue
		}
		o.Note("mutation %s: %s", m.Name, m.What.EN)
		result, err := s.try(ctx, o, m)
		if errors.Is(err, errBegin) {
			result, err = s.again(ctx, o, m, err)
		}
		if err != nil {
			untried = errors.Join(untried, fmt.Errorf("mutation %s: %w", m.Name, err))
			applied, unknown := o.Cluster.Applied(ctx)
			if inARow++; inARow == maxUntried || ctx.Err() != nil || unknown != nil || applied != "" || errors.Is(err, ErrApplied) || errors.Is(err, errUndone) {
				return rep, untried
			}
			o.Note("nothing is known of mutation %s, and nothing of it is left: %v", m.Name, err)
			continue
		}
		inARow = 0
		rep.Mutations = append(rep.Mutations, result)
		if err := o.Keep(result); err != nil {
			return rep, errors.Join(untried, err)
		}
	}
	return rep, untried
}

// maxUntried is how many mutations in a row may not be tried before that says something of the platform, and not of
// them.
const maxUntried = 3

var (
	errUndone = errors.New("somebody undid it while the scenario ran, so nothing is known")
	errBegin  = errors.New("the scenario that must notice couldn't begin")
)

// again tries a mutation once more after what its scenario comes after, of which a new platform has nothing yet. It gives
// why the scenario couldn't begin where there is no such thing, or the mutation is still applied.
func (s Suite) again(ctx context.Context, o Options, m Mutation, why error) (MutationResult, error) {
	i := slices.IndexFunc(s.Scenarios, func(info scenarios.Info) bool { return info.Name == m.Red.Scenario })
	if i < 0 || len(s.Scenarios[i].After) == 0 {
		return MutationResult{}, why
	}
	if applied, err := o.Cluster.Applied(ctx); err != nil || applied != "" {
		return MutationResult{}, errors.Join(why, err)
	}
	for _, name := range s.Scenarios[i].After {
		o.Note("scenario %s comes after %s", m.Red.Scenario, name)
		if _, err := o.Run(ctx, name); err != nil {
			return MutationResult{}, errors.Join(why, fmt.Errorf("%s, which it comes after: %w", name, err))
		}
	}
	return s.try(ctx, o, m)
}

// try weakens one control and looks who notices. Whatever happens, the control is put back.
func (s Suite) try(ctx context.Context, o Options, m Mutation) (result MutationResult, err error) {
	began := o.Now()
	mutated := o.Cluster.Mutate(ctx, m)
	if errors.Is(mutated, ErrApplied) {
		return result, mutated
	}
	defer func() {
		o.Note("mutation %s is being undone", m.Name)
		_, undone := o.Cluster.Undo(context.WithoutCancel(ctx))
		if undone != nil { // perhaps for a connection that broke
			o.Note("mutation %s is being undone once more: %v", m.Name, undone)
			time.Sleep(o.Again)
			_, undone = o.Cluster.Undo(context.WithoutCancel(ctx))
		}
		err = errors.Join(err, undone)
	}()
	if mutated != nil {
		return result, mutated
	}
	run, _ := o.Run(ctx, m.Red.Scenario) // that it failed is in the result
	if ctx.Err() != nil {
		return result, context.Cause(ctx)
	}
	var others []Other
	for _, name := range s.others(m, o.Others) {
		other, _ := o.Run(ctx, name)
		if ctx.Err() != nil {
			return result, context.Cause(ctx)
		}
		others = append(others, Other{Scenario: name, Passed: other.Passed, Why: other.Why})
	}
	applied, err := o.Cluster.Applied(ctx)
	switch {
	case err != nil:
		return result, err
	case applied != m.Name:
		return result, errUndone
	case !run.Passed && run.Failed() == "":
		return result, fmt.Errorf("%w: %s", errBegin, run.Why)
	}
	result = MutationResult{
		Name: m.Name, Control: m.Control, What: m.What, Scenario: m.Red.Scenario, Phase: run.Failed(), Why: run.Why,
		Noticed: !run.Passed && run.Failed() == m.Red.Phase, Others: others, Took: o.Now().Sub(began),
	}
	return result, nil
}

// others names n scenarios that don't prove the mutation's control, by rotation: the next mutation gets the next.
func (s Suite) others(m Mutation, n int) []string {
	var names []string
	for _, info := range s.Scenarios {
		// A node that restarts tells nothing about a control that it has nothing to do with, and takes long.
		if !slices.Contains(info.Controls, m.Control) && !info.Machine {
			names = append(names, info.Name)
		}
	}
	turn := n * slices.IndexFunc(s.Mutations, func(other Mutation) bool { return other.Name == m.Name })
	var out []string
	for i := range min(n, len(names)) {
		out = append(out, names[(turn+i)%len(names)])
	}
	return out
}

// judge says of each control what the runs show of it.
func (s Suite) judge(rep Report) Report {
	rep.Controls = nil
	for _, c := range s.Controls {
		rep.Controls = append(rep.Controls, judge(c, s.Proving(c.ID), s.leftOut(c.ID), rep))
	}
	return rep
}

func judge(c Control, proving, leftOut []string, rep Report) ControlResult {
	r := ControlResult{Control: c, Verdict: Holds, Scenarios: proving, LeftOut: leftOut}
	ran := map[string]bool{}
	for _, run := range rep.Scenarios {
		if !slices.Contains(proving, run.Name) {
			continue
		}
		ran[run.Name] = true
		if !run.Passed && r.Verdict == Holds {
			r.Verdict, r.Why = Broken, run.Title()+": "+run.Why
		}
	}
	switch {
	case c.State == Absent:
		r.Verdict, r.Why = NotThere, c.Lacks.EN
	case r.Verdict == Holds && len(ran) < len(proving):
		r.Verdict, r.Why = NotRun, fmt.Sprintf("%d of its %d scenarios ran", len(ran), len(proving))
	case r.Verdict == Holds && c.State == Partly:
		r.Why = c.Lacks.EN
	}
	if len(leftOut) > 0 {
		untried := "not tried, since it needs the machine of the nodes: " + strings.Join(leftOut, ", ")
		r.Why = strings.Join(slices.DeleteFunc([]string{r.Why, untried}, func(s string) bool { return s == "" }), "; ")
		if len(proving) == 0 {
			r.Verdict = NotRun
		}
	}
	return r
}
