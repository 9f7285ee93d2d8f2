package scenarios

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/druppie/druppie-up/internal/ui"
)

func TestListNamesWhatEachScenarioProves(t *testing.T) {
	all, err := List()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range all {
		names = append(names, s.Name)
		if s.Title == "" || len(s.Controls) == 0 {
			t.Errorf("%s: no title or controls: %+v", s.Name, s)
		}
	}
	// The first flight makes what the others need.
	if names[0] != "first-flight" {
		t.Errorf("got %v, want first-flight first", names)
	}
	for i, s := range all {
		for _, after := range s.After {
			if !slices.Contains(names[:i], after) {
				t.Errorf("%s comes before %s, which it needs", s.Name, after)
			}
		}
	}
}

// What can only be done in the sample's tenant isn't done elsewhere.
func TestAloneRunsInTheSampleTenant(t *testing.T) {
	fsys := fstest.MapFS{"x.txtar": {Data: []byte("# F2: it flies\n# Alone: it stops everything\nphase x\n")}}
	opt := Options{Name: "x", Place: Place{Tenant: "water", Service: "pump", Algorithm: "alg-00000001"}}
	if _, err := run(t.Context(), fsys, opt); err == nil || !strings.Contains(err.Error(), "it stops everything") {
		t.Errorf("got %v", err)
	}
	opt.Place = Sample()
	if res, err := run(t.Context(), fsys, opt); err != nil || !res.Passed {
		t.Errorf("got %+v, %v", res, err)
	}
}

// A scenario is told where it runs, and its result says so where that isn't the sample's tenant.
func TestPlaceIsGiven(t *testing.T) {
	fsys := fstest.MapFS{"x.txtar": {Data: []byte("# F2: it flies\nphase x\nenv AT=$TENANT/$SERVICE/$ALGORITHM\nsame place $AT water/pump/alg-00000001\n")}}
	res, err := run(t.Context(), fsys, Options{Name: "x", Place: Place{Tenant: "water", Service: "pump", Algorithm: "alg-00000001"}})
	if err != nil || res.Tenant != "water" || res.Title() != "x in water" {
		t.Errorf("got %+v, %v", res, err)
	}
	if res, err := run(t.Context(), fsys, Options{Name: "x"}); !errors.Is(err, ErrFailed) || res.Tenant != "" || res.Title() != "x" {
		t.Errorf("got %+v, %v", res, err)
	}
}

