package pages

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/druppie/druppie-up/internal/text"
	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/why"
)

func table(t testing.TB) map[string]text.Text {
	t.Helper()
	texts, err := readTexts(textsFile)
	if err != nil {
		t.Fatal(err)
	}
	return texts
}

var verb = regexp.MustCompile(`%[^%]`)

// faults names what is wrong with a text in both languages.
func faults(key string, both text.Text) []string {
	var out []string
	if strings.TrimSpace(both.NL) == "" {
		out = append(out, key+": no Dutch")
	}
	if strings.TrimSpace(both.EN) == "" {
		out = append(out, key+": no English")
	}
	if nl, en := verb.FindAllString(both.NL, -1), verb.FindAllString(both.EN, -1); !slices.Equal(nl, en) {
		out = append(out, key+": the languages fill in different things")
	}
	if strings.ContainsAny(both.NL+both.EN, "<>\t") {
		out = append(out, key+": markup belongs in templates")
	}
	return out
}

func TestTextsComplete(t *testing.T) {
	for key, both := range table(t) {
		for _, f := range faults(key, both) {
			t.Error(f)
		}
	}
	for name, both := range map[string]text.Text{
		"no Dutch": {EN: "a"}, "no English": {NL: "a"}, "fill in": {NL: "%s", EN: "a"}, "markup": {NL: "<b>", EN: "b"},
	} {
		if got := strings.Join(faults("control", both), "; "); !strings.Contains(got, name) {
			t.Errorf("control %s: found %q", name, got)
		}
	}
}

// named finds the keys that templates and code name: {{t "a.b"}}, {{count "a.b"}}, T("a.b") and the
// Key fields of choices, totals, groups and fields.
var named = regexp.MustCompile(`"((?:[a-z]+)\.[a-zA-Z0-9._-]+)"`)

// composed are keys that code or templates put together, with what may stand at the end.
func composed() map[string][]string {
	out := map[string][]string{"light.": {string(stateNone), string(stateEvidence), string(stateMissing), string(stateFailed)}, "control.": {"C1", "C2", "C3", "C4", "C5", "C6"}}
	for _, s := range steps {
		for _, p := range []string{"step.", "short.", "about."} {
			out[p] = append(out[p], s.ID)
		}
	}
	for _, l := range swimlanes {
		out["lane."] = append(out["lane."], l.key)
	}
	for _, k := range tracedb.Kinds() {
		out["kind."] = append(out["kind."], string(k.Kind))
		// A record may be of the whole of step three.
		if k.Step != "" && !slices.Contains(out["step."], k.Step) {
			out["step."] = append(out["step."], k.Step)
		}
	}
	for _, r := range tracedb.RefTypes() {
		out["ref."] = append(out["ref."], string(r))
	}
	for _, v := range []why.Verdict{why.Runs, why.RunsRefused, why.Refused, why.Stopped, why.Admitted, why.NotAsked} {
		out["verdict."] = append(out["verdict."], string(v))
	}
	for _, f := range sources() {
		out["refusals."] = append(out["refusals."], f.name)
	}
	for _, q := range sources()[0].queries {
		for _, k := range q.Kinds {
			// Why something was let in or not is in its own words.
			if k != tracedb.KindAdmission {
				out["remedy."] = append(out["remedy."], string(k))
			}
		}
	}
	for _, e := range []*tracedb.Error{
		tracedb.ErrInvalid, tracedb.ErrUnauthenticated, tracedb.ErrForbidden, tracedb.ErrNotFound, tracedb.ErrMethod, tracedb.ErrConflict,
		tracedb.ErrReplayed, tracedb.ErrBound, tracedb.ErrDisposed, tracedb.ErrTooLarge, tracedb.ErrInvalidSignature, tracedb.ErrInvalidRecord,
		tracedb.ErrTooMany, tracedb.ErrInternal, tracedb.ErrUnavailable, tracedb.ErrFull,
	} {
		out["error."] = append(out["error."], e.Code)
	}
	return out
}

func TestTextsUsed(t *testing.T) {
	texts := table(t)
	used := map[string]bool{}
	for prefix, ends := range composed() {
		for _, end := range ends {
			used[prefix+end] = true
		}
	}
	files, err := filepath.Glob("templates/*.html")
	if err != nil {
		t.Fatal(err)
	}
	code, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append(files, code...) {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range named.FindAllStringSubmatch(string(raw), -1) {
			used[m[1]] = true
		}
	}
	for key := range used {
		_, ok := texts[key]
		_, one := texts[key+".one"]
		_, many := texts[key+".many"]
		if !ok && !(one && many) && !isFile(key) {
			t.Errorf("%s is used, and not in the table", key)
		}
	}
	for key := range texts {
		plural := strings.TrimSuffix(strings.TrimSuffix(key, ".one"), ".many")
		if !used[key] && !used[plural] && !strings.HasPrefix(key, "help.") {
			t.Errorf("%s is in the table, and not used", key)
		}
	}
}

// isFile says whether what looks like a key is the name of a file, or part of a protocol.
func isFile(s string) bool {
	return slices.Contains([]string{".html", ".css", ".js", ".svg", ".yaml", ".com", ".json"}, filepath.Ext(s))
}

// TestGuides holds the tables of steps and controls in the auditors' guides against the pages' own words.
func TestGuides(t *testing.T) {
	texts := table(t)
	for file, lang := range map[string]string{"auditors-guide.md": text.English, "handleiding-auditor.nl.md": text.Dutch} {
		raw, err := os.ReadFile("../../docs/trace/" + file)
		if err != nil {
			t.Fatal(err)
		}
		w := words{lang, texts}
		row := func(cells ...string) {
			if line := "\n| " + strings.Join(cells, " | ") + " |\n"; !strings.Contains(string(raw), line) {
				t.Errorf("%s lacks %q", file, line)
			}
		}
		say := func(key string) string {
			said, err := w.T(key)
			if err != nil {
				t.Error(err)
			}
			return said
		}
		for _, s := range steps {
			row(s.ID, say("step."+s.ID), say("about."+s.ID), strings.Join(s.Controls, " "))
		}
		for _, c := range composed()["control."] {
			row(c, say("control."+c))
		}
	}
}

func TestWords(t *testing.T) {
	at := time.Date(2026, 3, 2, 9, 5, 7, 0, time.UTC)
	texts := map[string]text.Text{"a.one": text.Of("one", "een"), "a.many": text.Of("%s things", "%s dingen")}
	tests := []struct {
		lang, count, big, when, day string
	}{
		{text.Dutch, "1.234 dingen", "-1.234.567", "2 mrt 2026 09:05:07 UTC", "2 mrt 2026"},
		{text.English, "1,234 things", "-1,234,567", "2 Mar 2026 09:05:07 UTC", "2 Mar 2026"},
	}
	for _, tt := range tests {
		t.Run(tt.lang, func(t *testing.T) {
			w := words{tt.lang, texts}
			if got, err := w.Count("a", 1234); err != nil || got != tt.count {
				t.Errorf("Count = %q, %v", got, err)
			}
			if got := w.Number(-1234567); got != tt.big {
				t.Errorf("Number = %q", got)
			}
			if got := w.When(at); got != tt.when {
				t.Errorf("When = %q", got)
			}
			if got := w.Day(at); got != tt.day {
				t.Errorf("Day = %q", got)
			}
			if _, err := w.T("nothing"); err == nil {
				t.Error("a text that isn't there was given")
			}
		})
	}
}
