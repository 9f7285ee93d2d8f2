package why_test

import (
	"strings"
	"testing"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/attest"
	"github.com/druppie/druppie-up/tracedb/log/logtest"
	"github.com/druppie/druppie-up/tracedb/why/whytest"
)

// attested writes what was found about an image, or with an empty digest about a commit alone.
func (s *scribe) attested(kind tracedb.Kind, outcome tracedb.Outcome, about attest.About, st attest.Statement) {
	s.t.Helper()
	envelope, err := attest.Sign(whytest.Key(), st)
	if err != nil {
		s.t.Fatal(err)
	}
	s.add(kind, outcome, envelope, "image", about.Digest, "commit", about.Commit, "repository", about.Repository, "run", about.Run)
}

func (s *scribe) tests(about attest.About, failed ...string) {
	s.t.Helper()
	outcome := tracedb.Passed
	if len(failed) > 0 {
		outcome = tracedb.Failed
	}
	s.attested(tracedb.KindTestResult, outcome, about, attest.TestResult(about, attest.Tests{Suite: "unittest", Passed: []string{"test_one"}, Failed: failed}))
}

func (s *scribe) scan(about attest.About, found ...attest.Vulnerability) {
	s.t.Helper()
	s.attested(tracedb.KindVulns, tracedb.Passed, about, attest.Vulns(about, attest.Scan{Scanner: "pkg:golang/github.com/aquasecurity/trivy", Version: "0.65.0", DBUpdated: whytest.Start, Started: whytest.Start, Finished: whytest.Start, Found: found, Result: "PASSED"}))
}

func (s *scribe) ran(name string, outcome tracedb.Outcome, image string) {
	s.t.Helper()
	s.add(tracedb.KindRun, outcome, tracedb.Run{Run: name, UID: name, Pipeline: "release", Repository: service, Commit: landed, Image: image, Reason: "x"},
		"run", name, "repository", service, "commit", landed, "image", image)
}

// TestResultsOfTheImage holds that an image isn't told with what came of other builds of its commit.
func TestResultsOfTheImage(t *testing.T) {
	about := attest.About{Image: "registry/" + service, Digest: made, Repository: service, Commit: landed, Run: "foundry/x-1"}
	later := attest.About{Repository: service, Commit: landed, Run: "foundry/x-2"}
	const alone = "of its commit alone, not of this image"
	tests := []struct {
		name  string
		story func(*scribe)
		want  []string // of the answer
		gaps  []string // in F2 and F3b
	}{
		{"a later run of the commit failed", func(s *scribe) {
			s.tests(about)
			s.scan(about)
			s.ran("foundry/x-1", tracedb.Passed, made)
			s.tests(later, "test_two")
			s.scan(later, attest.Vulnerability{ID: "CVE-1", Severity: "CRITICAL", Package: "p@1"})
			s.ran("foundry/x-2", tracedb.Failed, "")
		}, []string{"Pipeline run foundry/x-1: passed; tests: passed (test_one), by the service's own account.", "Known vulnerabilities: none"},
			[]string{"no static analysis", "no list of the image's parts"}},
		{"a later run came out at the same image, and failed", func(s *scribe) {
			s.tests(about)
			s.ran("foundry/x-1", tracedb.Passed, made)
			s.ran("foundry/x-2", tracedb.Failed, made)
		}, []string{"Pipeline run foundry/x-1: passed; tests: passed (test_one)"}, []string{"no scan for vulnerabilities", "no static analysis", "no list of the image's parts"}},
		{"tested by the run that made it, before there was an image", func(s *scribe) {
			before := about
			before.Digest = ""
			s.tests(before)
			s.ran("foundry/x-1", tracedb.Passed, made)
			s.tests(later, "test_two")
		}, []string{"; tests: passed (test_one)"}, []string{"no scan for vulnerabilities", "no static analysis", "no list of the image's parts"}},
		{"scanned anew", func(s *scribe) {
			s.scan(about)
			again := about
			again.Run = "foundry/scan-9"
			s.scan(again, attest.Vulnerability{ID: "CVE-1", Severity: "CRITICAL", Package: "p@1"})
		}, []string{"No test of it is recorded.", "critical: CVE-1 (p@1)"}, []string{"no pipeline run", "no test result", "no static analysis", "no list of the image's parts"}},
		{"only its commit was tested", func(s *scribe) {
			s.tests(later)
			s.scan(later)
			s.ran("foundry/x-2", tracedb.Passed, "")
		}, []string{"Pipeline run foundry/x-2: passed, " + alone + "; tests: passed, " + alone + " (test_one)", "The scan is " + alone + "."},
			[]string{"no pipeline run; there is one " + alone, "no test result; there is one " + alone, "no scan for vulnerabilities; there is one " + alone, "no static analysis", "no list of the image's parts"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := logtest.New(t)
			s := &scribe{t: t, log: l}
			s.push("bob", "main", landed)
			s.runs(landed)
			tt.story(s)
			c := ask(t, l, made)
			for _, want := range tt.want {
				if !strings.Contains(c.Answer, want) {
					t.Errorf("the answer lacks %q: %s", want, c.Answer)
				}
			}
			var got []string
			for _, g := range c.Gaps {
				if g.Step == "F2" || g.Step == "F3b" {
					got = append(got, g.What)
				}
			}
			if strings.Join(got, "\n") != strings.Join(tt.gaps, "\n") {
				t.Errorf("gaps\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tt.gaps, "\n"))
			}
		})
	}
}
