package attest

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/druppie/druppie-up/tracedb"
)

// TestReadRefuses changes one thing in a good statement's predicate and sees it refused at its place.
func TestReadRefuses(t *testing.T) {
	tests := []struct {
		name     string
		kind     tracedb.Kind
		old, new string
		field    string
		message  string
	}{
		{"no repository", tracedb.KindProvenance, `"repository":"druppie/drone",`, ``, "predicate.buildDefinition.externalParameters.repository", "owner/name"},
		{"repository as URL", tracedb.KindProvenance, `"repository":"druppie/drone"`, `"repository":"https://x/druppie/drone"`, "predicate.buildDefinition.externalParameters.repository", "owner/name"},
		{"branch for a revision", tracedb.KindProvenance, `"revision":"` + commit + `"`, `"revision":"main"`, "predicate.buildDefinition.externalParameters.revision", "commit hash"},
		{"revision that isn't among the materials", tracedb.KindProvenance, `"gitCommit":"2e`, `"gitCommit":"3e`, "predicate.buildDefinition.resolvedDependencies", "the revision"},
		{"no builder", tracedb.KindProvenance, `"id":"https://druppie.io/foundry"`, `"id":""`, "predicate.runDetails.builder.id", "want a text"},
		{"invocation that isn't a run", tracedb.KindProvenance, `"invocationId":"foundry/release-x7k2p"`, `"invocationId":"<x>"`, "predicate.runDetails.metadata.invocationId", "namespace/name"},
		{"wrong type within", tracedb.KindProvenance, `"resolvedDependencies":[`, `"resolvedDependencies":7,"x":[`, "predicate.buildDefinition.resolvedDependencies", "this number"},
		{"result of another word", tracedb.KindTestResult, `"PASSED"`, `"OK"`, "predicate.result", "PASSED, WARNED or FAILED"},
		{"no configuration", tracedb.KindTestResult, `"configuration"`, `"config"`, "predicate.configuration", "what was run"},
		{"passed with failures", tracedb.KindTestResult, `"passedTests"`, `"failedTests"`, "predicate.result", "want FAILED"},
		{"no scanner", tracedb.KindVulns, `"uri":"pkg:golang/github.com/aquasecurity/trivy@v0.65.0",`, ``, "predicate.scanner.uri", "want a text"},
		{"no age of the database", tracedb.KindVulns, `"lastUpdate"`, `"last"`, "predicate.scanner.db.lastUpdate", "want a time"},
		{"no findings at all", tracedb.KindVulns, `"result":[`, `"results":[`, "predicate.scanner.result", "want a list"},
		{"finding without id", tracedb.KindVulns, `"id":"CVE-2026-0002"`, `"id":""`, "predicate.scanner.result[1]", "the id"},
		{"gate's word", tracedb.KindVulns, `"PASSED"`, `"maybe"`, "predicate", "PASSED or FAILED"},
		{"no tool", tracedb.KindSARIF, `"tool":"ruff"`, `"tool":""`, "predicate.tool", "want a text"},
		{"level", tracedb.KindSARIF, `"level":"warning"`, `"level":"bad"`, "predicate.results[0].level", "error, warning"},
		{"counted less than listed", tracedb.KindSARIF, `"warning":1`, `"warning":0`, "predicate.counts.warning", "more are listed"},
		{"counted below nought", tracedb.KindSARIF, `"warning":1`, `"warning":1,"error":-1`, "predicate.counts.error", "more are listed"},
		{"level of its own in the counts", tracedb.KindSARIF, `"warning":1`, `"warning":1,"panic":1`, "predicate.counts", "levels"},
		{"not CycloneDX", tracedb.KindSBOM, `"CycloneDX"`, `"SPDX"`, "predicate.bomFormat", "CycloneDX"},
		{"version", tracedb.KindSBOM, `"1.6"`, `"x"`, "predicate.specVersion", "version"},
		{"no verifier", tracedb.KindVerdict, `"verifier"`, `"by"`, "predicate.verifier.id", "want a text"},
		{"no time", tracedb.KindVerdict, `"timeCreated"`, `"at"`, "predicate.timeCreated", "want a time"},
		{"another schema", tracedb.KindConformance, `conformance/v1`, `conformance/v2`, "predicate.schema", "want druppie.io"},
		{"no end", tracedb.KindConformance, `"ended"`, `"end"`, "predicate.ended", "want a time"},
		{"verdict of its own", tracedb.KindConformance, `"not there"`, `"fine"`, "predicate.controls[1].verdict", "want holds"},
		{"kind of its own", tracedb.KindConformance, `"check"`, `"chat"`, "predicate.kind", "want check or mutate"},
		{"no properties", tracedb.KindVerdict, `"properties"`, `"props"`, "predicate.properties", "want a list"},
	}
	for _, tt := range tests {
		t.Run(string(tt.kind)+" "+tt.name, func(t *testing.T) {
			st := statements()[tt.kind]
			if _, err := Read(tt.kind, st); err != nil {
				t.Fatalf("before the change: %v", err)
			}
			if !strings.Contains(string(st.Predicate), tt.old) {
				t.Fatalf("%s isn't in %s", tt.old, st.Predicate)
			}
			st.Predicate = json.RawMessage(strings.Replace(string(st.Predicate), tt.old, tt.new, 1))
			_, err := Read(tt.kind, st)
			if err == nil {
				t.Fatal("taken")
			}
			e := tracedb.AsError(err)
			if e.Code != "invalid_record" || e.Field != tt.field || !strings.Contains(e.Message, tt.message) {
				t.Errorf("refused with %s at %q: %s; want it at %q: %s", e.Code, e.Field, e.Message, tt.field, tt.message)
			}
		})
	}
}

