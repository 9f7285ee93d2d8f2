package attest

import "fmt"

// Tests is how a test suite ended.
type Tests struct {
	Suite          string // what was run: python -m unittest
	Passed, Failed []string
}

// TestRun is the predicate of https://in-toto.io/attestation/test-result/v0.1.
type TestRun struct {
	Result        string       `json:"result"`
	Configuration []Dependency `json:"configuration"`
	URL           string       `json:"url,omitempty"`
	PassedTests   []string     `json:"passedTests,omitempty"`
	WarnedTests   []string     `json:"warnedTests,omitempty"`
	FailedTests   []string     `json:"failedTests,omitempty"`
}

// TestResult is in-toto test-result v0.1.
func TestResult(a About, t Tests) Statement {
	p := TestRun{Result: resultPassed, Configuration: []Dependency{{Name: t.Suite}}, PassedTests: t.Passed, FailedTests: t.Failed}
	if len(t.Failed) > 0 {
		p.Result = resultFailed
	}
	return statement(a.all(), "https://in-toto.io/attestation/test-result/v0.1", p)
}

// testResult reads how the tests ended. A suite that says it passed while it lists failures is
// refused: nobody should have to choose which half to believe.
func (r *Reading) testResult(st Statement) error {
	var p TestRun
	if err := st.decode(&p); err != nil {
		return err
	}
	result, ok := outcome(p.Result)
	if !ok {
		return refuse("predicate.result", "want PASSED, WARNED or FAILED")
	}
	if p.Configuration == nil {
		return refuse("predicate.configuration", "want a list of what was run")
	}
	if len(p.FailedTests) > 0 && p.Result != resultFailed {
		return refuse("predicate.result", "want FAILED, since tests are listed that failed")
	}
	r.Outcome = result
	r.Summary = fmt.Sprintf("%d tests passed, %d with warnings, %d failed", len(p.PassedTests), len(p.WarnedTests), len(p.FailedTests))
	r.SummaryNL = fmt.Sprintf("%d tests geslaagd, %d met waarschuwingen, %d gefaald", len(p.PassedTests), len(p.WarnedTests), len(p.FailedTests))
	if len(p.PassedTests) == 1 && len(p.WarnedTests)+len(p.FailedTests) == 0 {
		// A suite that is one result says itself what it is: "36 unit tests".
		r.Summary, r.SummaryNL = p.PassedTests[0], p.PassedTests[0]
	}
	if len(p.FailedTests) > 0 {
		r.Summary += ": " + some(p.FailedTests)
		r.SummaryNL += ": " + some(p.FailedTests)
	}
	r.Detail = &p
	return nil
}
