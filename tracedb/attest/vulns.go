package attest

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/druppie/druppie-up/tracedb"
)

// Scan is what a scanner knew and found.
type Scan struct {
	Scanner, Version  string // URI of the scanner, its version
	DB, DBVersion     string // URI of its database, its version
	DBUpdated         time.Time
	Started, Finished time.Time
	Found             []Vulnerability
	Result            string // PASSED or FAILED: what the gate made of it; empty: it had no say
}

// Vulnerability is one finding.
type Vulnerability struct {
	ID       string
	Severity string // critical, high, medium, low; others count as unknown
	Package  string // name@version
	Fixed    string // version that has the fix
}

// Vulnerabilities is the predicate of https://in-toto.io/attestation/vulns/v0.2, and of v0.1, whose
// findings may lie one level deeper.
type Vulnerabilities struct {
	Scanner struct {
		URI     string `json:"uri"`
		Version string `json:"version,omitempty"`
		DB      struct {
			URI        string    `json:"uri,omitempty"`
			Version    string    `json:"version,omitempty"`
			LastUpdate time.Time `json:"lastUpdate,omitzero"`
		} `json:"db"`
		Result []VulnerabilityResult `json:"result"`
	} `json:"scanner"`
	Metadata struct {
		ScanStartedOn  time.Time `json:"scanStartedOn,omitzero"`
		ScanFinishedOn time.Time `json:"scanFinishedOn,omitzero"`
	} `json:"metadata"`
	Gate string `json:"https://druppie.io/attestation/result,omitempty"` // PASSED or FAILED
}

// VulnerabilityResult is one finding in the predicate.
type VulnerabilityResult struct {
	ID            string               `json:"id"`
	Severity      []Severity           `json:"severity"`
	Annotations   []map[string]any     `json:"annotations,omitempty"`
	Vulnerability *VulnerabilityResult `json:"vulnerability,omitempty"` // v0.1 as its text has it
}

// Severity is how bad a finding is by one method: a word, or a CVSS score.
type Severity struct {
	Method string `json:"method"`
	Score  string `json:"score"`
}

// Vulns is in-toto vulns v0.2.
func Vulns(a About, s Scan) Statement {
	var p Vulnerabilities
	p.Scanner.URI, p.Scanner.Version = s.Scanner, s.Version
	p.Scanner.DB.URI, p.Scanner.DB.Version, p.Scanner.DB.LastUpdate = s.DB, s.DBVersion, tracedb.Instant(s.DBUpdated)
	p.Scanner.Result = []VulnerabilityResult{}
	for _, v := range s.Found {
		result := VulnerabilityResult{ID: v.ID, Severity: []Severity{{Method: "severity", Score: strings.ToLower(v.Severity)}}}
		if v.Package != "" {
			result.Annotations = append(result.Annotations, map[string]any{"package": v.Package})
		}
		if v.Fixed != "" {
			result.Annotations = append(result.Annotations, map[string]any{"fixed": v.Fixed})
		}
		p.Scanner.Result = append(p.Scanner.Result, result)
	}
	p.Metadata.ScanStartedOn, p.Metadata.ScanFinishedOn = tracedb.Instant(s.Started), tracedb.Instant(s.Finished)
	p.Gate = s.Result
	return statement(a.all(), "https://in-toto.io/attestation/vulns/v0.2", p)
}

// levels of severity, worst first, in English and Dutch.
var levels = []level{
	{"critical", "critical", "kritiek"}, {"high", "high", "hoog"}, {"medium", "medium", "middel"}, {"low", "low", "laag"},
	{"unknown", "unknown", "onbekend"},
}

// Level is the severity in one word: the first method that says it in words, or else the first CVSS
// score by the ratings of CVSS v3.1, section 5; unknown if there is neither.
func (v VulnerabilityResult) Level() string {
	for _, s := range v.Severity {
		for _, level := range levels {
			if strings.EqualFold(s.Score, level.name) {
				return level.name
			}
		}
		switch {
		case strings.EqualFold(s.Score, "moderate"):
			return "medium"
		case strings.EqualFold(s.Score, "negligible"):
			return "low"
		}
	}
	for _, s := range v.Severity {
		score, err := strconv.ParseFloat(s.Score, 64)
		switch {
		case err != nil || score < 0 || score > 10:
		case score >= 9:
			return "critical"
		case score >= 7:
			return "high"
		case score >= 4:
			return "medium"
		case score > 0:
			return "low"
		}
	}
	return "unknown"
}

// Counts is how many findings there are of each level; levels without any aren't in it.
func (p *Vulnerabilities) Counts() map[string]int {
	out := map[string]int{}
	for _, v := range p.Scanner.Result {
		out[v.Level()]++
	}
	return out
}

// vulns reads which vulnerabilities were known.
func (r *Reading) vulns(st Statement) error {
	var p Vulnerabilities
	if err := st.decode(&p); err != nil {
		return err
	}
	err := cmp.Or(
		want("scanner.uri", p.Scanner.URI),
		wantTime("scanner.db.lastUpdate", p.Scanner.DB.LastUpdate),
		wantTime("metadata.scanStartedOn", p.Metadata.ScanStartedOn),
		wantTime("metadata.scanFinishedOn", p.Metadata.ScanFinishedOn),
	)
	if err != nil {
		return err
	}
	if p.Scanner.Result == nil {
		return refuse("predicate.scanner.result", "want a list; an empty one says that nothing was found")
	}
	for i, v := range p.Scanner.Result {
		if v.Vulnerability != nil {
			v = *v.Vulnerability
			p.Scanner.Result[i] = v
		}
		if v.ID == "" || len(v.ID) > maxName {
			return refuse("", "want the id of a vulnerability").At("predicate.scanner.result[%d]", i)
		}
	}
	if p.Gate != "" {
		result, ok := outcome(p.Gate)
		if !ok {
			return refuse("predicate", "want PASSED or FAILED as %sresult", extension)
		}
		r.Outcome = result
	}
	en, nl := countsOf(levels, p.Counts(), "none", "geen")
	r.Summary = fmt.Sprintf("known vulnerabilities: %s; database of %s", en, day(p.Scanner.DB.LastUpdate))
	r.SummaryNL = fmt.Sprintf("bekende kwetsbaarheden: %s; database van %s", nl, day(p.Scanner.DB.LastUpdate))
	r.Detail = &p
	return nil
}
