package attest

import (
	"cmp"
	"slices"
)

// maxFindings is how many results of static analysis a summary holds; the counts are of all.
const maxFindings = 100

// Analysis is the predicate of https://druppie.io/attestation/sarif-summary/v1: what a linter that
// speaks SARIF 2.1.0 found.
type Analysis struct {
	Tool    string         `json:"tool"`
	Version string         `json:"version"`
	Result  string         `json:"result"` // PASSED, WARNED or FAILED: what the gate made of it
	Counts  map[string]int `json:"counts"` // of all results, by SARIF's level: error, warning, note, none
	Results []Finding      `json:"results"`
}

// Finding is one result of static analysis.
type Finding struct {
	Rule    string `json:"rule"`
	Level   string `json:"level"`
	Message string `json:"message"`
	File    string `json:"file,omitempty"`
	Line    int    `json:"line,omitempty"`
}

// sarifLevels are SARIF's, worst first, in Dutch too.
var sarifLevels = []level{
	{"error", "errors", "fouten"}, {"warning", "warnings", "waarschuwingen"}, {"note", "notes", "opmerkingen"}, {"none", "others", "overige"},
}

// SARIF is our own summary of static analysis, v1. Results beyond the first hundred are left out;
// without Counts, they are counted first.
func SARIF(a About, s Analysis) Statement {
	if s.Counts == nil {
		s.Counts = map[string]int{}
		for _, f := range s.Results {
			s.Counts[f.Level]++
		}
	}
	if s.Results == nil {
		s.Results = []Finding{}
	}
	s.Results = s.Results[:min(len(s.Results), maxFindings)]
	return statement(a.all(), "https://druppie.io/attestation/sarif-summary/v1", s)
}

// analysis reads what static analysis found.
func (r *Reading) analysis(st Statement) error {
	var p Analysis
	if err := st.decode(&p); err != nil {
		return err
	}
	if err := cmp.Or(want("tool", p.Tool), want("version", p.Version)); err != nil {
		return err
	}
	result, ok := outcome(p.Result)
	if !ok {
		return refuse("predicate.result", "want PASSED, WARNED or FAILED")
	}
	if p.Counts == nil {
		return refuse("predicate.counts", "want a number for each level; none says that nothing was found")
	}
	if len(p.Results) > maxFindings {
		return refuse("predicate.results", "want at most %d", maxFindings)
	}
	listed := map[string]int{}
	for i, f := range p.Results {
		if !knownLevel(f.Level) {
			return refuse("level", "want error, warning, note or none").At("predicate.results[%d]", i)
		}
		listed[f.Level]++
	}
	for _, level := range sarifLevels {
		if n := p.Counts[level.name]; n < listed[level.name] || n < 0 {
			return refuse("predicate.counts."+level.name, "more are listed than counted")
		}
	}
	for level := range p.Counts {
		if !knownLevel(level) {
			return refuse("predicate.counts", "want the levels error, warning, note and none only")
		}
	}
	en, nl := countsOf(sarifLevels, p.Counts, "nothing found", "niets gevonden")
	r.Outcome = result
	r.Summary, r.SummaryNL = p.Tool+" "+p.Version+": "+en, p.Tool+" "+p.Version+": "+nl
	r.Detail = &p
	return nil
}

func knownLevel(name string) bool {
	return slices.ContainsFunc(sarifLevels, func(l level) bool { return l.name == name })
}
