package scenarios

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/druppie/druppie-up/internal/names"
	"github.com/druppie/druppie-up/tracedb"
)

const (
	// traceTimeout is how long something that happened may take to be in the trace:
	// every five minutes it looks through Gitea for what no webhook told.
	traceTimeout = 6 * time.Minute
	// ciso is by whom scenarios say that an exception was decided.
	ciso = "druppie-scenario"
)

// druppieUp runs the built command, as a user would.
func (c *call) druppieUp(args ...string) ([]byte, error) {
	cmd := exec.CommandContext(c.ctx, c.opt.Command, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return stdout.Bytes(), refusal{fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))}
	}
	return stdout.Bytes(), err
}

// runTrace asks the trace, by the command that users have.
func runTrace(c *call) error {
	var out []byte
	var err error
	switch c.args[0] {
	case "why":
		out, err = c.druppieUp("trace", "why", c.args[1], "--name", c.opt.Platform)
	case "find":
		out, err = c.find(c.args[1], c.args[2], c.args[3])
	case "export":
		out, err = c.druppieUp("trace", "export", c.args[1], "--file", c.ts.MkAbs(c.args[2]), "--name", c.opt.Platform)
	case "verify":
		var key string
		if key, err = c.traceKey(); err != nil {
			return err
		}
		out, err = c.druppieUp("trace", "verify", c.ts.MkAbs(c.args[1]), "--key", key)
	case "grant", "revoke":
		out, err = c.except(c.args[0], c.args[1], c.args[2], c.args[3])
	}
	if _, werr := c.ts.Stdout().Write(out); werr != nil && err == nil {
		return werr
	}
	return err
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

// except grants an exception until tomorrow, for one image, or takes it back.
// One that stands is taken back when the script ends, whatever becomes of it.
func (c *call) except(verb, id, image, reason string) ([]byte, error) {
	args := []string{"trace", "register", verb, id, "--image", image, "--by", ciso, "--reason", reason, "--name", c.opt.Platform}
	key := id + " " + image
	if verb == "revoke" {
		out, err := c.druppieUp(args...)
		if err == nil {
			delete(c.granted, key)
		}
		return out, err
	}
	out, err := c.druppieUp(append(args, "--until", time.Now().UTC().AddDate(0, 0, 1).Format(time.DateOnly))...)
	if err != nil {
		return out, err
	}
	c.granted[key] = true
	c.ts.Defer(func() {
		if !c.granted[key] {
			return
		}
		after := *c
		after.ctx = contextWithoutEnd(c.ctx)
		if _, err := after.except("revoke", id, image, "the scenario has ended"); err != nil {
			c.ts.Logf("left behind: an exception for %s: %v", id, err)
		}
	})
	return out, nil
}

// find searches what the trace took since the scenario began; - stands for any
// outcome, and an image may be given by name and digest. What is printed is JSON,
// newest first.
func (c *call) find(kind, outcome, ref string) ([]byte, error) {
	if image, ok := strings.CutPrefix(ref, "image:"); ok {
		ref = "image:" + image[strings.LastIndexByte(image, '@')+1:]
	}
	// The log's clock is this machine's, give or take.
	since := c.begun.UTC().Add(-time.Second).Format(time.RFC3339)
	args := []string{"trace", "search", "--kind", kind, "--ref", ref, "--from", since, "-o", "json", "--name", c.opt.Platform}
	if outcome != "-" {
		args = append(args, "--outcome", outcome)
	}
	return c.druppieUp(args...)
}

// told is what the trace tells people about a record: a line that sums it up, and
// one for each thing that it says.
func (c *call) told(seq int64) (string, error) {
	out, err := c.druppieUp("trace", "why", fmt.Sprintf("record:%d", seq), "-o", "json", "--name", c.opt.Platform)
	if err != nil {
		return "", err
	}
	var chain struct {
		Links []struct {
			Seq     int64                          `json:"seq"`
			Title   string                         `json:"title"`
			Details []struct{ Name, Value string } `json:"details"`
		} `json:"links"`
	}
	if err := json.Unmarshal(out, &chain); err != nil {
		return "", fmt.Errorf("read what trace why printed: %w", err)
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
	return "", fmt.Errorf("trace why record:%d doesn't tell of that record", seq)
}

// awaitTrace waits until the trace says so: what the platform did right counts
// only when it is written down. The pattern is for a record's entry, or a line of
// what the trace tells about it. RECORD becomes the record's number.
func awaitTrace(c *call, pattern *regexp.Regexp) error {
	kind, outcome, ref := c.args[1], c.args[2], c.args[3]
	waiting := fmt.Sprintf("for the trace to hold: %s %s about %s", kind, outcome, ref)
	if pattern != nil {
		waiting += " that says " + pattern.String()
	}
	told := map[int64]string{}
	return c.wait(traceTimeout, func() (bool, string, error) {
		found, text, err := c.look(kind, outcome, ref, pattern, told)
		if errors.As(err, new(refusal)) {
			return false, waiting + " (" + lastLine(err.Error()) + ")", nil // it may be on its way back
		}
		if err != nil || found < 0 {
			return false, waiting, err
		}
		c.ts.Setenv("RECORD", fmt.Sprint(found))
		_, err = fmt.Fprintln(c.ts.Stdout(), text)
		return true, "", err
	})
}

// look looks once; the number is negative where no record is what is wanted. told
// keeps what was asked about records: they never change.
func (c *call) look(kind, outcome, ref string, pattern *regexp.Regexp, told map[int64]string) (int64, string, error) {
	out, err := c.find(kind, outcome, ref)
	if err != nil {
		return -1, "", err
	}
	var found struct {
		Entries []json.RawMessage `json:"entries"`
	}
	if err := json.Unmarshal(out, &found); err != nil {
		return -1, "", fmt.Errorf("read what trace search printed: %w", err)
	}
	for _, raw := range found.Entries {
		var e tracedb.Entry
		if err := json.Unmarshal(raw, &e); err != nil {
			return -1, "", fmt.Errorf("read what trace search printed: %w", err)
		}
		if pattern == nil || pattern.Match(raw) {
			return e.Seq, string(raw), nil
		}
		text, known := told[e.Seq]
		if !known {
			if text, err = c.told(e.Seq); err != nil {
				return -1, "", err
			}
			told[e.Seq] = text
		}
		if pattern.MatchString(text) {
			return e.Seq, text, nil
		}
	}
	return -1, "", nil
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return lines[len(lines)-1]
}
