package main

import (
	"errors"
	"fmt"
	"regexp"
	"testing"
)

func TestJudge(t *testing.T) {
	explain := func(tests ...string) (all []known) {
		for _, test := range tests {
			all = append(all, known{Test: test, Reason: "because", pattern: regexp.MustCompile("^(?:" + test + ")$")})
		}
		return all
	}
	pass, fail, skip := result{test: "a", state: passed}, result{test: "b", state: failed, message: "no"}, result{test: "c", state: skipped}
	tests := []struct {
		name    string
		known   []known
		results []result
		err     error
		want    string // passed/of skipped explained unknown stale
		good    bool
	}{
		{"all pass", nil, []result{pass, pass}, nil, "2/2 0 0 0 0", true},
		{"skipped counts for nothing", nil, []result{pass, skip}, nil, "1/1 1 0 0 0", true},
		{"unknown failure", nil, []result{pass, fail}, nil, "1/2 0 0 1 0", false},
		{"known failure", explain("b"), []result{pass, fail}, nil, "1/2 0 1 0 0", true},
		{"known by a pattern", explain("[bx]"), []result{fail, fail}, nil, "0/2 0 1 0 0", true},
		{"a part of the name is not the name", explain("b"), []result{{test: "bb", state: failed}, pass}, nil, "1/2 0 0 1 1", false},
		{"known failure that passes", explain("a"), []result{pass}, nil, "1/1 0 0 0 1", false},
		{"known failure that is gone", explain("z"), []result{pass}, nil, "1/1 0 0 0 1", false},
		{"known failure that is skipped", explain("c"), []result{pass, skip}, nil, "1/1 1 0 0 1", false},
		{"two explain the same", explain("b", "b|c"), []result{fail}, nil, "0/1 0 1 0 1", false},
		{"no test", nil, nil, nil, "broken", false},
		{"nothing but skipped", nil, []result{skip}, nil, "broken", false},
		{"it crashed", explain("b"), []result{pass}, errors.New("crash"), "broken", false},
		{"not run", explain("b"), nil, fmt.Errorf("suite: %w", notRun("no npm here")), "not run", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := judge(tt.known, tt.results, tt.err)
			got := fmt.Sprintf("%d/%d %d %d %d %d", v.passed, v.of, v.skipped, len(v.explained), len(v.unknown), len(v.stale))
			switch {
			case v.broken != "":
				got = "broken"
			case v.notRun != "":
				got = "not run"
				if v.passed+v.of != 0 {
					t.Errorf("what wasn't run counts as %d of %d", v.passed, v.of)
				}
			}
			if got != tt.want || v.good() != tt.good {
				t.Errorf("judge = %s, good %v; want %s, good %v", got, v.good(), tt.want, tt.good)
			}
		})
	}
}