// TestAnalysisCounts holds that no numbers add up to nothing.
func TestAnalysisCounts(t *testing.T) {
	tests := []struct {
		name, counts, want string
	}{
		{"none", `{}`, "ruff 0.9: nothing found"},
		{"noughts", `{"error":0,"note":0}`, "ruff 0.9: nothing found"},
		{"more than a number holds", `{"error":9223372036854775807,"warning":9223372036854775807,"note":2}`,
			"ruff 0.9: 9223372036854775807 errors, 9223372036854775807 warnings, 2 notes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			st := statements()[tracedb.KindSARIF]
			st.Predicate = json.RawMessage(`{"tool":"ruff","version":"0.9","result":"PASSED","counts":` + tt.counts + `,"results":[]}`)
			if r, err := Read(tracedb.KindSARIF, st); err != nil || r.Summary != tt.want {
				t.Errorf("Read() = %q, %v, want %q", r.Summary, err, tt.want)
			}
		})
	}
}

// TestConformanceOutcome holds that a report passes only where something was tried and all of it held.
func TestConformanceOutcome(t *testing.T) {
	tests := []struct {
		name, kind, rest string
		want             tracedb.Outcome
		summary          string
	}{
		{"all hold", "check", `"controls":[{"id":"C1","verdict":"holds"}]`, tracedb.Passed, "1 controls hold"},
		{"one broken", "check", `"controls":[{"id":"C1","verdict":"holds"},{"id":"C3","verdict":"broken"}]`, tracedb.Failed, "1 controls hold; not: C3"},
		{"one not run", "check", `"controls":[{"id":"C1","verdict":"holds"},{"id":"C3","verdict":"not run"}]`, tracedb.Failed, "1 controls hold; not: C3"},
		{"none there", "check", `"controls":[{"id":"C2","verdict":"not there"}]`, tracedb.Failed, "0 controls hold"},
		{"nothing", "check", `"controls":[]`, tracedb.Failed, "0 controls hold"},
		{"stopped", "check", `"stopped":"signal","controls":[{"id":"C1","verdict":"holds"}]`, tracedb.Failed, "1 controls hold; stopped before its end"},
		{"noticed", "mutate", `"controls":[],"mutations":[{"name":"a","noticed":true}]`, tracedb.Passed, "1 of 1 weakened controls noticed"},
		{"unnoticed", "mutate", `"mutations":[{"name":"a","noticed":true},{"name":"b"}]`, tracedb.Failed, "1 of 2 weakened controls noticed; not: b"},
		{"no mutation", "mutate", `"controls":[{"id":"C1","verdict":"holds"}]`, tracedb.Failed, "0 of 0 weakened controls noticed"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			st := statements()[tracedb.KindConformance]
			st.Predicate = json.RawMessage(`{"schema":"druppie.io/conformance/v1","kind":"` + tt.kind + `","ended":"2026-01-31T12:00:00Z",` + tt.rest + `}`)
			r, err := Read(tracedb.KindConformance, st)
			if err != nil || r.Outcome != tt.want || r.Summary != tt.summary {
				t.Errorf("Read() = %s, %q, %v, want %s, %q", r.Outcome, r.Summary, err, tt.want, tt.summary)
			}
		})
	}
}

