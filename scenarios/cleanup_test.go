package scenarios

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/druppie/druppie-up/internal/ui"
	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/why"
)

// What a script made is taken away when it ends, however it ends; what failed is left where that was asked for.
func TestCleanup(t *testing.T) {
	tests := []struct {
		name, script string
		keep         bool
		cleaned      bool
		log          string
	}{
		{"passed", "", false, true, ""},
		{"passed, to be kept if it fails", "", true, true, ""},
		{"failed", "same x a b\n", false, true, ""},
		{"failed, and kept", "same x a b\n", true, false, "kept: an exception for alg-1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e, calls := answering(t)
			e.opt.Keep = tt.keep
			h := runScript(t, e, "trace grant alg-1 x@sha256:aa late\n"+tt.script)
			if cleaned := strings.Contains(strings.Join(calls(), "\n"), "revoke"); cleaned != tt.cleaned {
				t.Errorf("taken away: %v, want %v", cleaned, tt.cleaned)
			}
			if !strings.Contains(h.log.String(), tt.log) {
				t.Error(h.log.String())
			}
		})
	}
}

// Steps come one after the other, each with what it does, and one that is refused ends the script.
func TestSteps(t *testing.T) {
	script := []byte("# C1: a fake\n\nenv A=1\nphase 'one of two'\n# It says why.\nenv B=1\n\nphase two\nenv C=1\n-- file --\nphase three\n")
	want := []Step{{"one of two", "# It says why.\nenv B=1"}, {"two", "env C=1"}}
	if diff := cmp.Diff(want, steps(script)); diff != "" {
		t.Error(diff)
	}
	for stop, passed := range map[string]bool{"": true, "two": false} {
		var seen []Step
		opt := Options{Reporter: ui.Discard(), Step: func(_ context.Context, s Step) error {
			seen = append(seen, s)
			if s.Phase == stop {
				return errors.New("enough")
			}
			return nil
		}}
		res, err := newEngine(t.Context(), opt.filled()).execute(Info{Name: "fake"}, script)
		if res.Passed != passed || cmp.Diff(want, seen) != "" {
			t.Errorf("stopped at %q: passed %v (%v), saw %v", stop, res.Passed, err, seen)
		}
	}
}

// What there was to see is kept at the moment of the failure, without secrets, and only of what failed.
func TestArtifacts(t *testing.T) {
	for script, kept := range map[string]bool{"same x a a\n": false, "same x a b\n": true} {
		dir := filepath.Join(t.TempDir(), "artifacts")
		trace := &recorded{links: []why.Link{{Entry: tracedb.Entry{Seq: 7, ID: "run/x", Actor: "ghp_aBcDeFgHiJkLmNoPqRsTuVwXyZ0123456789"}}}}
		opt := Options{
			Kubeconfig: "/nowhere", Artifacts: dir, Reporter: ui.Discard(),
			Trace: func(context.Context) (Trace, error) { return trace, nil },
		}
		_, err := newEngine(t.Context(), opt.filled()).execute(Info{Name: "fake"}, []byte("# C1: a fake\nphase one\n"+script))
		if (err != nil) != kept {
			t.Fatal(err)
		}
		files, err := filepath.Glob(filepath.Join(dir, "fake-*", "*"))
		if err != nil {
			t.Fatal(err)
		}
		var names, text string
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			names, text = names+" "+filepath.Base(file), text+string(data)
		}
		if want := map[bool]string{true: " script.log trace.json"}[kept]; names != want {
			t.Errorf("%s: kept %q, want %q", script, names, want)
		}
		if kept && (!strings.Contains(text, `x: "a" and "b" differ`) || !strings.Contains(text, "run/x") || strings.Contains(text, "ghp_")) {
			t.Error(text)
		}
	}
}
