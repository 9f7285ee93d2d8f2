package lessons

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/druppie/druppie-up/internal/text"
	"github.com/druppie/druppie-up/internal/ui"
	"github.com/druppie/druppie-up/scenarios"
)

// Parsing holds every lesson against every rule; a lesson that breaks one isn't listed but fails.
func TestAllLessonsAreWhole(t *testing.T) {
	all, err := All()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 5 {
		t.Errorf("there are only %d lessons", len(all))
	}
	for _, l := range all {
		for _, s := range l.Steps {
			if s.Check == s.Solution {
				t.Errorf("%s %s: the solution is the check", l.Name, s.ID)
			}
		}
	}
}

const good = `
title: {en: a, nl: b}
minutes: 5
prepare: |
  phase flown
  running drones drone-service GOOD
  keep GOOD
missing: {flown: {en: "no ${LESSON}", nl: "geen ${LESSON}"}}
steps:
` + step1 + step2 + step3

const (
	step1 = `
- {id: one, title: {en: a, nl: b}, story: {en: "see ${GOOD}", nl: b}, do: {en: a, nl: b}, hint: {en: a, nl: b}, explanation: {en: "pull ${PR}", nl: b},
   check: "phase there\npr find builder drone-service $LESSON\nkeep PR\n", missing: {there: {en: a, nl: b}}, solution: "git head builder drone-service\n"}
`
	step2 = `
- {id: two, title: {en: a, nl: b}, story: {en: a, nl: b}, do: {en: a, nl: b}, hint: {en: a, nl: b}, explanation: {en: a, nl: b},
   check: "phase 'quite there'\npr merged builder drone-service $PR\n", missing: {quite there: {en: a, nl: b}}, solution: "pr merge builder drone-service $PR\n"}
`
	step3 = `
- {id: three, title: {en: a, nl: b}, story: {en: a, nl: b}, do: {en: a, nl: b}, hint: {en: a, nl: b}, explanation: {en: a, nl: b},
   check: "phase there\nget x.yaml\n", missing: {there: {en: a, nl: b}}, solution: "apply x.yaml\n"}
`
)

func TestParse(t *testing.T) {
	edit := func(old, now string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("the lesson has no %q", old)
		}
		return strings.Replace(good, old, now, 1)
	}
	tests := []struct{ name, lesson, want string }{
		{"good", good, ""},
		{"no yaml", "title: [", "yaml"},
		{"a field that isn't one", edit("minutes", "hours"), "unknown field"},
		{"no Dutch", edit("{en: a, nl: b}", "{en: a}"), "title: is wanted in English and Dutch"},
		{"no English in a step", edit("story: {en: \"see ${GOOD}\", nl: b}", "story: {nl: b}"), "one story: is wanted"},
		{"no time", edit("minutes: 5", "minutes: 0"), "how long does it take"},
		{"too short", edit(step3, ""), "it has 2 steps"},
		{"two of an id", edit("id: two", "id: one"), `step "one": every step has an id of its own`},
		{"no solution", edit("pr merge builder drone-service $PR", ""), "two: has no solution"},
		{"no check", edit("phase 'quite there'\\npr merged builder drone-service $PR\\n", ""), "two check: must begin with a phase"},
		{"a phase without a word", edit("phase 'quite there'", "phase elsewhere"), "two check, missing elsewhere: is wanted"},
		{"a word without a phase", edit("{quite there: {en: a, nl: b}}", "{quite there: {en: a, nl: b}, gone: {en: a, nl: b}}"), `two check: has no phase "gone"`},
		{"a check that is no script", edit("pr merged builder", "pr mergd builder"), "two check: line 2: pr mergd"},
		{"a solution that is no script", edit("apply x.yaml", "aply x.yaml"), "three solution: line 1: unknown command aply"},
		{"a text before what it names", edit("see ${GOOD}", "see ${PR}"), "one story: nothing keeps ${PR} before it"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l, ok, err := parse("x", []txtar.File{{Name: "lesson.yaml", Data: []byte(tt.lesson)}, {Name: "lesson/a.txt", Data: []byte("x")}, {Name: "b", Data: []byte("y")}})
			if !ok {
				t.Fatal("no lesson was found")
			}
			if tt.want != "" {
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Fatalf("got %v, want %q", err, tt.want)
				}
				return
			}
			if err != nil || len(l.Steps) != 3 || len(l.files) != 1 || l.files[0].Name != "a.txt" {
				t.Errorf("got %+v, %v", l, err)
			}
		})
	}
	if _, ok, err := parse("x", nil); ok || err != nil {
		t.Errorf("a scenario without a lesson: %v, %v", ok, err)
	}
}

func TestFind(t *testing.T) {
	if _, err := Find("moon-landing"); !errors.Is(err, ErrUnknown) {
		t.Errorf("got %v", err)
	}
}

