package lessons

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/druppie/druppie-up/internal/names"
	"github.com/druppie/druppie-up/internal/text"
	"github.com/druppie/druppie-up/internal/ui"
	"github.com/druppie/druppie-up/scenarios"
)

// Options say on which platform an attendee is.
type Options struct {
	Scenario scenarios.Options // without a name
	Dir      string            // where the attendee's state and files are kept
	Say      map[string]string // addresses and the like that texts name: GITEA, TRACE, CA, PLATFORM
	Lang     string            // of what is reported while scripts run
}

// Walk is an attendee's way through the lessons.
type Walk struct {
	opt   Options
	file  string
	state *state
}

// Errors of an attendee's way.
var (
	ErrNoLesson = errors.New("no lesson has begun")
	ErrNotYet   = errors.New("not done yet")
)

// Open reads where the attendee is.
func Open(opt Options) (*Walk, error) {
	w := &Walk{opt: opt, file: filepath.Join(opt.Dir, "state.json")}
	var err error
	w.state, err = readState(w.file)
	return w, err
}

// Afresh forgets where the attendee was, which nobody can tell any more.
func Afresh(opt Options) *Walk {
	return &Walk{
		opt: opt, file: filepath.Join(opt.Dir, "state.json"),
		state: &state{Schema: schema, Lessons: map[string]*Progress{}},
	}
}

// View is a step as it is shown.
type View struct {
	Lesson      string    `json:"lesson"`
	LessonTitle text.Text `json:"lessonTitle"`
	Minutes     int       `json:"minutes"`
	ID          string    `json:"step"`
	Number      int       `json:"number"`
	Of          int       `json:"of"`
	Title       text.Text `json:"title"`
	Story       text.Text `json:"story,omitzero"`
	Do          text.Text `json:"do,omitzero"`
	Hint        text.Text `json:"hint,omitzero"`
	Passed      bool      `json:"passed"`
	Done        bool      `json:"done"`                 // the lesson
	Missing     text.Text `json:"missing,omitzero"`     // what isn't done yet
	Seen        string    `json:"seen,omitempty"`       // what was found instead
	Explanation text.Text `json:"explanation,omitzero"` // once it passed
	Folder      string    `json:"folder,omitempty"`     // with the lesson's files
}

// Progress is how far the attendee is in a lesson; nil: not begun.
func (w *Walk) Progress(lesson string) *Progress { return w.state.Lessons[lesson] }

// CurrentName is the name of the lesson that the attendee is in; empty: in none.
func (w *Walk) CurrentName() string {
	if w.state.Lessons[w.state.Current] == nil {
		return ""
	}
	return w.state.Current
}

// Current is the lesson that the attendee is in, and the step.
func (w *Walk) Current() (Lesson, Step, error) {
	p := w.state.Lessons[w.state.Current]
	if p == nil {
		return Lesson{}, Step{}, ErrNoLesson
	}
	l, err := Find(w.state.Current)
	if err != nil {
		return Lesson{}, Step{}, err
	}
	i := slices.IndexFunc(l.Steps, func(s Step) bool { return s.ID == p.Step })
	if i < 0 {
		return Lesson{}, Step{}, fmt.Errorf("lesson %s has no step %q: this is another version of it", l.Name, p.Step)
	}
	return l, l.Steps[i], nil
}

// Folder is where the files of a lesson are given to the attendee.
func (w *Walk) Folder(lesson string) string { return filepath.Join(w.opt.Dir, lesson) }

func (w *Walk) view(l Lesson, s Step) View {
	p := w.state.Lessons[l.Name]
	vars := w.vars(l, "")
	v := View{
		Lesson: l.Name, LessonTitle: l.Title, Minutes: l.Minutes, ID: s.ID, Of: len(l.Steps),
		Number: slices.IndexFunc(l.Steps, func(x Step) bool { return x.ID == s.ID }) + 1,
		Title:  filled(s.Title, vars), Passed: p.Passed, Done: p.Done,
	}
	if len(l.files) > 0 {
		v.Folder = w.Folder(l.Name)
	}
	return v
}

