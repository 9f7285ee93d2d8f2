package conformance_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/druppie/druppie-up/conformance"
	"github.com/druppie/druppie-up/internal/text"
	"github.com/druppie/druppie-up/scenarios"
)

// suite has a control of each state, and mutations of the enforced one.
func suite(mutations ...string) conformance.Suite {
	s := conformance.Suite{
		Controls: []conformance.Control{
			{ID: "C3", State: conformance.Enforced},
			{ID: "C5", State: conformance.Partly, Lacks: text.Of("network", "netwerk")},
			{ID: "C2", State: conformance.Absent, Lacks: text.Of("scanner", "scanner")},
		},
		Scenarios: []scenarios.Info{
			{Name: "flight", Controls: []string{"C3", "C5"}},
			{Name: "refused", Controls: []string{"C3"}, After: []string{"flight"}},
		},
	}
	for _, name := range mutations {
		s.Mutations = append(s.Mutations, conformance.Mutation{Name: name, Control: "C3", Red: conformance.Red{Scenario: "refused", Phase: "by tag"}})
	}
	return s
}

// fake is a platform whose controls work, unless a mutation is applied.
type fake struct {
	mutated string
	blind   map[string]bool   // mutations that no scenario notices
	phase   map[string]string // in which a mutation is noticed, where it isn't the usual one
	broken  map[string]bool   // scenarios that fail
	applied error             // what Mutate says
	stolen  bool              // somebody undoes what is applied
	faults  map[string]error  // what Mutate says after it has changed something, by mutation
	clumsy  int               // how often Undo fails before it doesn't
	undone  []string
	ran     []string
}

func (p *fake) Mutate(_ context.Context, m conformance.Mutation) error {
	if p.applied != nil {
		return p.applied
	}
	p.mutated = m.Name
	return p.faults[m.Name]
}

func (p *fake) Applied(context.Context) (string, error) {
	if p.stolen {
		return "", nil
	}
	return p.mutated, nil
}

func (p *fake) Undo(context.Context) (string, error) {
	if p.clumsy > 0 {
		p.clumsy--
		return p.mutated, errors.New("connection lost")
	}
	name := p.mutated
	p.mutated = ""
	p.undone = append(p.undone, name)
	return name, nil
}

func (p *fake) run(_ context.Context, name string) (scenarios.Result, error) {
	p.ran = append(p.ran, name)
	r := scenarios.Result{Name: name, Passed: true}
	fails := p.broken[name]
	phase := "by tag"
	if p.mutated != "" && !p.blind[p.mutated] {
		fails = true
		if other := p.phase[p.mutated]; other != "" {
			phase = other
		}
	}
	if fails {
		r.Passed, r.Why, r.Phases = false, "it was admitted", []scenarios.Phase{{Name: phase, Failed: true}}
		return r, scenarios.ErrFailed
	}
	return r, nil
}

func (p *fake) options() conformance.Options {
	return conformance.Options{
		Run: p.run, Cluster: p, Note: func(string, ...any) {}, Now: time.Now,
		Keep: func(conformance.MutationResult) error { return nil },
	}
}

func verdicts(r conformance.Report) string {
	var all []string
	for _, c := range r.Controls {
		all = append(all, c.ID+" "+string(c.Verdict))
	}
	return strings.Join(all, ", ")
}

