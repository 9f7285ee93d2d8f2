package main

import (
	"context"
	"strings"
	"testing"
)

// TestSuites: the list that is built in says of every suite either how it is run or why it isn't.
func TestSuites(t *testing.T) {
	all, err := readSuites(suitesYAML, adapters())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		if s.Absent == "" && s.Module+s.Npm+s.Debian == "" {
			t.Errorf("%s doesn't say where it comes from", s.Suite)
		}
	}
}

func TestSuitesControl(t *testing.T) {
	runs := map[string]adapter{"a": func(context.Context, *world) ([]result, error) { return nil, nil }}
	tests := []struct{ name, yaml, want string }{
		{"good", `[{suite: a, what: x, known: [{test: b, reason: c}]}, {suite: z, what: x, absent: why}]`, ""},
		{"no reason", `[{suite: a, what: x, known: [{test: b}]}]`, "a reason"},
		{"no pattern", `[{suite: a, what: x, known: [{test: "(", reason: c}]}]`, "the pattern"},
		{"nobody runs it", `[{suite: a, what: x}, {suite: b, what: x}]`, "b: a suite either runs or says why"},
		{"runs and doesn't", `[{suite: a, what: x, absent: why}]`, "a: a suite either runs or says why"},
		{"known failure of what doesn't run", `[{suite: a, what: x}, {suite: z, what: x, absent: why, known: [{test: b, reason: c}]}]`, "no known failure"},
		{"twice", `[{suite: a, what: x}, {suite: a, what: x}]`, "name of its own"},
		{"left out", `[{suite: z, what: x, absent: why}]`, "doesn't list a"},
		{"unknown word", `[{suite: a, what: x, excuse: c}]`, "excuse"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := readSuites([]byte(tt.yaml), runs)
			if got := errText(err); tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
				t.Errorf("readSuites = %q, want %q", got, tt.want)
			}
		})
	}
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestReadJUnit(t *testing.T) {
	all, err := readJUnit(strings.NewReader(`<testsuites><testsuite>
		<testcase name="a"/>
		<testcase name="b" classname="k"><failure message="no"/></testcase>
		<testcase name="c"><error>boom</error></testcase>
		<testcase name="d"><skipped/></testcase>
		<testcase name="f" status="failure"><system-out>why</system-out></testcase>
		<testcase name="g" status="skipped"/>
		<testcase name="h" status="passed"/>
		<testsuite><testcase name="e"/></testsuite>
	</testsuite></testsuites>`))
	if err != nil {
		t.Fatal(err)
	}
	want := []result{{"a", passed, ""}, {"k b", failed, "no"}, {"c", failed, "boom"}, {"d", skipped, ""}, {"f", failed, "why"}, {"g", skipped, ""}, {"h", passed, ""}, {"e", passed, ""}}
	if len(all) != len(want) {
		t.Fatalf("read %v", all)
	}
	for i := range want {
		if all[i] != want[i] {
			t.Errorf("test %d = %v, want %v", i, all[i], want[i])
		}
	}
	for name, report := range map[string]string{
		"a report that breaks off":            `<testsuites><testcase`,
		"a word that nobody knows":            `<testsuites><testcase name="a" status="odd"/></testsuites>`,
		"failures that no test shows":         `<testsuite failures="1"><testcase name="a"/></testsuite>`,
		"errors of suites that no test shows": `<testsuites errors="2"><testcase name="a"/></testsuites>`,
	} {
		if all, err := readJUnit(strings.NewReader(report)); err == nil {
			t.Errorf("%s is read as %v", name, all)
		}
	}
}
