package pages

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/why"
)

func TestNodeState(t *testing.T) {
	link := func(seq int64, kind tracedb.Kind, outcome tracedb.Outcome, run string) why.Link {
		return why.Link{Entry: tracedb.Entry{Seq: seq, Kind: kind, Outcome: outcome, Refs: tracedb.SortRefs([]tracedb.Ref{{Type: tracedb.RefRun, Value: run}})}}
	}
	const gate = tracedb.KindVerdict
	tests := []struct {
		name  string
		links []why.Link
		want  stepState
		bad   int
	}{
		{"nothing", nil, stateMissing, 0},
		{"evidence", []why.Link{link(1, gate, tracedb.Passed, "a")}, stateEvidence, 0},
		{"without an outcome", []why.Link{link(1, tracedb.KindSBOM, "", "a")}, stateEvidence, 0},
		{"failed", []why.Link{link(1, gate, tracedb.Failed, "a")}, stateFailed, 1},
		{"failed, and passed in a later run", []why.Link{link(1, gate, tracedb.Failed, "a"), link(2, gate, tracedb.Passed, "b")}, stateEvidence, 1},
		{"one gate of the last run failed, another passed after it", []why.Link{link(1, gate, tracedb.Failed, "b"), link(2, gate, tracedb.Passed, "b")}, stateFailed, 1},
		{"passed, and failed in a later run", []why.Link{link(1, gate, tracedb.Passed, "a"), link(2, gate, tracedb.Failed, "b")}, stateFailed, 1},
		{"another kind passed later", []why.Link{link(1, tracedb.KindVulns, tracedb.Failed, "a"), link(2, tracedb.KindTestResult, tracedb.Passed, "a")}, stateFailed, 1},
		{"refused, then allowed", []why.Link{link(1, tracedb.KindAdmission, tracedb.Denied, ""), link(2, tracedb.KindAdmission, tracedb.Allowed, "")}, stateEvidence, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := newNode("F3b", tt.links)
			if got.State != tt.want || got.Bad != tt.bad || got.Count != len(tt.links) {
				t.Errorf("state = %s, %d bad of %d; want %s, %d", got.State, got.Bad, got.Count, tt.want, tt.bad)
			}
		})
	}
}

func TestByStep(t *testing.T) {
	link := func(kind tracedb.Kind, outcome tracedb.Outcome, step string) why.Link {
		return why.Link{Entry: tracedb.Entry{Kind: kind, Outcome: outcome}, Step: step}
	}
	sorted := byStep([]why.Link{
		link(tracedb.KindSpec, "", "F0"), link(tracedb.KindDeployment, tracedb.Passed, "F5"), link(tracedb.KindDeployment, tracedb.Running, "F5"),
		link(tracedb.KindAdmission, tracedb.Allowed, "F6"), link(tracedb.KindAdmission, tracedb.Denied, "F6"), link(tracedb.KindRefusal, tracedb.Denied, ""),
		link(tracedb.KindSBOM, "", "F99"),
	})
	got := map[string]int{}
	for id, links := range sorted {
		got[id] = len(links)
	}
	if diff := cmp.Diff(map[string]int{"F0": 1, "F5": 1, "F6": 1, "F7a": 1, "F7b": 1, "": 2}, got); diff != "" {
		t.Error(diff)
	}
}

// TestDrawings looks for nodes that lie on each other or outside of their drawing.
func TestDrawings(t *testing.T) {
	for _, d := range explain() {
		if len(d.Nodes) != len(steps) || len(d.Edges) != len(edges) {
			t.Errorf("%s: %d nodes and %d edges", d.ID, len(d.Nodes), len(d.Edges))
		}
		for i, a := range d.Nodes {
			if a.X < 0 || a.Y < 0 || a.X+a.W > d.W || a.Y+a.H > d.H {
				t.Errorf("%s: %s is outside", d.ID, a.ID)
			}
			for _, b := range d.Nodes[:i] {
				if a.X < b.X+b.W && b.X < a.X+a.W && a.Y < b.Y+b.H && b.Y < a.Y+a.H {
					t.Errorf("%s: %s lies on %s", d.ID, a.ID, b.ID)
				}
			}
		}
	}
}

func TestStepsKnowAllKinds(t *testing.T) {
	known := map[string]bool{"": true}
	for _, s := range steps {
		known[s.ID] = true
	}
	for _, k := range tracedb.Kinds() {
		if !known[k.Step] {
			t.Errorf("records of kind %s are evidence of %s, which the diagram lacks", k.Kind, k.Step)
		}
	}
}