func TestCheckCallsNothingProvenThatWasntTried(t *testing.T) {
	tests := []struct {
		name string
		p    fake
		want string
	}{
		{"all passes", fake{}, "C3 holds, C5 holds, C2 not there"},
		{"a scenario fails", fake{broken: map[string]bool{"refused": true}}, "C3 broken, C5 holds, C2 not there"},
		{"the scenario of both fails", fake{broken: map[string]bool{"flight": true}}, "C3 broken, C5 broken, C2 not there"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rep, err := suite().Check(t.Context(), tt.p.options())
			if err != nil || verdicts(rep) != tt.want {
				t.Errorf("got %s (%v), want %s", verdicts(rep), err, tt.want)
			}
		})
	}
	t.Run("interrupted", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		p := fake{}
		o := p.options()
		o.Run = func(ctx context.Context, name string) (scenarios.Result, error) {
			if name == "refused" {
				cancel()
				return scenarios.Result{Name: name}, ctx.Err()
			}
			return p.run(ctx, name)
		}
		rep, err := suite().Check(ctx, o)
		if !errors.Is(err, context.Canceled) || verdicts(rep) != "C3 not run, C5 holds, C2 not there" {
			t.Errorf("got %s (%v)", verdicts(rep), err)
		}
	})
	t.Run("one round of three fails", func(t *testing.T) {
		p := fake{}
		o, runs := p.options(), 0
		o.Repeat = 3
		o.Run = func(ctx context.Context, name string) (scenarios.Result, error) {
			runs++
			p.broken = map[string]bool{"refused": runs == 4}
			return p.run(ctx, name)
		}
		if rep, err := suite().Check(t.Context(), o); err != nil || verdicts(rep) != "C3 broken, C5 holds, C2 not there" || runs != 6 {
			t.Errorf("got %s after %d runs (%v)", verdicts(rep), runs, err)
		}
	})
}

func TestMutateCallsAScenarioThatStaysGreenAFault(t *testing.T) {
	p := fake{blind: map[string]bool{"unseen": true}, phase: map[string]string{"elsewhere": "another phase"}}
	rep, err := suite("seen", "unseen", "elsewhere").Mutate(t.Context(), p.options())
	if err != nil {
		t.Fatal(err)
	}
	if got := rep.Unnoticed(); !slices.Equal(got, []string{"unseen", "elsewhere"}) {
		t.Errorf("unnoticed: %v", got)
	}
	if !slices.Equal(p.undone, []string{"seen", "unseen", "elsewhere"}) || p.mutated != "" {
		t.Errorf("undone: %v, still applied: %q", p.undone, p.mutated)
	}
}

func TestMutateLeavesAloneWhatAnotherRunHasApplied(t *testing.T) {
	p := fake{applied: conformance.ErrApplied}
	if _, err := suite("seen").Mutate(t.Context(), p.options()); !errors.Is(err, conformance.ErrApplied) || p.undone != nil || p.ran != nil {
		t.Errorf("got %v, undone %v, ran %v", err, p.undone, p.ran)
	}
	p = fake{applied: errors.New("half of it failed")}
	if _, err := suite("seen").Mutate(t.Context(), p.options()); err == nil || len(p.undone) != 1 {
		t.Errorf("got %v, undone %v", err, p.undone)
	}
}

// Whoever can't try a mutation must not say of a scenario that it is blind.
func TestMutateGivesNoVerdictWhereNothingWasTried(t *testing.T) {
	undone := fake{stolen: true, blind: map[string]bool{"seen": true}}
	rep, err := suite("seen").Mutate(t.Context(), undone.options())
	if err == nil || !strings.Contains(err.Error(), "somebody undid it") || len(rep.Mutations) != 0 {
		t.Errorf("undone meanwhile: %v, %d results", err, len(rep.Mutations))
	}
	p := fake{}
	o := p.options()
	o.Run = func(_ context.Context, name string) (scenarios.Result, error) {
		return scenarios.Result{Name: name, Why: "run first-flight before this one"}, scenarios.ErrFailed
	}
	rep, err = suite("seen").Mutate(t.Context(), o)
	if err == nil || !strings.Contains(err.Error(), "run first-flight before") || len(rep.Mutations) != 0 || len(p.undone) != 1 {
		t.Errorf("scenario that can't begin: %v, %d results, undone %v", err, len(rep.Mutations), p.undone)
	}
}

