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

	"github.com/druppie/druppie-up/tracedb"
)

// traceTimeout is how long something that happened may take to be in the trace.
const traceTimeout = 2 * time.Minute

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
	key, err := p.Kube.CoreV1().ConfigMaps("druppie-system").Get(c.ctx, "tracedb-checkpoint-public-key", metav1.GetOptions{})
	if err != nil {
		return "", fmt.Errorf("read the trace's public key: %w", err)
	}
	file := c.ts.MkAbs("trace.key")
	return file, os.WriteFile(file, []byte(key.Data["checkpoint.pub"]), 0o600)
}

// find searches the trace; - stands for any outcome. What is printed is JSON, newest first.
func (c *call) find(kind, outcome, ref string) ([]byte, error) {
	args := []string{"trace", "search", "--kind", kind, "--ref", ref, "-o", "json", "--name", c.opt.Platform}
	if outcome != "-" {
		args = append(args, "--outcome", outcome)
	}
	return c.druppieUp(args...)
}

// awaitTrace waits until the trace says so: what the platform did right counts
// only when it is written down. RECORD becomes the record's number.
func awaitTrace(c *call, pattern *regexp.Regexp) error {
	kind, outcome, ref := c.args[1], c.args[2], c.args[3]
	return c.wait(traceTimeout, func() (bool, string, error) {
		waiting := fmt.Sprintf("for the trace to hold: %s %s about %s", kind, outcome, ref)
		out, err := c.find(kind, outcome, ref)
		if errors.As(err, new(refusal)) {
			return false, waiting + " (" + lastLine(err.Error()) + ")", nil // it may be on its way back
		}
		if err != nil {
			return false, "", err
		}
		var found struct {
			Entries []json.RawMessage `json:"entries"`
		}
		if err := json.Unmarshal(out, &found); err != nil {
			return false, "", fmt.Errorf("read what trace search printed: %w", err)
		}
		for _, raw := range found.Entries {
			if pattern != nil && !pattern.Match(raw) {
				continue
			}
			var e tracedb.Entry
			if err := json.Unmarshal(raw, &e); err != nil {
				return false, "", fmt.Errorf("read what trace search printed: %w", err)
			}
			c.ts.Setenv("RECORD", fmt.Sprint(e.Seq))
			_, err := fmt.Fprintln(c.ts.Stdout(), string(raw))
			return true, "", err
		}
		return false, waiting, nil
	})
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return lines[len(lines)-1]
}
