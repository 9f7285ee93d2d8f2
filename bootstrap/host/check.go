package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"

	"github.com/druppie/druppie-up/internal/ui"
)

// Status is how a check came out.
type Status string

// OK: nothing is to be done. Warn: it may cause trouble later. Fail: `up` stops.
// Skip: the check doesn't apply to this machine.
const (
	OK   Status = "ok"
	Warn Status = "warn"
	Fail Status = "fail"
	Skip Status = "skip"
)

// Check is one thing that the machine must offer.
type Check struct {
	Name  string // for programs
	Title string // for people
	Why   string // why it matters
	// Run looks, and changes nothing.
	Run func(*Host, context.Context) Finding
	// Fix repairs what Run found; nil where only a human can. It does what the
	// finding's FixDoes says, and records it so that Undo can take it back.
	Fix func(*Host, context.Context) error
}

// Finding is what a check found.
type Finding struct {
	Name    string   `json:"name"`
	Title   string   `json:"title"`
	Status  Status   `json:"status"`
	Found   string   `json:"found"`
	Why     string   `json:"why,omitempty"`
	Mend    string   `json:"mend,omitempty"` // what a human would type
	Fixable bool     `json:"fixable"`        // Fix can repair it
	FixDoes []string `json:"fixDoes,omitempty"`
	// Consent says that the fix changes an engine that isn't ours.
	Consent bool `json:"consent,omitempty"`
}

// ErrDeclined says that the confirmation was refused: nothing was changed.
var ErrDeclined = errors.New("nothing was changed")

// Run makes all checks and reports each; a failed check is a finding, not an
// error. See Failed for turning findings into one.
func Run(ctx context.Context, opt Options, rep ui.Reporter) ([]Finding, error) {
	return thisMachine(opt).check(ctx, checks, rep)
}

func (h *Host) check(ctx context.Context, checks []Check, rep ui.Reporter) ([]Finding, error) {
	if runtime.GOOS != "linux" {
		checks = checks[:1] // that this is no Linux
	}
	var findings []Finding
	for _, c := range checks {
		task := rep.Start("check-"+c.Name, c.Title)
		f := c.Run(h, ctx)
		if err := ctx.Err(); err != nil {
			task.Fail(err)
			return findings, fmt.Errorf("check %s: %w", c.Name, err)
		}
		f.Name, f.Title, f.Why = c.Name, c.Title, c.Why
		f.Found = hideProxyUsers(f.Found, os.Getenv)
		bad := f.Status == Fail || f.Status == Warn
		f.Fixable = bad && c.Fix != nil && len(f.FixDoes) > 0
		if !f.Fixable {
			f.FixDoes, f.Consent = nil, false
		}
		if !bad {
			f.Mend = ""
		}
		findings = append(findings, f)
		switch f.Status {
		case Fail:
			task.Fail(errors.New(f.Found))
		case Warn:
			task.Done("warning: %s", f.Found)
		case Skip:
			task.Skip(f.Found)
		default:
			task.Done("%s", f.Found)
		}
	}
	return findings, nil
}

// Failed joins all failures into one error whose hint says how to fix each;
// nil where there are none.
func Failed(findings []Finding) error {
	var failed, mends []string
	fixable := false
	for _, f := range findings {
		if f.Status != Fail {
			continue
		}
		failed = append(failed, fmt.Sprintf("%s: %s (%s)", f.Title, f.Found, f.Why))
		mends = append(mends, f.Title+": "+f.Mend)
		fixable = fixable || f.Fixable
	}
	if len(failed) == 0 {
		return nil
	}
	if fixable {
		mends = append(mends, "or let druppie-up doctor --fix do what it can")
	}
	err := fmt.Errorf("this machine isn't ready:\n  %s", strings.Join(failed, "\n  "))
	return ui.WithHint(err, strings.Join(mends, "\n"))
}

// Fix repairs what it can of the findings. It shows everything that it will do
// to confirm first, and does nothing without a yes. Changes to an engine that
// isn't ours are asked apart, and left out when nobody is there to ask and
// Options.ChangeEngine doesn't say so.
func Fix(ctx context.Context, opt Options, findings []Finding, confirm func([]string) (bool, error), rep ui.Reporter) error {
	return thisMachine(opt).fix(ctx, checks, findings, confirm, rep)
}

func (h *Host) fix(ctx context.Context, checks []Check, findings []Finding, confirm func([]string) (bool, error), rep ui.Reporter) error {
	var ours, foreign []Finding
	for _, f := range findings {
		switch {
		case !f.Fixable:
		case !f.Consent:
			ours = append(ours, f)
		case h.opt.Unattended && !h.opt.ChangeEngine:
			rep.Note("%s: left alone, since the engine isn't one that druppie-up installed (allow it with --change-engine)", f.Title)
		default:
			foreign = append(foreign, f)
		}
	}
	if len(ours)+len(foreign) == 0 {
		return nil
	}
	agreed := map[string]bool{}
	for _, group := range [][]Finding{ours, foreign} {
		if len(group) == 0 {
			continue
		}
		var lines []string
		for _, f := range group {
			lines = append(lines, f.FixDoes...)
		}
		yes, err := confirm(lines)
		if err != nil {
			return err
		}
		if !yes {
			continue
		}
		for _, f := range group {
			agreed[f.Name] = true
		}
	}
	if len(agreed) == 0 {
		return ErrDeclined
	}
	var failures []error
	for _, c := range checks {
		if !agreed[c.Name] {
			continue
		}
		fix := func(ui.Task) (string, error) { return "", c.Fix(h, ctx) }
		if err := ui.Run(rep, "fix-"+c.Name, "mend "+strings.ToLower(c.Title), fix); err != nil {
			failures = append(failures, fmt.Errorf("mend %s: %w", c.Name, err))
		}
	}
	return errors.Join(failures...)
}
