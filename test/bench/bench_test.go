package main

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestSumSteps(t *testing.T) {
	const step = `{"terminated":{"startedAt":"2026-01-01T00:00:00Z","finishedAt":"2026-01-01T00:00:0%sZ"}}`
	run := func(name string, ends ...string) string {
		var steps []string
		for _, end := range ends {
			steps = append(steps, strings.Replace(step, "%s", end, 1))
		}
		return `{"metadata":{"labels":{"tekton.dev/pipelineRun":"` + name + `"}},"status":{"steps":[` + strings.Join(steps, ",") + `]}}`
	}
	tests := []struct {
		name    string
		give    string
		want    time.Duration
		wantErr bool
	}{
		{name: "last run only", give: run("a", "9") + "," + run("b", "1", "2") + "," + run("b", "4"), want: 7 * time.Second},
		{name: "no runs", wantErr: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := sumSteps([]byte(`{"items":[` + tt.give + `]}`))
			if got != tt.want || (err != nil) != tt.wantErr {
				t.Errorf("sumSteps = %v, %v, want %v", got, err, tt.want)
			}
		})
	}
}

func TestParseGiB(t *testing.T) {
	for give, want := range map[string]float64{"1.5GiB": 1.5, "512MiB": 0.5, "0B": 0} {
		if got, err := parseGiB(give); err != nil || math.Abs(got-want) > 1e-9 {
			t.Errorf("parseGiB(%q) = %v, %v, want %v", give, got, err, want)
		}
	}
	if _, err := parseGiB("12"); err == nil {
		t.Error("a number without a unit was taken")
	}
}

func TestSpans(t *testing.T) {
	events := strings.Join([]string{
		`{"time":"2026-01-01T00:00:00.000Z","event":"start","id":"engine"}`,
		`{"time":"2026-01-01T00:00:01.000Z","event":"start","id":"cluster"}`,
		`{"time":"2026-01-01T00:00:01.500Z","event":"done","id":"engine"}`,
		`no event`,
		`{"time":"2026-01-01T00:00:31.000Z","event":"done","id":"cluster"}`,
		`{"time":"2026-01-01T00:00:32.000Z","event":"error","error":"x"}`,
	}, "\n")
	got := spans(strings.NewReader(events))
	want := []span{{"engine", 1500 * time.Millisecond}, {"cluster", 30 * time.Second}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(span{})); diff != "" {
		t.Error(diff)
	}
	if of(got, "cluster") != 30*time.Second || of(got, "none") != 0 {
		t.Errorf("%s for cluster, %s for none", of(got, "cluster"), of(got, "none"))
	}
}

func TestPhases(t *testing.T) {
	raw := []byte(`[{"legs":[{"name":"review","duration":1000000000},{"name":"pipeline","duration":2000000000},{"name":"pod","duration":3000000000}]}]`)
	if got, err := phases(raw, "pipeline", "pod"); err != nil || got != 5*time.Second {
		t.Errorf("phases = %v, %v", got, err)
	}
	if _, err := phases(raw, "landing"); err == nil {
		t.Error("a phase that isn't there was taken for nothing")
	}
}
