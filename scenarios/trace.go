package scenarios

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/druppie/druppie-up/internal/command"
	"github.com/druppie/druppie-up/internal/names"
	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/why"
)

const (
	// traceTimeout is how long something that happened may take to be in the trace:
	// every minute it looks through Gitea for what no webhook brought.
	traceTimeout = 3 * time.Minute
	// ciso is who decided on an exception, in the register.
	ciso = "druppie-scenario"
)

// trace runs a subcommand of the built command's trace on the platform, as a user would.
func (c *call) trace(args ...string) ([]byte, error) {
	which := []string{"--name", c.opt.Platform}
	if c.opt.Context != "" {
		which = []string{"--context", c.opt.Context}
	}
	return c.traceOffline(slices.Concat(args, which)...)
}

// traceOffline runs a subcommand that asks no platform.
func (c *call) traceOffline(args ...string) ([]byte, error) {
	out, err := command.Output(c.ctx, c.opt.Command, slices.Concat([]string{"trace"}, args)...)
	// With 2 it ends where it wasn't asked rightly, which is a script's mistake and no refusal.
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.ExitCode() != 2 {
		return out, refusal{err}
	}
	return out, err
}

// runTrace asks the trace, by the command that users have.
func runTrace(c *call) error {
	var out []byte
	var err error
	switch c.args[0] {
	case "why":
		out, err = c.trace("why", c.args[1])
	case "find":
		var page tracedb.Page
		if page, err = c.search(c.args[1], c.args[2], c.args[3]); err == nil {
			out, err = json.MarshalIndent(page, "", "  ")
		}
	case "export":
		out, err = c.trace("export", c.args[1], "--file", c.ts.MkAbs(c.args[2]))
	case "verify":
		var key string
		if key, err = c.traceKey(); err != nil {
			return err
		}
		out, err = c.traceOffline("verify", c.ts.MkAbs(c.args[1]), "--key", key)
	case "validate":
		out, err = c.traceOffline("register", "validate", c.ts.MkAbs(c.args[1]))
	case "grant", "revoke":
		out, err = c.exception(c.args[0], c.args[1], c.args[2], c.args[3])
	}
	_, writeErr := c.ts.Stdout().Write(out)
	return cmp.Or(err, writeErr)
}

// traceKey writes the key that the trace's checkpoints are verified with to a
// file, from where the platform keeps it: not from the trace itself.
func (c *call) traceKey() (string, error) {
	p, err := c.platform()
	if err != nil {
		return "", err
	}
	key, err := p.Kube.CoreV1().ConfigMaps(names.NamespaceSystem).Get(c.ctx, names.CheckpointKey, metav1.GetOptions{})
	if err != nil {
		return "", fmt.Errorf("read the trace's public key: %w", err)
	}
	file := c.ts.MkAbs("trace.key")
	return file, os.WriteFile(file, []byte(key.Data[names.CheckpointKeyFile]), 0o600)
}

// exception grants an exception until tomorrow, for one image, or revokes it.
// One that stands is revoked when the script ends, whatever becomes of it.
func (c *call) exception(verb, id, image, reason string) ([]byte, error) {
	args := []string{"register", verb, id, "--image", image, "--by", ciso, "--reason", reason}
	if verb == "grant" {
		args = append(args, "--until", time.Now().UTC().AddDate(0, 0, 1).Format(time.DateOnly))
	}
	out, err := c.trace(args...)
	key := id + " " + image
	switch {
	case err != nil:
		return out, err
	case verb == "revoke":
		delete(c.granted, key)
		return out, nil
	}
	c.granted[key] = true
	c.cleanup("an exception for "+id, func(after *call) error {
		if !after.granted[key] {
			return nil
		}
		_, err := after.exception("revoke", id, image, "the scenario has ended")
		return err
	})
	return out, nil
}

// Trace is what scripts search: a client of the Traceability DB. A script waits for a record with
// dozens of questions, which a process each would take most of the machine for; what users are
// told, it asks by the command that they have.
type Trace interface {
	Search(context.Context, tracedb.Query) (tracedb.Page, error)
	Why(ctx context.Context, subject string, opts why.Options) (*why.Chain, error)
}

// searcher connects to the trace at the first need.
func (c *call) searcher() (Trace, error) {
	if c.recorder == nil {
		t, err := c.opt.Trace(c.ctx)
		if err != nil {
			return nil, err
		}
		c.recorder = t
	}
	return c.recorder, nil
}

