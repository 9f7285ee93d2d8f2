package main

import (
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
