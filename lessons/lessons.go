// Package lessons walks an attendee through scenarios: what a step is about, what to do by hand, whether it
// is done, and why it went so. A lesson is data, lesson.yaml in the scenario's own file, and its checks are
// excerpts of script that look at the platform: package lessons refuses to take an attendee's word for
// anything, and to keep more than where an attendee is. What a lesson makes carries the lesson's unique name,
// by which a reset finds and removes it.
package lessons

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/txtar"
	"sigs.k8s.io/yaml"

	"github.com/druppie/druppie-up/internal/text"
	"github.com/druppie/druppie-up/scenarios"
)

// ErrUnknown says that no lesson has the name that was asked for.
var ErrUnknown = errors.New("no such lesson")

// Names of the files of a lesson in a scenario's archive.
const (
	lessonFile = "lesson.yaml"
	filesDir   = "lesson/" // what is in it is given to the attendee
)

// Lesson is a scenario to do by hand. Its scripts are in the words of the scenarios.
type Lesson struct {
	Name    string               `json:"-"` // of the scenario
	Title   text.Text            `json:"title"`
	Minutes int                  `json:"minutes"` // that it takes a beginner, about
	Prepare string               `json:"prepare"` // what must be so before it can begin
	Missing map[string]text.Text `json:"missing"` // what to say where a phase of Prepare fails
	Reset   string               `json:"reset"`   // what to put back that carries no name of the lesson's
	Steps   []Step               `json:"steps"`

	files []txtar.File
}

// Step is one thing to do. Check's phases are what must be so, in order; Missing says of each what to do
// where it isn't.
type Step struct {
	ID          string               `json:"id"`
	Title       text.Text            `json:"title"`
	Story       text.Text            `json:"story"`
	Do          text.Text            `json:"do"`
	Hint        text.Text            `json:"hint"`
	Explanation text.Text            `json:"explanation"`
	Check       string               `json:"check"`
	Missing     map[string]text.Text `json:"missing"`
	Solution    string               `json:"solution"`
}

// All are the lessons, in an order in which they can be taken.
func All() ([]Lesson, error) {
	infos, err := scenarios.List()
	if err != nil {
		return nil, err
	}
	var all []Lesson
	for _, info := range infos {
		files, err := scenarios.Files(info.Name)
		if err != nil {
			return nil, err
		}
		l, ok, err := parse(info.Name, files)
		if err != nil {
			return nil, fmt.Errorf("lesson %s: %w", info.Name, err)
		}
		if ok {
			all = append(all, l)
		}
	}
	return all, nil
}

// Find is the lesson of a name.
func Find(name string) (Lesson, error) {
	all, err := All()
	if err != nil {
		return Lesson{}, err
	}
	i := slices.IndexFunc(all, func(l Lesson) bool { return l.Name == name })
	if i < 0 {
		return Lesson{}, fmt.Errorf("%w: %q", ErrUnknown, name)
	}
	return all[i], nil
}

// parse reads the lesson among a scenario's files; false if there is none.
func parse(name string, files []txtar.File) (Lesson, bool, error) {
	l := Lesson{Name: name}
	i := slices.IndexFunc(files, func(f txtar.File) bool { return f.Name == lessonFile })
	if i < 0 {
		return l, false, nil
	}
	if err := yaml.UnmarshalStrict(files[i].Data, &l); err != nil {
		return l, true, err
	}
	for _, f := range files {
		if given, ok := strings.CutPrefix(f.Name, filesDir); ok {
			l.files = append(l.files, txtar.File{Name: given, Data: f.Data})
		}
	}
	return l, true, l.validate()
}

// given are the variables that texts, files and scripts may name beside those that scripts keep.
var given = []string{"LESSON", "FOLDER", "ANSWER", "GITEA", "TRACE", "KUBECONFIG", "CA", "PLATFORM", "REGISTRY"}

var (
	variable = regexp.MustCompile(`\$\{([A-Z_]+)\}`)
	keeps    = regexp.MustCompile(`(?m)^keep ([A-Z_]+)$`)
	phase    = regexp.MustCompile(`(?m)^phase '?([^'\n]+?)'?$`)
)

// validate refuses a lesson that a reader of either language would get stuck in.
func (l Lesson) validate() error {
	var errs []error
	say := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	known := slices.Clone(given)
	said := func(where string, t text.Text) {
		if strings.TrimSpace(t.EN) == "" || strings.TrimSpace(t.NL) == "" {
			say("%s: is wanted in English and Dutch", where)
		}
		for _, m := range variable.FindAllStringSubmatch(t.EN+t.NL, -1) {
			if !slices.Contains(known, m[1]) {
				say("%s: nothing keeps ${%s} before it", where, m[1])
			}
		}
	}
	script := func(where, s string) {
		if err := scenarios.Lint(s); err != nil {
			say("%s: %w", where, err)
		}
	}
	phases := func(where, s string, missing map[string]text.Text) {
		script(where, s)
		var all []string
		for _, m := range phase.FindAllStringSubmatch(s, -1) {
			all = append(all, m[1])
		}
		if !strings.HasPrefix(s, "phase ") {
			say("%s: must begin with a phase, which says what is missing where it fails", where)
		}
		for _, p := range slices.Compact(slices.Sorted(slices.Values(slices.Concat(all, slices.Collect(maps.Keys(missing)))))) {
			if !slices.Contains(all, p) {
				say("%s: has no phase %q", where, p)
				continue
			}
			said(where+", missing "+p, missing[p])
		}
	}
	keep := func(s string) {
		for _, m := range keeps.FindAllStringSubmatch(s, -1) {
			known = append(known, m[1])
		}
	}

	said("title", l.Title)
	if l.Minutes < 1 {
		say("minutes: how long does it take?")
	}
	if n := len(l.Steps); n < 3 || n > 5 {
		say("it has %d steps; from 3 to 5 fit into a lesson", n)
	}
	phases("prepare", l.Prepare, l.Missing)
	keep(l.Prepare)
	script("reset", l.Reset)
	for _, f := range l.files {
		said("file "+f.Name, text.Same(string(f.Data)))
	}
	ids := map[string]bool{}
	for _, s := range l.Steps {
		if s.ID == "" || ids[s.ID] {
			say("step %q: every step has an id of its own", s.ID)
		}
		ids[s.ID] = true
		for what, t := range map[string]text.Text{"title": s.Title, "story": s.Story, "do": s.Do, "hint": s.Hint} {
			said(s.ID+" "+what, t)
		}
		phases(s.ID+" check", s.Check, s.Missing)
		if strings.TrimSpace(s.Solution) == "" {
			say("%s: has no solution", s.ID)
		}
		script(s.ID+" solution", s.Solution)
		keep(s.Check)
		said(s.ID+" explanation", s.Explanation)
	}
	return errors.Join(errs...)
}

// fill puts variables into a text.
func fill(s string, vars map[string]string) string {
	return variable.ReplaceAllStringFunc(s, func(v string) string { return vars[v[2:len(v)-1]] })
}

func filled(t text.Text, vars map[string]string) text.Text {
	return text.Of(fill(t.EN, vars), fill(t.NL, vars))
}
