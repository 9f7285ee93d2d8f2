// Package conformance proves the platform's controls, and proves that they can fail: it runs the scenarios
// of a control, weakens the control and wants one of them to turn red, and says of each control whether it
// holds. What there is to prove is data: the controls in policies/controls.yaml, the scenarios, and the
// mutations beside them. It refuses to call a control proven that nobody tried, and to install or mend
// anything but what it changed itself.
package conformance

import (
	"cmp"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/druppie/druppie-up/internal/text"
	"github.com/druppie/druppie-up/scenarios"
)

// State is how far a control is built.
type State string

// The states.
const (
	Enforced State = "enforced"
	Partly   State = "partly" // Lacks says what isn't there
	Absent   State = "absent" // nothing enforces it
)

// Control is a step or control of the design.
type Control struct {
	ID         string    `json:"id"`
	Statement  text.Text `json:"statement"`
	EnforcedBy string    `json:"enforcedBy"`
	State      State     `json:"state"`
	Lacks      text.Text `json:"lacks,omitzero"`
	Norms      []Norm    `json:"norms"`
}

// Norm is a clause of a norm that the control answers to.
type Norm struct {
	Norm   string `json:"norm"`
	Clause string `json:"clause"`
}

// Suite is all that there is to prove, and to prove it with.
type Suite struct {
	Controls  []Control        `json:"controls"`
	Scenarios []scenarios.Info `json:"scenarios"` // in an order in which they can run
	Mutations []Mutation       `json:"mutations"`
	// LeftOut are scenarios that can't run on the platform that is asked about.
	LeftOut []scenarios.Info `json:"leftOut,omitempty"`
}

// Load reads a suite: the text of controls.yaml, the scenarios, and a folder of mutations. It refuses one
// in which something proves or weakens a control that isn't there, and an enforced control that no
// scenario proves.
func Load(controls []byte, infos []scenarios.Info, mutations fs.FS) (Suite, error) {
	s := Suite{Scenarios: infos}
	if err := yaml.UnmarshalStrict(controls, &s.Controls); err != nil {
		return s, fmt.Errorf("read controls.yaml: %w", err)
	}
	files, err := fs.Glob(mutations, "*.yaml")
	if err != nil {
		return s, err
	}
	for _, file := range files {
		data, err := fs.ReadFile(mutations, file)
		if err != nil {
			return s, err
		}
		m := Mutation{Name: strings.TrimSuffix(path.Base(file), ".yaml")}
		if err := yaml.UnmarshalStrict(data, &m); err != nil {
			return s, fmt.Errorf("mutation %s: %w", m.Name, err)
		}
		s.Mutations = append(s.Mutations, m)
	}
	return s, s.validate()
}

func (s Suite) validate() error {
	var errs []error
	say := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	for _, c := range s.Controls {
		if c.State != Enforced && c.State != Partly && c.State != Absent {
			say("control %s: state %q is none of enforced, partly, absent", c.ID, c.State)
		}
		if (c.State == Enforced) != (c.Lacks == text.Text{}) {
			say("control %s: what it lacks must be said where it isn't enforced, and nowhere else", c.ID)
		}
		if (c.State == Absent) != (len(s.Proving(c.ID)) == 0) {
			say("control %s: it is %s, and these scenarios prove it: %v", c.ID, c.State, s.Proving(c.ID))
		}
		if c.Statement.EN == "" || c.Statement.NL == "" || c.EnforcedBy == "" || len(c.Norms) == 0 {
			say("control %s: statement in English and Dutch, enforcedBy and norms are wanted", c.ID)
		}
	}
	for _, info := range s.Scenarios {
		for _, id := range info.Controls {
			if !s.has(id) {
				say("scenario %s proves %s, which isn't in controls.yaml", info.Name, id)
			}
		}
	}
	for _, m := range s.Mutations {
		if err := m.validate(s); err != nil {
			say("mutation %s: %w", m.Name, err)
		}
	}
	return errors.Join(errs...)
}

func (s Suite) has(id string) bool {
	return slices.ContainsFunc(s.Controls, func(c Control) bool { return c.ID == id })
}

