package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// legs sums up legs of a scenario, by their names, out of the command's JSON; each must be there.
func legs(raw []byte, names ...string) (time.Duration, error) {
	type leg struct {
		Name     string
		Duration time.Duration
	}
	var results []struct{ Legs []leg }
	if err := json.Unmarshal(raw, &results); err != nil {
		return 0, fmt.Errorf("read the scenario's result: %w", err)
	}
	if len(results) != 1 {
		return 0, fmt.Errorf("%d results, not one", len(results))
	}
	var sum time.Duration
	for _, name := range names {
		i := slices.IndexFunc(results[0].Legs, func(l leg) bool { return l.Name == name })
		if i < 0 {
			return 0, fmt.Errorf("the scenario has no leg %q", name)
		}
		sum += results[0].Legs[i].Duration
	}
	return sum, nil
}
