package conformance

// Needed names the scenarios that a suite runs.
func Needed(s Suite, shuffle func(n int, swap func(i, j int))) []string { return s.needed(shuffle) }
