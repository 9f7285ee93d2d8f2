package main

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"regexp"

	"go.yaml.in/yaml/v3"
)

//go:embed suites.yaml
var suitesYAML []byte

// suite is one thing that others wrote.
type suite struct {
	Suite string // its name here, and in adapters
	What  string // what it checks of ours
	// Where it comes from, one of them; the version is read where it is pinned.
	Module, Npm, Debian string
	In                  string // the folder of the Go module that pins it, unless it is tools/outsiders
	Absent              string // why it isn't run at all
	Known               []known
}

// readSuites reads the list, and refuses what wouldn't explain itself.
func readSuites(raw []byte, adapters map[string]adapter) ([]suite, error) {
	var all []suite
	d := yaml.NewDecoder(bytes.NewReader(raw))
	d.KnownFields(true)
	if err := d.Decode(&all); err != nil {
		return nil, fmt.Errorf("suites.yaml: %w", err)
	}
	var errs []error
	seen := map[string]bool{}
	for i := range all {
		s := &all[i]
		say := func(format string, args ...any) {
			errs = append(errs, fmt.Errorf("suites.yaml: %s: %s", s.Suite, fmt.Sprintf(format, args...)))
		}
		_, runs := adapters[s.Suite]
		switch {
		case s.Suite == "" || s.What == "" || seen[s.Suite]:
			say("a suite has a name of its own and says what it checks")
		case runs == (s.Absent != ""):
			say("a suite either runs or says why it doesn't")
		case s.Absent != "" && len(s.Known) > 0:
			say("what doesn't run has no known failure")
		}
		seen[s.Suite] = true
		for j := range s.Known {
			k := &s.Known[j]
			var err error
			if k.pattern, err = regexp.Compile("^(?:" + k.Test + ")$"); err != nil || k.Test == "" || k.Reason == "" {
				say("known failure %q: it needs the pattern of its tests and a reason: %v", k.Test, err)
			}
		}
	}
	for name := range adapters {
		if !seen[name] {
			errs = append(errs, fmt.Errorf("suites.yaml doesn't list %s", name))
		}
	}
	return all, errors.Join(errs...)
}
