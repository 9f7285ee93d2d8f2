package conformance_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/druppie/druppie-up/conformance"
	"github.com/druppie/druppie-up/scenarios"
)

// places are a platform with several tenants: who ran where, and what ran meanwhile.
type places struct {
	mu       sync.Mutex
	ran      map[string][]string // by place
	running  int
	most     int
	together map[string]int // how many ran when it did, itself among them
	meet     chan struct{}  // nil: nobody waits for another
}

func (p *places) at(place string) conformance.RunFunc {
	return func(ctx context.Context, name string) (scenarios.Result, error) {
		p.mu.Lock()
		p.ran[place] = append(p.ran[place], name)
		p.running++
		p.most = max(p.most, p.running)
		p.together[name] = max(p.together[name], p.running)
		p.mu.Unlock()
		if name == "flight" { // each place has to be there before one goes on
			select {
			case p.meet <- struct{}{}:
			case <-p.meet:
			}
		}
		p.mu.Lock()
		p.running--
		p.mu.Unlock()
		return scenarios.Result{Name: name, Passed: true}, nil
	}
}

func manyScenarios() conformance.Suite {
	s := conformance.Suite{Controls: []conformance.Control{{ID: "C3", State: conformance.Enforced}}}
	add := func(name, alone string, after ...string) {
		s.Scenarios = append(s.Scenarios, scenarios.Info{Name: name, Controls: []string{"C3"}, After: after, Alone: alone})
	}
	add("flight", "")
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		add(name, "", "flight")
	}
	add("outage", "it stops everything", "flight")
	add("restart", "it stops everything", "flight")
	return s
}

// TestPlaces: what others come after runs in every place, what keeps to a tenant runs once in either, and what doesn't
// runs when nothing else does, in the first.
func TestPlaces(t *testing.T) {
	p := &places{ran: map[string][]string{}, together: map[string]int{}, meet: make(chan struct{})}
	f := fake{}
	o := f.options()
	o.Run, o.Beside = p.at("sample"), []conformance.RunFunc{p.at("other")}
	rep, err := manyScenarios().Check(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if p.most != 2 || p.together["flight"] != 2 || p.together["outage"] != 1 || p.together["restart"] != 1 {
		t.Errorf("at most %d side by side: %v", p.most, p.together)
	}
	for place, ran := range p.ran {
		if ran[0] != "flight" || slices.Contains(ran[1:], "flight") {
			t.Errorf("%s: %v", place, ran)
		}
	}
	if n := len(p.ran["sample"]); !slices.Equal(p.ran["sample"][n-2:], []string{"outage", "restart"}) {
		t.Errorf("in the first place, last: %v", p.ran["sample"])
	}
	var all []string
	for _, r := range rep.Scenarios {
		all = append(all, r.Name)
	}
	slices.Sort(all)
	if want := []string{"a", "b", "c", "d", "e", "flight", "flight", "outage", "restart"}; !slices.Equal(all, want) || verdicts(rep) != "C3 holds" {
		t.Errorf("ran %v, want %v; %s", all, want, verdicts(rep))
	}
}

// An interrupt ends all places, and nothing begins after it.
func TestPlacesInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var mu sync.Mutex
	after := 0
	run := func(ctx context.Context, name string) (scenarios.Result, error) {
		mu.Lock()
		defer mu.Unlock()
		if ctx.Err() != nil {
			after++
		}
		if name == "b" {
			cancel()
		}
		return scenarios.Result{Name: name, Passed: true}, nil
	}
	f := fake{}
	o := f.options()
	o.Run, o.Beside = run, []conformance.RunFunc{run}
	rep, err := manyScenarios().Check(ctx, o)
	ranAlone := slices.ContainsFunc(rep.Scenarios, func(r scenarios.Result) bool { return r.Name == "outage" || r.Name == "restart" })
	if !errors.Is(err, context.Canceled) || ranAlone || verdicts(rep) != "C3 not run" {
		t.Errorf("%d results, %s: %v", len(rep.Scenarios), verdicts(rep), err)
	}
	if after > 1 { // one may have been about to begin
		t.Errorf("%d scenarios began after the interrupt", after)
	}
}
