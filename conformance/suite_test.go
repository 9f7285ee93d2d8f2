package conformance_test

import (
	"bytes"
	"flag"
	"io/fs"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/druppie/druppie-up/conformance"
	"github.com/druppie/druppie-up/policies"
	"github.com/druppie/druppie-up/scenarios"
)

func load(t *testing.T) conformance.Suite {
	t.Helper()
	infos, err := scenarios.List()
	if err != nil {
		t.Fatal(err)
	}
	mutations, err := scenarios.Mutations()
	if err != nil {
		t.Fatal(err)
	}
	s, err := conformance.Load(policies.Controls, infos, mutations)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var update = flag.Bool("update", false, "write docs/controls.md anew")

// What auditors read is what the program does.
func TestDocsNameTheControlsAsTheyAre(t *testing.T) {
	var b bytes.Buffer
	if err := load(t).Markdown(&b); err != nil {
		t.Fatal(err)
	}
	const file = "../docs/controls.md"
	if *update {
		if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(have), b.String()); diff != "" {
		t.Errorf("docs/controls.md is out of date, write it with go test ./conformance -update:\n%s", diff)
	}
}

// A phase that no scenario has would make a mutation unnoticed for ever.
func TestEveryMutationNamesAPhaseOfItsScenario(t *testing.T) {
	s := load(t)
	if len(s.Mutations) < 20 {
		t.Errorf("%d mutations, want at least 20", len(s.Mutations))
	}
	for _, m := range s.Mutations {
		script, err := scenarios.Script(m.Red.Scenario)
		if err != nil {
			t.Fatalf("%s: %v", m.Name, err)
		}
		if !strings.Contains(string(script), "\nphase '"+m.Red.Phase+"'\n") {
			t.Errorf("%s: scenario %s has no phase %q", m.Name, m.Red.Scenario, m.Red.Phase)
		}
	}
}

// A control that nothing weakens is one whose proof nobody has seen fail.
func TestEveryControlThatIsThereIsWeakened(t *testing.T) {
	s := load(t)
	for _, c := range s.Controls {
		if weakened := len(s.Weakening(c.ID)) > 0; weakened != (c.State != conformance.Absent) {
			t.Errorf("%s is %s, and mutations weaken it: %v", c.ID, c.State, s.Weakening(c.ID))
		}
	}
}

func TestLoadRefusesASuiteThatProvesNothing(t *testing.T) {
	const control = `
- id: C3
  statement: {en: signed, nl: ondertekend}
  enforcedBy: Kyverno
  state: STATE
  norms: [{norm: BIO2, clause: "8.24"}]
`
	proven := []scenarios.Info{{Name: "unsigned-image", Controls: []string{"C3"}}}
	const mutation = `
control: C3
layer: policy
what: {en: weaker, nl: zwakker}
by: somebody
change: [{apiVersion: v1, kind: Policy, name: p}]
red: {scenario: SCENARIO, phase: refused}
`
	tests := []struct {
		name, state, scenario string
		infos                 []scenarios.Info
		want                  string
	}{
		{"as it should be", "enforced", "unsigned-image", proven, ""},
		{"an enforced control without a scenario", "enforced", "unsigned-image", nil, "these scenarios prove it: []"},
		{"an absent control with a scenario", "absent", "unsigned-image", proven, "it is absent"},
		{"a state that isn't one", "green", "unsigned-image", proven, `state "green"`},
		{"a partly enforced control that doesn't say what it lacks", "partly", "unsigned-image", proven, "what it lacks"},
		{"a scenario of an unknown control", "enforced", "unsigned-image", []scenarios.Info{{Name: "unsigned-image", Controls: []string{"C3", "C9"}}}, "proves C9"},
		{"a mutation that another control's scenario should notice", "enforced", "drift", proven, `scenario "drift"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			files := fstest.MapFS{"weaker.yaml": {Data: []byte(strings.Replace(mutation, "SCENARIO", tt.scenario, 1))}}
			_, err := conformance.Load([]byte(strings.Replace(control, "STATE", tt.state, 1)), tt.infos, fs.FS(files))
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// Whatever the order, nothing runs before what it needs.
func TestNeededKeepsScenariosBehindThoseTheyNeed(t *testing.T) {
	s := load(t)
	inOrder := conformance.Needed(s, nil)
	if len(inOrder) != len(s.Scenarios) {
		t.Errorf("%d of %d scenarios", len(inOrder), len(s.Scenarios))
	}
	orders := map[string]bool{}
	for seed := range uint64(20) {
		got := conformance.Needed(s, rand.New(rand.NewPCG(seed, 0)).Shuffle)
		if diff := cmp.Diff(slices.Sorted(slices.Values(inOrder)), slices.Sorted(slices.Values(got))); diff != "" {
			t.Fatal(diff)
		}
		for _, info := range s.Scenarios {
			for _, before := range info.After {
				if slices.Index(got, before) > slices.Index(got, info.Name) {
					t.Errorf("seed %d: %s runs before %s", seed, info.Name, before)
				}
			}
		}
		orders[strings.Join(got, " ")] = true
	}
	if len(orders) < 10 {
		t.Errorf("20 seeds give %d orders", len(orders))
	}
}

func TestSelectRunsWhatAControlNeedsAndNoMore(t *testing.T) {
	s, err := load(t).Select([]string{"F6.3"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"first-flight", "gatekeeper-down", "root-refused"}, conformance.Needed(s, nil)); diff != "" {
		t.Error(diff)
	}
	for _, m := range s.Mutations {
		if m.Control != "F6.3" {
			t.Errorf("mutation %s is of %s", m.Name, m.Control)
		}
	}
	if _, err := load(t).Select([]string{"C3", "C33"}); err == nil || !strings.Contains(err.Error(), `"C33"`) {
		t.Errorf("got %v", err)
	}
}

func TestSampleTriesAllByAndBy(t *testing.T) {
	s := load(t)
	seen := map[string]bool{}
	for i := range 200 {
		sample := s.Sample(2, strconv.Itoa(i)).Mutations
		if len(sample) != 2 {
			t.Fatalf("%d mutations", len(sample))
		}
		for _, m := range sample {
			seen[m.Name] = true
		}
	}
	if len(seen) != len(s.Mutations) {
		t.Errorf("after 200 runs %d of %d mutations were tried", len(seen), len(s.Mutations))
	}
	if diff := cmp.Diff(s.Sample(2, "a"), s.Sample(2, "a")); diff != "" {
		t.Errorf("the same key gives another sample:\n%s", diff)
	}
}
