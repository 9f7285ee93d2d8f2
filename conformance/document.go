package conformance

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/druppie/druppie-up/scenarios"
)

// Schema names the form of a report in JSON; what it means doesn't change under one name.
const Schema = "druppie.io/conformance/v1"

// ReportSchema is that form as a JSON Schema.
//
//go:embed report-v1.schema.json
var ReportSchema []byte

// run is a scenario's result as a report tells it: with seconds, not with what a program counts in.
type run struct {
	Name     string   `json:"name"`
	Tenant   string   `json:"tenant,omitempty"`
	Controls []string `json:"controls"`
	Passed   bool     `json:"passed"`
	Why      string   `json:"why,omitempty"`
	Seconds  float64  `json:"seconds"`
	Waited   float64  `json:"waited,omitempty"`
	Phases   []phase  `json:"phases"`
}

type phase struct {
	Name    string  `json:"name"`
	Seconds float64 `json:"seconds"`
	Failed  bool    `json:"failed,omitempty"`
	Parts   []phase `json:"parts,omitempty"`
}

// MarshalJSON writes a report.
func (r Report) MarshalJSON() ([]byte, error) {
	type fields Report
	doc := struct {
		fields
		Seconds   float64 `json:"seconds"`
		Scenarios []run   `json:"scenarios"`
	}{fields(r), r.Took().Seconds(), []run{}}
	for _, s := range r.Scenarios {
		doc.Scenarios = append(doc.Scenarios, run{s.Name, s.Tenant, list(s.Controls), s.Passed, s.Why, s.Duration.Seconds(), s.Waited.Seconds(), list(phases(s.Phases))})
	}
	doc.Controls = nil
	for _, c := range r.Controls {
		c.Scenarios, c.Norms = list(c.Scenarios), list(c.Norms)
		doc.Controls = append(doc.Controls, c)
	}
	doc.Controls, doc.Mutations = list(doc.Controls), list(doc.Mutations)
	doc.Tested.Nodes, doc.Tested.Images, doc.Tested.Revisions = list(r.Tested.Nodes), list(r.Tested.Images), list(r.Tested.Revisions)
	return json.Marshal(doc)
}

// list is never null in JSON.
func list[T any](all []T) []T {
	if all == nil {
		return []T{}
	}
	return all
}

func phases(all []scenarios.Phase) []phase {
	var out []phase
	for _, p := range all {
		out = append(out, phase{p.Name, p.Duration.Seconds(), p.Failed, phases(p.Parts)})
	}
	return out
}

// UnmarshalJSON reads a report.
func (r *Report) UnmarshalJSON(data []byte) error {
	type fields Report
	var doc struct {
		fields
		Scenarios []run `json:"scenarios"`
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		return err
	}
	*r = Report(doc.fields)
	for _, s := range doc.Scenarios {
		r.Scenarios = append(r.Scenarios, scenarios.Result{
			Name: s.Name, Tenant: s.Tenant, Controls: s.Controls, Passed: s.Passed, Why: s.Why, Duration: span(s.Seconds), Waited: span(s.Waited), Phases: unphases(s.Phases),
		})
	}
	return nil
}

func unphases(all []phase) []scenarios.Phase {
	var out []scenarios.Phase
	for _, p := range all {
		out = append(out, scenarios.Phase{Name: p.Name, Duration: span(p.Seconds), Failed: p.Failed, Parts: unphases(p.Parts)})
	}
	return out
}

// span is the duration that was written as seconds, to the nanosecond: 511 ns in seconds times a second is a little less
// than 511.
func span(seconds float64) time.Duration {
	return time.Duration(math.Round(seconds * float64(time.Second)))
}

// MarshalJSON writes what became of a mutation.
func (m MutationResult) MarshalJSON() ([]byte, error) {
	type fields MutationResult
	return json.Marshal(struct {
		fields
		Seconds float64 `json:"seconds"`
	}{fields(m), m.Took.Seconds()})
}

// UnmarshalJSON reads it.
func (m *MutationResult) UnmarshalJSON(data []byte) error {
	type fields MutationResult
	var doc struct {
		fields
		Seconds float64 `json:"seconds"`
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		return err
	}
	*m = MutationResult(doc.fields)
	m.Took = span(doc.Seconds)
	return nil
}

// ReadReport reads a report in JSON. It refuses what doesn't fit the schema, and a verdict that the report's own
// runs don't bear out.
func ReadReport(data []byte) (Report, error) {
	var name struct{ Schema string }
	if err := json.Unmarshal(data, &name); err != nil {
		return Report{}, fmt.Errorf("read the report: %w", err)
	}
	if name.Schema != Schema {
		return Report{}, fmt.Errorf("its schema is %q, and this program reads %s", name.Schema, Schema)
	}
	if err := ValidateReport(data); err != nil {
		return Report{}, err
	}
	var r Report
	if err := json.Unmarshal(data, &r); err != nil {
		return r, fmt.Errorf("read the report: %w", err)
	}
	return r, r.consistent()
}

// ValidateReport holds a report in JSON against the schema.
func ValidateReport(data []byte) error {
	schema, err := jsonschema.UnmarshalJSON(bytes.NewReader(ReportSchema))
	if err != nil {
		return fmt.Errorf("schema of reports: %w", err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	if err := compiler.AddResource(Schema, schema); err != nil {
		return fmt.Errorf("schema of reports: %w", err)
	}
	compiled, err := compiler.Compile(Schema)
	if err != nil {
		return fmt.Errorf("schema of reports: %w", err)
	}
	report, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		return fmt.Errorf("read the report: %w", err)
	}
	if err := compiled.Validate(report); err != nil {
		return fmt.Errorf("it doesn't fit its schema: %w", err)
	}
	return nil
}

// consistent says whether the verdicts follow from the runs.
func (r Report) consistent() error {
	var errs []error
	for _, c := range r.Controls {
		if want := judge(c.Control, c.Scenarios, c.LeftOut, r); want.Verdict != c.Verdict {
			errs = append(errs, fmt.Errorf("it says of control %s that it %q, and its scenarios say %q", c.ID, c.Verdict, want.Verdict))
		}
	}
	return errors.Join(errs...)
}