func TestHeader(t *testing.T) {
	tests := []struct {
		name, script string
		want         Info
		wantErr      string
	}{
		{"good", "# C1 F3a: it flies\n# After: a b\n\nphase x\n",
			Info{Name: "x", Title: "it flies", Controls: []string{"C1", "F3a"}, After: []string{"a", "b"}}, ""},
		{"the machine", "# F2: it flies\n# Needs: machine\nphase x\n",
			Info{Name: "x", Title: "it flies", Controls: []string{"F2"}, Machine: true}, ""},
		{"alone", "# F2: it flies\n# Alone: it stops everything\nphase x\n",
			Info{Name: "x", Title: "it flies", Controls: []string{"F2"}, Alone: "it stops everything"}, ""},
		{"something else", "# F2: it flies\n# Needs: luck\nphase x\n", Info{}, `needs "luck"`},
		{"after is of the header only", "# C1: it flies\nphase x\n# After: a\n",
			Info{Name: "x", Title: "it flies", Controls: []string{"C1"}}, ""},
		{"empty", "", Info{}, "is empty"},
		{"no control", "phase x\n", Info{}, "must open with the controls"},
		{"a heading without ids", "# it flies\n", Info{}, "must open with the controls"},
		{"an id that isn't one", "# C1 C9: it flies\n", Info{}, `"C9", which is no control`},
		{"a step that isn't one", "# F9: it flies\n", Info{}, `"F9", which is no control`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseHeader("x", []byte(tt.script))
			if tt.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tt.wantErr) {
					t.Fatalf("got error %v, want one with %q", err, tt.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestOrderRefusesCircles(t *testing.T) {
	for _, all := range [][]Info{
		{{Name: "a", After: []string{"b"}}, {Name: "b", After: []string{"a"}}},
		{{Name: "a", After: []string{"nowhere"}}},
	} {
		if _, err := ordered(all); err == nil {
			t.Errorf("%v was put in an order", all)
		}
	}
}

// script runs a scenario of its own, without any platform.
func script(t *testing.T, text string) (Result, string, error) {
	t.Helper()
	var out strings.Builder
	fsys := fstest.MapFS{"fake.txtar": {Data: []byte("# C1: a fake\n" + text)}}
	res, err := run(t.Context(), fsys, Options{Name: "fake", Kubeconfig: t.TempDir() + "/none", Out: &out})
	return res, out.String(), err
}

func TestPassingScript(t *testing.T) {
	res, out, err := script(t, `
phase 'one'
unique NAME x
same names $NAME $NAME
phase two
replace file.txt old new
grep '^new$' file.txt
-- file.txt --
old
`)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if !res.Passed || len(res.Phases) != 2 || res.Phases[0].Name != "one" {
		t.Errorf("got %+v", res)
	}
	if !strings.Contains(out, "one ") || !strings.Contains(out, "total") {
		t.Errorf("no table of phases in %q", out)
	}
}

// A scenario that must fail fails: otherwise the engine proves nothing.
func TestFailingScripts(t *testing.T) {
	tests := []struct{ name, script, want string }{
		{"values differ", "same digest a b", `digest: "a" and "b" differ`},
		{"empty values aren't equal", "same digest $NOTHING $NOTHING", "usage"},
		{"unknown command", "fly away", `unknown command "fly"`},
		{"skipped", "skip 'not today'", "skipped itself"},
		{"! before what can't be refused", "! phase x", "can't stand before phase"},
		{"no cluster is no refusal", "! git push builder work main", "instead: read kubeconfig"},
		{"bad arguments are no refusal", "! git push builder work", "usage: git clone IDENTITY"},
		{"bad pattern", "await kustomization x y failing (", "usage: error parsing regexp"},
		{"bad number", "pr approve reviewer drone-service one", `"one" is no number`},
		{"a file lacks what it should have", "replace f.txt a b\n-- f.txt --\n", "0 times, want once"},
		{"no clone to lay over", "overlay . x", "is no clone"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			res, out, err := script(t, tt.script+"\n")
			if !errors.Is(err, ErrFailed) || res.Passed {
				t.Fatalf("got %+v, %v", res, err)
			}
			if !strings.Contains(out+err.Error(), tt.want) {
				t.Errorf("%q isn't in %q nor in %v", tt.want, out, err)
			}
		})
	}
}

func TestWhyIsTheScriptsOwnMessage(t *testing.T) {
	_, _, err := script(t, "same digest a b\n")
	if want := `fake.txtar:2: same: digest: "a" and "b" differ`; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want it to say %q", err, want)
	}
}

func TestUnknownScenario(t *testing.T) {
	_, err := Run(t.Context(), Options{Name: "moon-landing"})
	if !errors.Is(err, ErrUnknown) || ui.ExitCode(err) != 2 || !strings.Contains(ui.Hint(err), "first-flight") {
		t.Errorf("got %v, exit code %d, hint %q", err, ui.ExitCode(err), ui.Hint(err))
	}
}

func TestCancelledScenarioDidNotPass(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	fsys := fstest.MapFS{"fake.txtar": {Data: []byte("# C1: a fake\nphase x\n")}}
	res, err := run(ctx, fsys, Options{Name: "fake"})
	if !errors.Is(err, context.Canceled) || res.Passed {
		t.Errorf("got %+v, %v", res, err)
	}
}

func TestEveryCommandTellsItsForms(t *testing.T) {
	e := newEngine(t.Context(), Options{Reporter: ui.Discard()})
	for name, cmd := range e.table() {
		if len(cmd.forms) == 0 || (cmd.run == nil) == (cmd.onCluster == nil) {
			t.Errorf("%s has no forms or does nothing", name)
		}
		err := e.invoke(name, cmd, nil, false, []string{"1", "2", "3", "4", "5", "6", "7"})
		if !errors.Is(err, errUsage) || !strings.Contains(err.Error(), cmd.forms[0]) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// The platform did the right thing only if the trace says so.
func TestEveryScenarioAsksTheTrace(t *testing.T) {
	all, err := List()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		data, err := scripts.ReadFile(s.Name + ext)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(data), "\nawait trace ") {
			t.Errorf("%s asks the trace nothing", s.Name)
		}
	}
}

// Every line of the real scripts has the form of a command; a slip in one that
// runs last would show only after minutes on a platform.
func TestScriptsUseCommandsAsTheyAre(t *testing.T) {
	all, err := List()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		data, err := scripts.ReadFile(s.Name + ext)
		if err != nil {
			t.Fatal(err)
		}
		text, _, _ := strings.Cut(string(data), "\n-- ")
		if err := Lint(text); err != nil {
			t.Errorf("%s: %v", s.Name, err)
		}
	}
}

func TestLint(t *testing.T) {
	tests := []struct{ name, script, want string }{
		{"good", "env X=1\nphase 'one two'\n! pr merge builder r $PR # no\n", ""},
		{"unknown", "phase x\nfly away", "line 2: unknown command fly"},
		{"too few", "pr merge builder", "line 1: pr merge builder doesn't fit"},
		{"not refusable", "! phase x", "doesn't fit"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := Lint(tt.script)
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestTable(t *testing.T) {
	phases := []Phase{
		{Name: "pipeline", Duration: 42 * time.Second, Parts: []Phase{{Name: "test", Duration: 1500 * time.Millisecond}}},
		{Name: "pod", Duration: 3 * time.Second},
	}
	want := `pipeline                 42.0 s
  test                    1.5 s
pod                       3.0 s
total                    45.0 s
  of which it waited     30.0 s
`
	if d := cmp.Diff(want, table(Result{Phases: phases, Duration: 45 * time.Second, Waited: 30 * time.Second})); d != "" {
		t.Error(d)
	}
}

// A suite that only watches things go well would pass on a platform without controls: at least six in ten checks are
// of what must be refused, must fail, or must stay as it was. What only prepares is no check, and how a refusal is worded
// no other one.
func TestMostChecksAreOfWhatMustNotHappen(t *testing.T) {
	negative := regexp.MustCompile(`^(! |same |cmp |blocked )|^await .*(failing|failed|denied|dismissed|drift)`)
	positive := regexp.MustCompile(`^(stdout|await|grep|answered|running|can|http|(registry (has|signed)|trace (why|verify|find)|count stop)) ?`)
	all, err := List()
	if err != nil {
		t.Fatal(err)
	}
	var no, yes int
	for _, s := range all {
		text, err := Script(s.Name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(txtar.Parse(text).Comment)) {
			switch {
			case negative.MatchString(line):
				no++
			case positive.MatchString(line):
				yes++
			}
		}
	}
	if t.Logf("%d of %d checks are negative", no, no+yes); no*10 < 6*(no+yes) {
		t.Errorf("only %d of %d checks are of what must not happen", no, no+yes)
	}
}
