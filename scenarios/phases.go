package scenarios

import (
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/druppie/druppie-up/internal/ui"
)

// Phase is a stretch of a scenario and how long it took. Parts are what the
// platform itself measured within it, such as the tasks of a pipeline run.
type Phase struct {
	Name     string        `json:"name"`
	Duration time.Duration `json:"duration"`
	Parts    []Phase       `json:"parts,omitempty"`
	Failed   bool          `json:"failed,omitempty"` // the scenario failed in it
}

// Step is a phase before it begins.
type Step struct {
	Phase  string
	Script string // what it does, in the script's own words, with its comments
}

// steps are a script's phases. What comes before the first has no name, and no step.
func steps(script []byte) []Step {
	var out []Step
	for line := range strings.Lines(string(txtar.Parse(script).Comment)) {
		if name, ok := strings.CutPrefix(line, "phase "); ok {
			out = append(out, Step{Phase: strings.Trim(name, "'\n")})
		} else if len(out) > 0 {
			out[len(out)-1].Script += line
		}
	}
	for i := range out {
		out[i].Script = strings.TrimSpace(out[i].Script)
	}
	return out
}

// clock measures phases; one runs at a time.
type clock struct {
	reporter ui.Reporter
	label    string // before each phase's name, for people
	now      func() time.Time
	phases   []Phase
	task     ui.Task
	begun    time.Time
}

func (c *clock) start(name string) {
	c.end(nil)
	c.phases = append(c.phases, Phase{Name: name})
	c.task = c.reporter.Start("scenario."+strings.ReplaceAll(name, " ", "-"), c.label+name)
	c.begun = c.now()
}

// detail says what the current phase waits for.
func (c *clock) detail(format string, args ...any) {
	if c.task != nil {
		c.task.Detail(format, args...)
	}
}

func (c *clock) part(name string, took time.Duration) {
	if len(c.phases) > 0 {
		last := &c.phases[len(c.phases)-1]
		last.Parts = append(last.Parts, Phase{Name: name, Duration: took})
	}
}

func (c *clock) end(err error) {
	if c.task == nil {
		return
	}
	c.phases[len(c.phases)-1].Duration = c.now().Sub(c.begun)
	if err != nil {
		c.phases[len(c.phases)-1].Failed = true
		c.task.Fail(err)
	} else {
		c.task.Done("")
	}
	c.task = nil
}

// finish ends the last phase; err says why the script failed.
func (c *clock) finish(err error) []Phase {
	c.end(err)
	return c.phases
}

// table writes the phases for people.
func table(res Result) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	row := func(name string, took time.Duration) { fmt.Fprintf(w, "%s\t%7.1f s\n", name, took.Seconds()) }
	for _, l := range res.Phases {
		row(l.Name, l.Duration)
		for _, p := range l.Parts {
			row("  "+p.Name, p.Duration)
		}
	}
	row("total", res.Duration)
	row("  of which it waited", res.Waited)
	_ = w.Flush() // into memory: it can't fail
	return b.String()
}
