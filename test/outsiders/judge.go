package main

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// result is what a suite says of one of its tests.
type result struct {
	test    string
	state   state
	message string // why it failed
}

type state int

const (
	passed state = iota
	failed
	skipped // the suite itself left it out
)

// known is a failure that is explained. Test is a regular expression that matches the whole name of a test.
type known struct {
	Test   string
	Reason string

	pattern *regexp.Regexp
}

// errNotRun is a suite that couldn't be tried here; what wraps it says why.
var errNotRun = errors.New("not run")

func notRun(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errNotRun, fmt.Sprintf(format, args...))
}

// verdict is what a suite's outcome comes to.
type verdict struct {
	passed, of, skipped int
	explained           []explained
	unknown             []result
	stale               []known // explanations of what doesn't fail
	notRun              string  // why; then nothing else is set
	broken              string  // it began and came to no outcome
}

// explained is a known failure with the tests that it explains.
type explained struct {
	known
	tests []string
}

// judge weighs what a suite said. A suite that ran no test shows nothing, and that isn't passing.
func judge(explanations []known, results []result, err error) verdict {
	switch {
	case errors.Is(err, errNotRun):
		return verdict{notRun: strings.TrimPrefix(err.Error(), errNotRun.Error()+": ")}
	case err != nil:
		return verdict{broken: err.Error()}
	}
	var v verdict
	by := make([][]string, len(explanations))
	for _, r := range results {
		switch r.state {
		case skipped:
			v.skipped++
			continue
		case passed:
			v.passed++
		case failed:
			found := false
			for i, k := range explanations {
				if k.pattern.MatchString(r.test) {
					by[i], found = append(by[i], r.test), true
					break
				}
			}
			if !found {
				v.unknown = append(v.unknown, r)
			}
		}
		v.of++
	}
	if v.of == 0 {
		return verdict{broken: "it ran no test"}
	}
	for i, k := range explanations {
		if len(by[i]) == 0 {
			v.stale = append(v.stale, k)
			continue
		}
		v.explained = append(v.explained, explained{k, by[i]})
	}
	return v
}

// good says whether nothing is left to explain. What wasn't run is neither good nor bad; nobody counts it as passed.
func (v verdict) good() bool { return v.broken == "" && len(v.unknown) == 0 && len(v.stale) == 0 }
