package conformance

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"

	"github.com/druppie/druppie-up/internal/text"
	"github.com/druppie/druppie-up/scenarios"
)

// Report is what a run of the suite showed. Its form in JSON is in document.go.
type Report struct {
	Schema    string             `json:"schema"`
	Kind      Kind               `json:"kind"`
	Platform  string             `json:"platform"`
	Tool      Tool               `json:"tool"`
	Cores     int                `json:"cores"` // of the machine, which scenarios and platform share
	Began     time.Time          `json:"began"`
	Ended     time.Time          `json:"ended"`
	Stopped   string             `json:"stopped,omitempty"` // why it ended before its end, or tried less than it should
	Seed      uint64             `json:"seed,omitempty"`    // of the order, where it was shuffled
	Tested    Tested             `json:"tested"`
	Controls  []ControlResult    `json:"controls"`
	Scenarios []scenarios.Result `json:"-"` // in the order in which they ended
	Mutations []MutationResult   `json:"mutations"`
}

// Kind is what a run was for.
type Kind string

// The kinds.
const (
	Check  Kind = "check"  // whether the controls hold
	Mutate Kind = "mutate" // whether their proofs can fail
)

// Tool is the build of this program that made a report.
type Tool struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"` // commit
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// Took is how long the run took.
func (r Report) Took() time.Duration { return r.Ended.Sub(r.Began) }

// Verdict is what is known of a control after a run.
type Verdict string

// The verdicts. Only Holds is good.
const (
	Holds    Verdict = "holds"
	Broken   Verdict = "broken"
	NotThere Verdict = "not there" // nothing enforces it on this platform
	NotRun   Verdict = "not run"
)

// ControlResult is a control with its verdict.
type ControlResult struct {
	Control
	Verdict   Verdict  `json:"verdict"`
	Why       string   `json:"why,omitempty"` // it is broken, or what isn't proven of it
	Scenarios []string `json:"scenarios"`
	LeftOut   []string `json:"leftOut,omitempty"` // scenarios of it that can't run on this platform
}

// MutationResult is what became of a weakened control.
type MutationResult struct {
	Name     string        `json:"name"`
	Control  string        `json:"control"`
	What     text.Text     `json:"what"`
	Scenario string        `json:"scenario"`        // that had to notice
	Noticed  bool          `json:"noticed"`         // it turned red, and where it should
	Phase    string        `json:"phase,omitempty"` // in which it turned red
	Why      string        `json:"why,omitempty"`
	Others   []Other       `json:"others,omitempty"` // scenarios of other controls, under the same mutation
	Took     time.Duration `json:"-"`
}

// Other is what became of a scenario that needn't notice a mutation. Both is well: it shows how far the control
// reaches.
type Other struct {
	Scenario string `json:"scenario"`
	Passed   bool   `json:"passed"`
	Why      string `json:"why,omitempty"`
}

func newReport() Report { return Report{Schema: Schema} }

// Failed are the controls that were tried and don't hold, or weren't tried.
func (r Report) Failed() []string {
	var ids []string
	for _, c := range r.Controls {
		if c.Verdict == Broken || c.Verdict == NotRun {
			ids = append(ids, c.ID)
		}
	}
	return ids
}

// Unnoticed are the mutations that no scenario noticed.
func (r Report) Unnoticed() []string {
	var names []string
	for _, m := range r.Mutations {
		if !m.Noticed {
			names = append(names, m.Name)
		}
	}
	return names
}

// Summary counts the verdicts.
func (r Report) Summary() string {
	count := map[Verdict]int{}
	for _, c := range r.Controls {
		count[c.Verdict]++
	}
	var parts []string
	for _, v := range []Verdict{Holds, Broken, NotRun, NotThere} {
		if count[v] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", count[v], v))
		}
	}
	if n := len(r.Mutations); n > 0 {
		parts = append(parts, fmt.Sprintf("%d of %d mutations noticed", n-len(r.Unnoticed()), n))
	}
	return strings.Join(parts, ", ")
}