// On a new platform nothing stands yet of what a mutation's scenario comes after: that runs first, with the control in
// place.
func TestMutateRunsFirstWhatTheScenarioComesAfter(t *testing.T) {
	p := fake{}
	o := p.options()
	o.Run = func(ctx context.Context, name string) (scenarios.Result, error) {
		if name == "flight" && p.mutated != "" {
			t.Error("what comes before ran under the mutation")
		}
		if name == "refused" && !slices.Contains(p.ran, "flight") {
			return scenarios.Result{Name: name, Why: "run flight before this one"}, scenarios.ErrFailed
		}
		return p.run(ctx, name)
	}
	rep, err := suite("seen", "second").Mutate(t.Context(), o)
	if err != nil || len(rep.Mutations) != 2 || len(rep.Unnoticed()) != 0 || !slices.Equal(p.ran, []string{"flight", "refused", "refused"}) {
		t.Errorf("got %v, ran %v (%v)", rep.Mutations, p.ran, err)
	}
	p = fake{broken: map[string]bool{"flight": true}}
	if rep, err := suite("seen").Mutate(t.Context(), o); err == nil || len(rep.Mutations) != 0 {
		t.Errorf("where what comes before fails: got %v (%v)", rep.Mutations, err)
	}
	p = fake{clumsy: 2}
	if _, err := suite("seen").Mutate(t.Context(), o); err == nil || len(p.ran) != 0 {
		t.Errorf("where the mutation is still applied: ran %v (%v)", p.ran, err)
	}
}

func TestCheckProvesNothingWhileAMutationIsApplied(t *testing.T) {
	p := fake{mutated: "weaker"}
	if _, err := suite().Check(t.Context(), p.options()); !errors.Is(err, conformance.ErrApplied) || p.ran != nil {
		t.Errorf("got %v, ran %v", err, p.ran)
	}
}

func TestMutateGoesOnWhereItStopped(t *testing.T) {
	p := fake{}
	o := p.options()
	o.Known = map[string]conformance.MutationResult{"seen": {Name: "seen", Control: "C3", Noticed: true}, "second": {Name: "second"}}
	var kept []string
	o.Keep = func(r conformance.MutationResult) error { kept = append(kept, r.Name); return nil }
	rep, err := suite("seen", "second").Mutate(t.Context(), o)
	if err != nil || len(rep.Mutations) != 2 || !slices.Equal(kept, []string{"second"}) || len(p.ran) != 1 {
		t.Errorf("got %d results, kept %v, ran %v (%v)", len(rep.Mutations), kept, p.ran, err)
	}
}

// One that can't be tried is no reason to try no other, unless it is still applied.
func TestMutateGoesOnBehindWhatCouldNotBeTried(t *testing.T) {
	lost := errors.New("connection lost")
	p := fake{faults: map[string]error{"first": lost}}
	rep, err := suite("first", "second").Mutate(t.Context(), p.options())
	if !errors.Is(err, lost) || len(rep.Mutations) != 1 || rep.Mutations[0].Name != "second" || p.mutated != "" {
		t.Errorf("got %v (%v), still applied: %q", rep.Mutations, err, p.mutated)
	}
	p = fake{clumsy: 1}
	if rep, err = suite("first", "second").Mutate(t.Context(), p.options()); err != nil || len(rep.Mutations) != 2 {
		t.Errorf("undone at the second attempt: got %v (%v)", rep.Mutations, err)
	}
	p = fake{applied: lost}
	if rep, err = suite("first", "second", "third", "fourth").Mutate(t.Context(), p.options()); !errors.Is(err, lost) || len(p.undone) != 3 {
		t.Errorf("where none can be tried it tried %d: %v (%v)", len(p.undone), rep.Mutations, err)
	}
	p = fake{clumsy: 4}
	if rep, err = suite("first", "second").Mutate(t.Context(), p.options()); err == nil || len(rep.Mutations) != 0 || p.mutated != "first" {
		t.Errorf("not undone: got %v (%v), applied: %q", rep.Mutations, err, p.mutated)
	}
}

