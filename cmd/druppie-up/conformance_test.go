package main

import (
	"path/filepath"
	"testing"

	"github.com/druppie/druppie-up/conformance"
	"github.com/druppie/druppie-up/scenarios"
)

// The exit code tells scripts what the report tells people: what wasn't tried isn't proven.
func TestNotProven(t *testing.T) {
	control := func(v conformance.Verdict) []conformance.ControlResult {
		return []conformance.ControlResult{{Control: conformance.Control{ID: "C3"}, Verdict: v}}
	}
	ran := []scenarios.Result{{Name: "flight", Passed: true}}
	for _, tt := range []struct {
		name   string
		report conformance.Report
		mutate bool
		want   string
	}{
		{"it holds", conformance.Report{Controls: control(conformance.Holds), Scenarios: ran}, false, ""},
		{"broken", conformance.Report{Controls: control(conformance.Broken), Scenarios: ran}, false, "C3 not proven: 1 broken"},
		{"not run", conformance.Report{Controls: control(conformance.NotRun), Scenarios: ran}, false, "C3 not proven: 1 not run"},
		{"all asked for isn't there", conformance.Report{Controls: control(conformance.NotThere)}, false,
			"nothing is proven, since nothing enforces what was asked for: 1 not there"},
		{"noticed", conformance.Report{Mutations: []conformance.MutationResult{{Name: "m", Noticed: true}}}, true, ""},
		{"unnoticed", conformance.Report{Mutations: []conformance.MutationResult{{Name: "m"}}}, true, "no scenario noticed m: 0 of 1 mutations noticed"},
	} {
		got := ""
		if err := notProven(tt.report, tt.mutate); err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

// Trying again what was noticed forgets nothing of the others, and what wasn't noticed is never passed over.
func TestKeptResultsOutliveAnotherTry(t *testing.T) {
	old := revision
	revision = "0123456789ab"
	t.Cleanup(func() { revision = old })
	file := filepath.Join(t.TempDir(), "conformance.json")
	open := func(again bool) *kept {
		k, err := openKept(file, again)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	keep := func(k *kept, name string) {
		if err := k.keep(conformance.MutationResult{Name: name, Noticed: true}); err != nil {
			t.Fatal(err)
		}
	}
	first := open(false)
	keep(first, "one")
	keep(first, "two")
	if again := open(true); len(again.known) != 0 || len(again.results) != 2 {
		t.Errorf("to be tried again: %v are known, %v kept", again.known, again.results)
	} else {
		keep(again, "two")
	}
	if last := open(false); len(last.known) != 2 {
		t.Errorf("known in the end: %v", last.known)
	}
	revision = "fedcba987654"
	if other := open(false); len(other.known) != 0 {
		t.Errorf("another build knows %v", other.known)
	}
}
