package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// phases sums up phases of a scenario, by their names, out of the command's JSON; each must be there.
func phases(raw []byte, names ...string) (time.Duration, error) {
	type phase struct {
		Name     string
		Duration time.Duration
	}
	var results []struct {
		Phases []phase `json:"legs"`
	}
	if err := json.Unmarshal(raw, &results); err != nil {
		return 0, fmt.Errorf("read the scenario's result: %w", err)
	}
	if len(results) != 1 {
		return 0, fmt.Errorf("%d results, not one", len(results))
	}
	var sum time.Duration
	for _, name := range names {
		i := slices.IndexFunc(results[0].Phases, func(l phase) bool { return l.Name == name })
		if i < 0 {
			return 0, fmt.Errorf("the scenario has no phase %q", name)
		}
		sum += results[0].Phases[i].Duration
	}
	return sum, nil
}