// search searches what the trace took since the scenario began, newest first; - stands for any
// outcome, or for any subject, and an image may be given by name and digest.
func (c *call) search(kind, outcome, ref string) (page tracedb.Page, err error) {
	if image, ok := strings.CutPrefix(ref, "image:"); ok {
		ref = "image:" + image[strings.LastIndexByte(image, '@')+1:]
	}
	q := tracedb.Query{
		// The log's clock is this machine's, give or take.
		From: c.since.UTC().Add(-time.Second).Truncate(time.Second), Kinds: []tracedb.Kind{tracedb.Kind(kind)}, Limit: tracedb.DefaultPage,
	}
	if _, known := q.Kinds[0].Info(); !known {
		return page, fmt.Errorf("%w: there is no kind of record %q", errUsage, kind)
	}
	if outcome != "-" {
		if q.Outcome = tracedb.Outcome(outcome); !slices.Contains(tracedb.Outcomes(), q.Outcome) {
			return page, fmt.Errorf("%w: no record has the outcome %q", errUsage, outcome)
		}
	}
	if ref != "-" {
		about, err := why.Subject(ref)
		if err != nil {
			return page, fmt.Errorf("%w: %w", errUsage, err)
		}
		q.Refs = []tracedb.Ref{about}
	}
	t, err := c.searcher()
	if err != nil {
		return page, err
	}
	if page, err = t.Search(c.ctx, q); err != nil {
		return page, refusal{err}
	}
	return page, nil
}

// describe gives the trace's text about a record: a line that sums it up, and
// one for each of its details.
func (c *call) describe(seq int64) (string, error) {
	t, err := c.searcher()
	if err != nil {
		return "", err
	}
	chain, err := t.Why(c.ctx, fmt.Sprintf("record:%d", seq), why.Options{})
	if err != nil {
		return "", refusal{err}
	}
	for _, l := range chain.Links {
		if l.Seq != seq {
			continue
		}
		lines := []string{l.Title}
		for _, d := range l.Details {
			lines = append(lines, d.Name+": "+d.Value)
		}
		return strings.Join(lines, "\n"), nil
	}
	return "", refusal{fmt.Errorf("what the trace tells of record %d doesn't hold it", seq)}
}

// awaitTrace waits until the trace has a record: what the platform did right counts
// only when it is written down. The pattern is for a record's entry, or a line of
// the trace's text about it. RECORD becomes the record's number.
func awaitTrace(c *call) error {
	kind, outcome, ref := c.args[1], c.args[2], c.args[3]
	waiting := fmt.Sprintf("for the trace to hold: %s %s about %s", kind, outcome, ref)
	if c.pattern != nil {
		waiting += " that says " + c.pattern.String()
	}
	texts := map[int64]string{}
	return c.wait(traceTimeout, func() (bool, string, error) {
		seq, text, err := c.findRecord(kind, outcome, ref, texts)
		if errors.As(err, new(refusal)) {
			return false, waiting + " (" + command.LastLines(err.Error(), 1) + ")", nil // it may be on its way back
		}
		if err != nil || seq < 0 {
			return false, waiting, err
		}
		c.ts.Setenv("RECORD", fmt.Sprint(seq))
		_, err = fmt.Fprintln(c.ts.Stdout(), text)
		return true, "", err
	})
}

// findRecord looks for a record once; the number is negative where there is none. texts
// keeps what is said about records: they never change.
func (c *call) findRecord(kind, outcome, ref string, texts map[int64]string) (int64, string, error) {
	page, err := c.search(kind, outcome, ref)
	if err != nil {
		return -1, "", err
	}
	for _, e := range page.Entries {
		raw, err := json.MarshalIndent(e, "", "  ") // as the command prints it
		if err != nil {
			return -1, "", err
		}
		if c.pattern == nil || c.pattern.Match(raw) {
			return e.Seq, string(raw), nil
		}
		text, known := texts[e.Seq]
		if !known {
			if text, err = c.describe(e.Seq); err != nil {
				return -1, "", err
			}
			texts[e.Seq] = text
		}
		if c.pattern.MatchString(text) {
			return e.Seq, text, nil
		}
	}
	return -1, "", nil
}