// Show is the step that the attendee is at, with what to do.
func (w *Walk) Show() (View, error) {
	l, s, err := w.Current()
	if err != nil {
		return View{}, err
	}
	v, vars := w.view(l, s), w.vars(l, "")
	v.Story, v.Do = filled(s.Story, vars), filled(s.Do, vars)
	if v.Passed {
		v.Explanation = filled(s.Explanation, vars)
	}
	return v, nil
}

// Hint is the step that the attendee is at, with a hint.
func (w *Walk) Hint() (View, error) {
	l, s, err := w.Current()
	if err != nil {
		return View{}, err
	}
	v := w.view(l, s)
	v.Hint = filled(s.Hint, w.vars(l, ""))
	return v, nil
}

// vars are the variables of a lesson's texts and scripts.
func (w *Walk) vars(l Lesson, answer string) map[string]string {
	p := w.state.Lessons[l.Name]
	vars := map[string]string{
		"LESSON": p.ID, "FOLDER": w.Folder(l.Name), "ANSWER": answer,
		"REGISTRY": names.RegistryHost + "/" + names.Organisation, "KUBECONFIG": w.opt.Scenario.Kubeconfig,
	}
	maps.Copy(vars, w.opt.Say)
	maps.Copy(vars, p.Vars)
	return vars
}

// What scripts are run for, as it is reported.
var (
	toPrepare = text.Of("Prepare: ", "Voorbereiden: ")
	toCheck   = text.Of("Check: ", "Controleren: ")
	toSolve   = text.Of("Solve: ", "Oplossen: ")
	toReset   = text.Of("Put back: ", "Terugzetten: ")
	unmet     = text.Of("not done yet", "nog niet klaar")
)

// run runs a script of a lesson, and keeps what it keeps.
func (w *Walk) run(ctx context.Context, l Lesson, what text.Text, answer string, x scenarios.Excerpt) (scenarios.Result, error) {
	p := w.state.Lessons[l.Name]
	opt := w.opt.Scenario
	opt.Name = l.Name
	task := opt.Reporter.Start("lesson."+l.Name, what.In(w.opt.Lang))
	opt.Reporter = within{task}
	x.Vars, x.Since, x.Lasting = w.vars(l, answer), p.Began, true
	res, kept, err := scenarios.RunExcerpt(ctx, opt, x)
	switch {
	case err == nil:
		maps.Copy(p.Vars, kept)
		task.Done("")
	case res.Failed() != "" && ctx.Err() == nil:
		task.Skip(unmet.In(w.opt.Lang))
	default:
		task.Fail(err)
	}
	return res, err
}

// Start begins a lesson, or goes on where it was left. What it needs must be there: if not, the view says what
// is missing, and the error wraps ErrNotYet.
func (w *Walk) Start(ctx context.Context, name string) (View, error) {
	l, err := Find(name)
	if err != nil {
		return View{}, err
	}
	if w.state.Lessons[name] != nil {
		w.state.Current = name
		if err := w.state.write(w.file); err != nil {
			return View{}, err
		}
		return w.Show()
	}
	p := &Progress{
		ID: newID(), Began: time.Now().UTC(), Step: l.Steps[0].ID, Vars: map[string]string{},
	}
	w.state.Lessons[name] = p
	res, err := w.run(ctx, l, toPrepare.Plus(l.Title), "", scenarios.Excerpt{Script: l.Prepare, Patience: patience})
	if err == nil {
		err = w.giveFiles(l)
	}
	if err != nil {
		v, err := w.notYet(ctx, w.view(l, l.Steps[0]), res, l.Missing, err)
		delete(w.state.Lessons, name) // nothing was made yet that carries its name
		return v, err
	}
	w.state.Current = name
	if err := w.state.write(w.file); err != nil {
		return View{}, err
	}
	return w.Show()
}