// attendee is one in the lesson root-refused, on a platform that isn't there.
func attendee(t *testing.T, p Progress) *Walk {
	t.Helper()
	w, err := Open(Options{Dir: t.TempDir(), Scenario: scenarios.Options{Kubeconfig: "/nowhere", Reporter: ui.Discard()}})
	if err != nil {
		t.Fatal(err)
	}
	if p.ID != "" {
		w.state.Current, w.state.Lessons["root-refused"] = "root-refused", &p
		if err := w.state.write(w.file); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

func TestStateOutlivesTheProcess(t *testing.T) {
	want := Progress{
		ID: "lesson-mx1kgebj", Began: time.Date(2026, 11, 29, 9, 0, 0, 0, time.UTC), Step: "refused", Passed: true,
		Vars: map[string]string{"GOOD": "x"},
	}
	w := attendee(t, want)
	again, err := Open(w.opt)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(&want, again.Progress("root-refused")); d != "" {
		t.Error(d)
	}
	if left, _ := filepath.Glob(w.file + ".*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestStateThatNobodyCanRead(t *testing.T) {
	for name, data := range map[string]string{
		"half":           `{"schema": "druppie.io/les`,
		"another schema": `{"schema": "druppie.io/lessons/v0", "lessons": {}}`,
		"empty":          ``,
		// Its name would decide what a reset removes.
		"no name": `{"schema": "druppie.io/lessons/v1", "lessons": {"root-refused": {"id": "drones"}}}`,
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "state.json"), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(Options{Dir: dir}); !errors.Is(err, ErrState) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestNextWantsACheckThatPassed(t *testing.T) {
	w := attendee(t, Progress{ID: "lesson-mx1kgebj", Step: "namespace"})
	if v, err := w.Next(); !errors.Is(err, ErrNotYet) || v.Number != 1 {
		t.Fatalf("got %+v, %v", v, err)
	}
	w.Progress("root-refused").Passed = true
	v, err := w.Next()
	if err != nil || v.ID != "refused" || v.Number != 2 || v.Passed || v.Do.EN == "" {
		t.Errorf("got %+v, %v", v, err)
	}
	w = attendee(t, Progress{ID: "lesson-mx1kgebj", Step: "record", Passed: true, Done: true})
	if v, err := w.Next(); err != nil || !v.Done {
		t.Errorf("at the end: got %+v, %v", v, err)
	}
}

func TestTextsNameTheAttendeesOwnThings(t *testing.T) {
	w := attendee(t, Progress{ID: "lesson-mx1kgebj", Step: "namespace"})
	v, err := w.Hint()
	if err != nil || !strings.Contains(v.Hint.EN, w.Folder("root-refused")) || !strings.Contains(v.Hint.NL, "/nowhere") {
		t.Errorf("got %+v, %v", v, err)
	}
	l, _, err := w.Current()
	if err != nil {
		t.Fatal(err)
	}
	if err := w.giveFiles(l); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(w.Folder("root-refused"), "namespace.yaml"))
	if err != nil || !strings.Contains(string(data), "name: lesson-mx1kgebj") {
		t.Errorf("got %q, %v", data, err)
	}
}

// A fault is no verdict: only a phase that failed says that something isn't done.
func TestFaultsAreNoVerdict(t *testing.T) {
	w := attendee(t, Progress{})
	for name, tt := range map[string]struct {
		res  scenarios.Result
		want bool
	}{
		"before any phase": {scenarios.Result{}, false},
		"in a phase":       {scenarios.Result{Phases: []scenarios.Phase{{Name: "there", Failed: true}}}, true},
	} {
		w.state.Lessons["x"] = &Progress{ID: "lesson-mx1kgebj"}
		v, err := w.notYet(t.Context(), View{Lesson: "x"}, tt.res, map[string]text.Text{"there": text.Of("no ${LESSON}", "geen")}, scenarios.ErrFailed)
		if errors.Is(err, ErrNotYet) != tt.want {
			t.Errorf("%s: got %v", name, err)
		}
		if tt.want && v.Missing.EN != "no lesson-mx1kgebj" {
			t.Errorf("%s: got %+v", name, v)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.notYet(ctx, View{Lesson: "x"}, scenarios.Result{Phases: []scenarios.Phase{{Name: "there", Failed: true}}},
		map[string]text.Text{"there": text.Same("no")}, context.Canceled); errors.Is(err, ErrNotYet) {
		t.Error("an interrupt was taken for a verdict")
	}
}

// Without a platform a check isn't passed, and nothing about the attendee changes.
func TestNothingPassesWithoutAPlatform(t *testing.T) {
	w := attendee(t, Progress{ID: "lesson-mx1kgebj", Step: "namespace", Vars: map[string]string{}})
	if _, err := w.Check(t.Context(), CheckOptions{}); err == nil {
		t.Error("the check passed")
	}
	if err := w.Reset(t.Context(), "root-refused"); err == nil || w.Progress("root-refused") == nil {
		t.Errorf("what was made is forgotten though it wasn't removed: %v", err)
	}
	if _, err := w.Start(t.Context(), "unsigned-image"); err == nil || w.Progress("unsigned-image") != nil {
		t.Errorf("a lesson began: %v", err)
	}
}

func TestNames(t *testing.T) {
	for name, want := range map[string]bool{
		newID(): true, "lesson-mx1kgebj": true, "lesson-": false, "drones": false, "lesson-mx1kgebj-root": false, "xlesson-mx1kgebj": false,
	} {
		if unique.MatchString(name) != want {
			t.Errorf("%s: want %v", name, want)
		}
	}
}

// What trainers plan a day with is what the lessons say of themselves.
func TestDocumentListsTheLessons(t *testing.T) {
	data, err := os.ReadFile("../docs/lessons.md")
	if err != nil {
		t.Fatal(err)
	}
	all, err := All()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range all {
		if row := fmt.Sprintf("| `%s` | %d min |", l.Name, l.Minutes); !strings.Contains(string(data), row) {
			t.Errorf("docs/lessons.md has no row %s", row)
		}
	}
	if rows := strings.Count(string(data), " min |"); rows != len(all) {
		t.Errorf("docs/lessons.md has %d rows for %d lessons", rows, len(all))
	}
}