// Proving names the scenarios that prove a control, in an order in which they can run.
func (s Suite) Proving(id string) []string {
	var names []string
	for _, info := range s.Scenarios {
		if slices.Contains(info.Controls, id) {
			names = append(names, info.Name)
		}
	}
	return names
}

// Weakening names the mutations of a control.
func (s Suite) Weakening(id string) []string {
	var names []string
	for _, m := range s.Mutations {
		if m.Control == id {
			names = append(names, m.Name)
		}
	}
	return names
}

// Select keeps the named controls, and the mutations of these. Without names it is the whole suite.
func (s Suite) Select(ids []string) (Suite, error) {
	if len(ids) == 0 {
		return s, nil
	}
	for _, id := range ids {
		if !s.has(id) {
			var known []string
			for _, c := range s.Controls {
				known = append(known, c.ID)
			}
			return s, fmt.Errorf("no control is named %q; there are %s", id, strings.Join(known, ", "))
		}
	}
	out := Suite{Scenarios: s.Scenarios, LeftOut: s.LeftOut}
	out.Controls = slices.DeleteFunc(slices.Clone(s.Controls), func(c Control) bool { return !slices.Contains(ids, c.ID) })
	out.Mutations = slices.DeleteFunc(slices.Clone(s.Mutations), func(m Mutation) bool { return !slices.Contains(ids, m.Control) })
	return out, nil
}

// Elsewhere is what can be proven of a platform on another machine: without the scenarios that need that
// machine, and without the mutations that only these notice.
func (s Suite) Elsewhere() Suite {
	needsMachine := func(i scenarios.Info) bool { return i.Machine }
	s.LeftOut = slices.DeleteFunc(slices.Clone(s.Scenarios), func(i scenarios.Info) bool { return !needsMachine(i) })
	s.Scenarios = slices.DeleteFunc(slices.Clone(s.Scenarios), needsMachine)
	s.Mutations = slices.DeleteFunc(slices.Clone(s.Mutations), func(m Mutation) bool {
		return slices.ContainsFunc(s.LeftOut, func(i scenarios.Info) bool { return i.Name == m.Red.Scenario })
	})
	return s
}

// leftOut names the scenarios of a control that can't run here.
func (s Suite) leftOut(id string) []string {
	return Suite{Scenarios: s.LeftOut}.Proving(id)
}

// Sample keeps n of the mutations, others for each key: a run that has no time for all tries all by and by.
func (s Suite) Sample(n int, key string) Suite {
	rank := func(m Mutation) uint64 {
		h := fnv.New64a()
		io.WriteString(h, key+" "+m.Name)
		return h.Sum64()
	}
	s.Mutations = slices.SortedFunc(slices.Values(s.Mutations), func(a, b Mutation) int { return cmp.Compare(rank(a), rank(b)) })
	s.Mutations = s.Mutations[:min(n, len(s.Mutations))]
	return s
}

// needed names the scenarios that prove any of the suite's controls, and those that must have run before
// them, in an order in which they can run. shuffle, if there is one, shuffles as far as that order allows.
func (s Suite) needed(shuffle func(n int, swap func(i, j int))) []string {
	want := map[string]bool{}
	for _, info := range slices.Backward(s.Scenarios) { // what comes after another stands behind it
		proves := slices.ContainsFunc(info.Controls, s.has)
		if proves || want[info.Name] {
			want[info.Name] = true
			for _, before := range info.After {
				want[before] = true
			}
		}
	}
	left := slices.DeleteFunc(slices.Clone(s.Scenarios), func(i scenarios.Info) bool { return !want[i.Name] })
	if shuffle != nil {
		shuffle(len(left), func(i, j int) { left[i], left[j] = left[j], left[i] })
	}
	var names []string
	for len(left) > 0 {
		i := slices.IndexFunc(left, func(info scenarios.Info) bool {
			return !slices.ContainsFunc(info.After, func(n string) bool { return want[n] && !slices.Contains(names, n) })
		})
		names = append(names, left[i].Name)
		left = slices.Delete(left, i, i+1)
	}
	return names
}