// TestSubjectContradicts gives a provenance a second subject that tells another story.
func TestSubjectContradicts(t *testing.T) {
	tests := []struct {
		name, repository, commit, want string
	}{
		{"same", "druppie/drone", commit, ""},
		{"other commit", "druppie/drone", strings.Repeat("ab", 20), "another commit"},
		{"other repository", "druppie/other", commit, "another repository"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			st := statements()[tracedb.KindProvenance]
			st.Subject = append(st.Subject, Subject{Name: tt.repository, Digest: map[string]string{"gitCommit": tt.commit}})
			_, err := Read(tracedb.KindProvenance, st)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("Read() = %v, want %q", err, tt.want)
			}
		})
	}
}

func TestLevel(t *testing.T) {
	tests := []struct {
		name string
		give []Severity
		want string
	}{
		{"word", []Severity{{"nvd", "9.8"}, {"vendor", "LOW"}}, "low"},
		{"score", []Severity{{"cvss", "9.0"}}, "critical"},
		{"high", []Severity{{"cvss", "8.9"}}, "high"},
		{"medium", []Severity{{"cvss", "4.0"}}, "medium"},
		{"low", []Severity{{"cvss", "0.1"}}, "low"},
		{"moderate", []Severity{{"ghsa", "moderate"}}, "medium"},
		{"none", nil, "unknown"},
		{"nonsense", []Severity{{"x", "NaN"}, {"y", "11"}}, "unknown"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := (VulnerabilityResult{Severity: tt.give}).Level(); got != tt.want {
				t.Errorf("Level() = %s, want %s", got, tt.want)
			}
		})
	}
}

// TestVulnsV01 reads the older form, with its findings one level deeper.
func TestVulnsV01(t *testing.T) {
	st := statements()[tracedb.KindVulns]
	st.PredicateType = "https://in-toto.io/attestation/vulns/v0.1"
	st.Predicate = json.RawMessage(`{"scanner":{"uri":"pkg:x","db":{"lastUpdate":"2026-01-30T00:00:00Z"},"result":[{"vulnerability":{"id":"CVE-1","severity":[{"method":"nvd","score":"medium"}]}}]},"metadata":{"scanStartedOn":"2026-01-31T00:00:00Z","scanFinishedOn":"2026-01-31T00:00:01Z"}}`)
	r, err := Read(tracedb.KindVulns, st)
	if err != nil {
		t.Fatal(err)
	}
	if want := "known vulnerabilities: 1 medium; database of 2026-01-30"; r.Summary != want || r.Outcome != "" {
		t.Errorf("Read() = %q, %q, want %q and no outcome", r.Summary, r.Outcome, want)
	}
}

// FuzzDecode holds that whatever is decoded can be read or is refused in the log's own words, and
// never makes the reader fall.
func FuzzDecode(f *testing.F) {
	key := newKey(f)
	for kind, st := range statements() {
		envelope, err := Sign(key, st)
		if err != nil {
			f.Fatal(err)
		}
		o, err := open(envelope)
		if err != nil {
			f.Fatal(err)
		}
		body := o.body
		f.Add(string(kind), []byte(envelope))
		f.Add(string(kind), marshal(f, seal(f, key, PayloadType, body)))
		f.Add(string(kind), body)
	}
	f.Fuzz(func(t *testing.T, kind string, data []byte) {
		k := tracedb.Kind(kind)
		refused := func(err error) {
			if tracedb.AsError(err).Code == "internal" {
				t.Errorf("refused without a reason: %v", err)
			}
		}
		if st, err := Decode(k, data); err != nil {
			refused(err)
		} else if _, err := Read(k, st); err != nil {
			refused(err)
		}
		// The same bytes as what was signed, so that the fuzzer needn't learn base64.
		st, err := parse(k, data)
		if err != nil {
			refused(err)
			return
		}
		r, err := Read(k, st)
		if err != nil {
			refused(err)
			return
		}
		for _, ref := range r.Refs {
			if err := ref.Check(); err != nil {
				t.Errorf("read the ref %s: %v", ref, err)
			}
		}
		if len(r.Refs) > tracedb.MaxRefs {
			t.Errorf("read %d refs", len(r.Refs))
		}
	})
}
