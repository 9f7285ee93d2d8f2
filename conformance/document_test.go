package conformance_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/druppie/druppie-up/conformance"
	"github.com/druppie/druppie-up/scenarios"
)

// reports are one of each kind, as the suite makes them.
func reports(t *testing.T) map[string]conformance.Report {
	t.Helper()
	began := time.Date(2026, 11, 29, 5, 0, 0, 0, time.UTC)
	finish := func(r conformance.Report, kind conformance.Kind, err error) conformance.Report {
		r.Kind, r.Platform, r.Cores, r.Began, r.Ended, r.Seed = kind, "druppie", 2, began, began.Add(90*time.Second), 7
		r.Tool = conformance.Tool{Version: "(devel)", Revision: "3f38ae6", Go: "go1.26.8", Platform: "linux/amd64"}
		r.Tested = conformance.Tested{
			Kubernetes: "v1.36.4",
			Nodes:      []conformance.Node{{Name: "druppie-control-plane", Kubelet: "v1.36.4", Runtime: "containerd://2.2.9", OS: "Debian", Kernel: "6.18", Arch: "amd64"}},
			Images:     []conformance.Image{{Image: "docker.io/library/registry", Tag: "3.1.2", Digest: "sha256:" + strings.Repeat("ab", 32), Namespaces: []string{"foundry"}}},
			Revisions:  []conformance.Revision{{Name: "policies", Revision: "main@sha1:fe478a41"}},
		}
		for i := range r.Scenarios {
			r.Scenarios[i].Controls, r.Scenarios[i].Duration, r.Scenarios[i].Waited = []string{"C3"}, 1500*time.Millisecond, time.Second
			r.Scenarios[i].Phases = append(r.Scenarios[i].Phases, scenarios.Phase{Name: "pipeline", Duration: time.Second, Parts: []scenarios.Phase{{Name: "build", Duration: time.Second / 4}}})
		}
		for i := range r.Mutations {
			r.Mutations[i].Took = 511 // ns, which no float holds as seconds
		}
		if err != nil {
			r.Stopped = err.Error()
		}
		return r
	}
	p, whole := fake{broken: map[string]bool{"refused": true}}, fake{blind: map[string]bool{"unseen": true}}
	checked, err := suite().Check(t.Context(), p.options())
	if err != nil {
		t.Fatal(err)
	}
	mutated, err := suite("seen", "unseen").Mutate(t.Context(), whole.options())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	o := p.options()
	o.Run = func(ctx context.Context, name string) (scenarios.Result, error) {
		if name == "refused" {
			cancel(errors.New("interrupted"))
		}
		return p.run(ctx, name)
	}
	interrupted, why := suite().Check(ctx, o)
	none, whyNone := suite("seen").Mutate(t.Context(), (&fake{applied: conformance.ErrApplied}).options())
	return map[string]conformance.Report{
		"check":             finish(checked, conformance.Check, nil),
		"mutate":            finish(mutated, conformance.Mutate, nil),
		"interrupted check": finish(interrupted, conformance.Check, why),
		"refused mutate":    finish(none, conformance.Mutate, whyNone),
	}
}

func TestReportsFitTheirSchema(t *testing.T) {
	for name, rep := range reports(t) {
		t.Run(name, func(t *testing.T) {
			data, err := json.Marshal(rep)
			if err != nil {
				t.Fatal(err)
			}
			again, err := conformance.ReadReport(data)
			if err != nil {
				t.Fatalf("%v\n%s", err, data)
			}
			if diff := cmp.Diff(rep, again, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("read back it says something else:\n%s", diff)
			}
		})
	}
}

// Spans are seconds, under a name that says so.
func TestReportsSpeakInSeconds(t *testing.T) {
	data, err := json.Marshal(reports(t)["check"])
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"seconds":90`, `"seconds":1.5,"waited":1,"phases"`, `"name":"build","seconds":0.25`} {
		if !strings.Contains(string(data), want) {
			t.Errorf("no %s in %s", want, data)
		}
	}
}

func TestReadReportRefusesWhatDoesntFit(t *testing.T) {
	tests := []struct {
		name, report, from, to, want string
	}{
		{"a verdict that isn't one", "check", `"verdict":"broken"`, `"verdict":"green"`, "/controls/0/verdict"},
		{"a control that holds though its scenario failed", "check", `"verdict":"broken"`, `"verdict":"holds"`, `control C3 that it "holds", and its scenarios say "broken"`},
		{"a control that holds though nothing enforces it", "check", `"verdict":"not there"`, `"verdict":"holds"`, `control C2 that it "holds", and its scenarios say "not there"`},
		{"a control that holds though a scenario didn't run", "interrupted check", `"verdict":"not run"`, `"verdict":"holds"`, `its scenarios say "not run"`},
		{"a mutation that was noticed nowhere", "mutate", `"noticed":true,"phase":"by tag"`, `"noticed":true`, "phase"},
		{"a time that isn't one", "check", "2026-11-29T05:00:00Z", "yesterday", "/began"},
		{"a digest that isn't one", "check", "sha256:abab", "sha256:xxxx", "/tested/images/0/digest"},
		{"a field that nobody knows", "check", `"cores":2`, `"cores":2,"certified":true`, "certified"},
		{"a field that is missing", "check", `"cores":2,`, ``, "cores"},
		{"nothing tried, and no reason", "refused mutate", `"stopped":"mutation seen: another mutation is applied",`, ``, "minItems"},
		{"another version", "check", "conformance/v1", "conformance/v0", `its schema is "druppie.io/conformance/v0"`},
		{"no JSON", "check", `{"schema"`, `{schema`, "read the report"},
	}
	all := reports(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			data, err := json.Marshal(all[tt.report])
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(data), tt.from) {
				t.Fatalf("no %s in %s", tt.from, data)
			}
			_, err = conformance.ReadReport([]byte(strings.Replace(string(data), tt.from, tt.to, 1)))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}