// What wasn't tried must never count as passed, whoever reads the report.
func TestReportForms(t *testing.T) {
	p := fake{broken: map[string]bool{"refused": true}, blind: map[string]bool{"unseen": true}}
	rep, err := suite().Check(t.Context(), p.options())
	if err != nil {
		t.Fatal(err)
	}
	mutated, err := suite("unseen").Mutate(t.Context(), p.options())
	if err != nil {
		t.Fatal(err)
	}
	rep.Mutations = mutated.Mutations
	var junit, markdown bytes.Buffer
	if err := errors.Join(rep.JUnit(&junit), rep.Markdown(&markdown)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`name="controls" tests="3" failures="1" skipped="1"`, `name="scenarios" tests="2" failures="1"`, `skipped message="not there: scanner"`} {
		if !strings.Contains(junit.String(), want) {
			t.Errorf("no %q in\n%s", want, junit.String())
		}
	}
	if want := "| C2 |  | not there | scanner |  |"; !strings.Contains(markdown.String(), want) {
		t.Errorf("no %q in\n%s", want, markdown.String())
	}
	rep.Platform, rep.Mutations[0].Name = "p|<b>\x1b]0;x", "a\n|<i>"
	var hostile bytes.Buffer
	if err := rep.Markdown(&hostile); err != nil {
		t.Fatal(err)
	}
	if s := hostile.String(); strings.ContainsAny(s, "<>\x1b") || strings.Contains(s, "# Conformance of p|") {
		t.Errorf("what a report says becomes more than text:\n%s", s)
	}
}

// Each mutation gets the next scenarios of other controls, and what becomes of them is no verdict.
func TestMutateRunsOthersByRotation(t *testing.T) {
	s := suite("seen", "unseen")
	for _, name := range []string{"a", "b", "c"} {
		s.Scenarios = append(s.Scenarios, scenarios.Info{Name: name, Controls: []string{"C5"}})
	}
	p := fake{}
	o := p.options()
	o.Others = 2
	o.Run = func(ctx context.Context, name string) (scenarios.Result, error) {
		if len(name) == 1 {
			return scenarios.Result{Name: name, Passed: name != "b"}, nil
		}
		return p.run(ctx, name)
	}
	rep, err := s.Mutate(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range rep.Mutations {
		for _, other := range m.Others {
			got = append(got, fmt.Sprintf("%s %s %v", m.Name, other.Scenario, other.Passed))
		}
	}
	want := []string{"seen a true", "seen b false", "unseen c true", "unseen a true"}
	if !slices.Equal(got, want) || len(rep.Unnoticed()) != 0 {
		t.Errorf("got %q, unnoticed %v; want %q", got, rep.Unnoticed(), want)
	}
}

// On another's machine a scenario that needs the machine doesn't run, and the report says of which control.
func TestWhatNeedsTheMachineIsLeftOutElsewhere(t *testing.T) {
	s := suite("seen", "of the machine")
	s.Controls = append(s.Controls, conformance.Control{ID: "F2", State: conformance.Enforced})
	s.Scenarios = append(s.Scenarios, scenarios.Info{Name: "restart", Controls: []string{"C3", "F2"}, Machine: true})
	s.Mutations[1].Red.Scenario = "restart"
	s = s.Elsewhere()
	p := fake{}
	rep, err := s.Check(t.Context(), p.options())
	if err != nil {
		t.Fatal(err)
	}
	if slices.Contains(p.ran, "restart") || len(p.ran) != 2 {
		t.Errorf("%v ran", p.ran)
	}
	for id, want := range map[string]conformance.Verdict{"C3": conformance.Holds, "F2": conformance.NotRun} {
		i := slices.IndexFunc(rep.Controls, func(c conformance.ControlResult) bool { return c.ID == id })
		c := rep.Controls[i]
		if c.Verdict != want || !slices.Equal(c.LeftOut, []string{"restart"}) || !strings.Contains(c.Why, "restart") {
			t.Errorf("%s %s, left out %v: %s", id, c.Verdict, c.LeftOut, c.Why)
		}
	}
	if rep, err = s.Mutate(t.Context(), p.options()); err != nil || len(rep.Mutations) != 1 || rep.Mutations[0].Name != "seen" {
		t.Errorf("mutations %v (%v)", rep.Mutations, err)
	}
}