// giveFiles writes the lesson's files for the attendee to work on.
func (w *Walk) giveFiles(l Lesson) error {
	vars := w.vars(l, "")
	for _, f := range l.files {
		file := filepath.Join(w.Folder(l.Name), filepath.FromSlash(f.Name))
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(file, []byte(fill(string(f.Data), vars)), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// patience is how long a check waits for one thing: long enough for what was just done to be in the trace.
const patience = 20 * time.Second

// CheckOptions say how to check.
type CheckOptions struct {
	Answer string        // the attendee's, where the step asks something
	Wait   time.Duration // how long to wait for one thing; 0: a moment
	Solve  bool          // do the step first, as the attendee would
}

// Check looks whether the step is done. Where it isn't, the view says what is missing, and the error wraps
// ErrNotYet.
func (w *Walk) Check(ctx context.Context, o CheckOptions) (View, error) {
	l, s, err := w.Current()
	if err != nil {
		return View{}, err
	}
	p := w.state.Lessons[l.Name]
	if o.Solve && !p.Passed {
		if _, err := w.run(ctx, l, toSolve.Plus(s.Title), "none", scenarios.Excerpt{Script: s.Solution}); err != nil {
			return w.view(l, s), fmt.Errorf("the solution of step %s didn't work: %w", s.ID, err)
		}
		o.Answer, o.Wait = p.Vars["ANSWER"], max(o.Wait, solvePatience)
		delete(p.Vars, "ANSWER")
	}
	if !p.Passed {
		if o.Answer == "" {
			o.Answer = "none"
		}
		wait := o.Wait
		if wait == 0 {
			wait = patience
		}
		res, err := w.run(ctx, l, toCheck.Plus(s.Title), o.Answer, scenarios.Excerpt{Script: s.Check, Patience: wait})
		if err != nil {
			return w.notYet(ctx, w.view(l, s), res, s.Missing, err)
		}
		p.Passed, p.Done = true, s.ID == l.Steps[len(l.Steps)-1].ID
		if err := w.state.write(w.file); err != nil {
			return View{}, err
		}
	}
	v := w.view(l, s)
	v.Explanation = filled(s.Explanation, w.vars(l, ""))
	return v, nil
}

// solvePatience is how long what the platform does by itself may take after a step was solved: the trace finds
// within five minutes what no webhook brought it.
const solvePatience = 6 * time.Minute

// notYet tells what a failed script showed. One that failed before its first phase, or because it was
// interrupted, showed nothing.
func (w *Walk) notYet(ctx context.Context, v View, res scenarios.Result, missing map[string]text.Text, err error) (View, error) {
	said, ok := missing[res.Failed()]
	if ctx.Err() != nil || !ok {
		return v, err
	}
	v.Missing = filled(said, w.vars(Lesson{Name: v.Lesson}, ""))
	v.Seen = strings.TrimPrefix(err.Error(), scenarios.ErrFailed.Error()+": ")
	return v, fmt.Errorf("%w: %w", ErrNotYet, err)
}

// Next goes to the next step, once this one's check passed.
func (w *Walk) Next() (View, error) {
	l, s, err := w.Current()
	if err != nil {
		return View{}, err
	}
	p := w.state.Lessons[l.Name]
	v := w.view(l, s)
	switch {
	case !p.Passed:
		return v, ErrNotYet
	case p.Done:
		return v, nil
	}
	p.Step, p.Passed = l.Steps[v.Number].ID, false
	if err := w.state.write(w.file); err != nil {
		return View{}, err
	}
	return w.Show()
}

// newID is a name that no lesson had before, fit for a namespace, a pod and a branch.
func newID() string { return prefix + strconv.FormatInt(time.Now().UnixMilli(), 36) }

// within reports what scripts do as details of one task: their phases are their own business.
type within struct{ ui.Task }

func (w within) Start(string, string) ui.Task { return w }
func (w within) Note(string, ...any)          {}
func (w within) Progress(int64, int64)        {}
func (w within) Done(string, ...any)          {}
func (w within) Skip(string)                  {}
func (w within) Fail(error)                   {}
