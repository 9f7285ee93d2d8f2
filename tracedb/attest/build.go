package attest

import (
	"encoding/json"
	"time"
)

// About is what a statement of the foundry is about. Digest may be empty where a gate failed before
// there was an image: then the commit alone is the subject.
type About struct {
	Image      string // name without tag or digest
	Digest     string // sha256:…
	Repository string // owner/name
	Commit     string
	Run        string // namespace/name of the pipeline run
}

// Build is how an image came to be.
type Build struct {
	Builder  string // URI of who built
	Type     string // URI of how, empty: the foundry's release pipeline
	Started  time.Time
	Finished time.Time
	// Dependencies are images that went into it: name -> sha256:…
	Dependencies map[string]string
}

// Tests is how a test suite ended.
type Tests struct {
	Suite                  string // what was run: python -m unittest
	Failed, Warned, Passed []string
	// Result is PASSED, WARNED or FAILED; empty: from the lists.
	Result string
}

// Scan is what a scanner knew and found.
type Scan struct {
	Scanner, Version  string // URI of the scanner, its version
	DB, DBVersion     string // URI of its database
	DBUpdated         time.Time
	Started, Finished time.Time
	Found             []Vulnerability
	Result            string // PASSED or FAILED: what the gate made of it
}

// Vulnerability is one finding.
type Vulnerability struct {
	ID       string
	Severity string // CRITICAL, HIGH, MEDIUM, LOW, UNKNOWN
	Package  string // name@version
	Fixed    string // version that has the fix
}

// Analysis is the summary of static analysis.
type Analysis struct {
	Tool    string         `json:"tool"`
	Version string         `json:"version"`
	Result  string         `json:"result"` // PASSED or FAILED
	Counts  map[string]int `json:"counts"` // by level of SARIF: error, warning, note, none
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

// Gate is what a verifier decided.
type Gate struct {
	Verifier string // URI
	Created  time.Time
	Passed   []string // properties that hold
	Failed   []string // properties that don't; none: the verdict is PASSED
}

// Provenance is SLSA provenance v1: the image was built from that commit of that repository.
func Provenance(a About, b Build) Statement { return Statement{} }

// TestResult is in-toto test-result v0.1.
func TestResult(a About, t Tests) Statement { return Statement{} }

// Vulns is in-toto vulns v0.2.
func Vulns(a About, s Scan) Statement { return Statement{} }

// SARIF is our own summary of static analysis, v1.
func SARIF(a About, s Analysis) Statement { return Statement{} }

// SBOM is a CycloneDX document, as it is.
func SBOM(a About, bom json.RawMessage) Statement { return Statement{} }

// Verdict is an in-toto simple verification result v0.1.
func Verdict(a About, g Gate) Statement { return Statement{} }