// Markdown writes the report for people.
func (r Report) Markdown(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# Conformance of %s\n\n%s, in %s: %s.\n\n", cell(r.Platform), r.Began.UTC().Format(time.DateTime+" MST"), r.Took().Round(time.Second), r.Summary())
	if len(r.Controls) > 0 {
		b.WriteString("| control | what it promises | verdict | why | proven by |\n|---|---|---|---|---|\n")
	}
	for _, c := range r.Controls {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", cell(c.ID), cell(c.Statement.EN), cell(string(c.Verdict)), cell(c.Why), cell(strings.Join(c.Scenarios, ", ")))
	}
	if len(r.Mutations) > 0 {
		b.WriteString("\n| mutation | control | what was changed | noticed | scenario | failed in | why |\n|---|---|---|---|---|---|---|\n")
		for _, m := range r.Mutations {
			noticed := "yes"
			if !m.Noticed {
				noticed = "NO"
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s |\n", cell(m.Name), cell(m.Control), cell(m.What.EN), noticed, cell(m.Scenario), cell(m.Phase), cell(m.Why))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

var markdown = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "|", "\\|", "[", "\\[", "`", "\\`", "\\", "\\\\")

// cell is text that fits into a cell of a table, and is nothing but text there: no HTML, no link, no picture.
func cell(s string) string { return markdown.Replace(line(s)) }

// line is text on one line, without control characters, its letters in their order.
func line(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return inOrder(r)
	}, s)
	return strings.Join(strings.Fields(s), " ")
}

type junitSuites struct {
	XMLName xml.Name     `xml:"testsuites"`
	Suites  []junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Skipped  int         `xml:"skipped,attr"`
	Cases    []junitCase `xml:"testcase"`
}

type junitCase struct {
	Class   string        `xml:"classname,attr"`
	Name    string        `xml:"name,attr"`
	Seconds string        `xml:"time,attr"`
	Failure *junitMessage `xml:"failure"`
	Skipped *junitMessage `xml:"skipped"`
}

type junitMessage struct {
	Message string `xml:"message,attr"`
}

func (s *junitSuite) add(c junitCase) {
	s.Tests++
	if c.Failure != nil {
		s.Failures++
	}
	if c.Skipped != nil {
		s.Skipped++
	}
	s.Cases = append(s.Cases, c)
}

// JUnit writes the report as CI systems read it: what isn't there or wasn't run is skipped, never passed.
func (r Report) JUnit(w io.Writer) error {
	controls, runs, mutations := junitSuite{Name: "controls"}, junitSuite{Name: "scenarios"}, junitSuite{Name: "mutations"}
	for _, c := range r.Controls {
		tc := junitCase{Class: "control", Name: c.ID, Seconds: "0"}
		switch c.Verdict {
		case Broken:
			tc.Failure = &junitMessage{c.Why}
		case NotRun, NotThere:
			tc.Skipped = &junitMessage{string(c.Verdict) + ": " + c.Why}
		}
		controls.add(tc)
	}
	for _, s := range r.Scenarios {
		tc := junitCase{Class: "scenario", Name: s.Title(), Seconds: seconds(s.Duration)}
		if !s.Passed {
			tc.Failure = &junitMessage{s.Why}
		}
		runs.add(tc)
	}
	for _, m := range r.Mutations {
		tc := junitCase{Class: "mutation", Name: m.Name, Seconds: seconds(m.Took)}
		if !m.Noticed {
			tc.Failure = &junitMessage{"not noticed by " + m.Scenario + ": " + m.What.EN + " " + m.Why}
		}
		mutations.add(tc)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(junitSuites{Suites: []junitSuite{controls, runs, mutations}}); err != nil {
		return fmt.Errorf("write junit: %w", err)
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f", d.Seconds()) }
