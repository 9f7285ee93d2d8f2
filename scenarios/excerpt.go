package scenarios

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/druppie/druppie-up/scenarios/platform"
)

// Excerpt is a piece of script in the words of the scenarios, with the files of one of them: what a lesson
// checks, and what it does for whoever is stuck.
type Excerpt struct {
	Script   string
	Vars     map[string]string // set before it
	Since    time.Time         // from when on the trace is searched; zero: from its begin
	Patience time.Duration     // how long one command may wait at most; 0: as long as in a scenario
	Lasting  bool              // what it applies stays when it ends
}

// Files are the files that a scenario carries below its script.
func Files(name string) ([]txtar.File, error) {
	script, err := Script(name)
	if err != nil {
		return nil, err
	}
	return txtar.Parse(script).Files, nil
}

// RunExcerpt runs an excerpt of the scenario that opt names. Beside the result it gives the variables
// that the excerpt keeps.
func RunExcerpt(ctx context.Context, opt Options, x Excerpt) (Result, map[string]string, error) {
	files, err := Files(opt.Name)
	if err != nil {
		return Result{Name: opt.Name}, nil, err
	}
	e := newEngine(ctx, opt.filled())
	defer e.close()
	e.vars, e.patience, e.lasting = x.Vars, x.Patience, x.Lasting
	if !x.Since.IsZero() {
		e.since = x.Since
	}
	res, err := e.execute(Info{Name: opt.Name}, txtar.Format(&txtar.Archive{Comment: []byte(x.Script), Files: files}))
	return res, e.kept, err
}

// runKeep keeps a variable beyond the script, for whoever runs excerpts.
func runKeep(c *call) error {
	name := c.args[0]
	value := c.ts.Getenv(name)
	if value == "" {
		return fmt.Errorf("%s is empty", name)
	}
	c.kept[name] = value
	return nil
}

// noAnswer is what the variable ANSWER holds where nobody answered.
const noAnswer = "none"

// shortest is how much of a digest, hash or key must be given to stand for all of it.
const shortest = 10

// runAnswer compares the answer that was given with what the pattern's group finds in what the last
// command printed: one of these it must be.
func runAnswer(c *call) error {
	if c.pattern.NumSubexp() != 1 {
		return fmt.Errorf("%w: %s needs one group", errUsage, c.pattern)
	}
	given := strings.TrimSpace(c.ts.Getenv("ANSWER"))
	found := c.pattern.FindAllStringSubmatch(c.ts.ReadFile("stdout"), -1)
	for _, m := range found {
		if isAnswer(given, m[1]) {
			return nil
		}
	}
	switch {
	case len(found) == 0:
		return fmt.Errorf("nothing here fits %s", c.pattern)
	case given == noAnswer:
		return errors.New("no answer was given")
	}
	return fmt.Errorf("%q is not the answer", given)
}

func isAnswer(given, right string) bool {
	given, right = strings.ToLower(given), strings.ToLower(right)
	if given == right {
		return true
	}
	if _, hex, ok := strings.Cut(right, ":"); ok && !strings.Contains(given, ":") {
		right = hex
	}
	if len(given) < shortest || len(right) < shortest {
		return false
	}
	return strings.HasPrefix(right, given) || strings.HasPrefix(given, right)
}

// runGet prints the object of the kind and name that a file has, as it is in the cluster.
func runGet(c *call, p *platform.Platform) error {
	obj, client, err := c.object(p, c.args[0])
	if err != nil {
		return err
	}
	is, err := client.Get(c.ctx, obj.GetName(), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return refusal{err}
	}
	if err != nil {
		return err
	}
	is.SetManagedFields(nil)
	data, err := yaml.Marshal(is.Object)
	if err != nil {
		return err
	}
	_, err = c.ts.Stdout().Write(data)
	return err
}

// builtin are the words of testscript itself that scripts may use.
var builtin = regexp.MustCompile(`^(env|stdout|stderr|cp|mkdir|cmp|grep)$`)

// Lint says which lines of a script have not the form of any command: a slip in one that runs last would
// show only after minutes on a platform.
func Lint(script string) error {
	commands := (&engine{}).table()
	var errs []error
	for i, line := range strings.Split(script, "\n") {
		args := words(line)
		neg := len(args) > 0 && args[0] == "!"
		if neg {
			args = args[1:]
		}
		if len(args) == 0 {
			continue
		}
		cmd, ours := commands[args[0]]
		switch {
		case !ours && !builtin.MatchString(args[0]):
			errs = append(errs, fmt.Errorf("line %d: unknown command %s", i+1, args[0]))
		case ours && (neg && !cmd.refusable || !cmd.takes(args[1:])):
			errs = append(errs, fmt.Errorf("line %d: %s doesn't fit %q", i+1, line, cmd.forms))
		}
	}
	return errors.Join(errs...)
}

// words splits a line the way testscript does, leaving variables as they are.
func words(line string) []string {
	var out []string
	var word strings.Builder
	quoted, begun := false, false
	for _, r := range line {
		switch {
		case r == '\'':
			quoted, begun = !quoted, true
		case r == '#' && !quoted && !begun:
			return out
		case (r == ' ' || r == '\t') && !quoted:
			if begun {
				out = append(out, word.String())
			}
			word.Reset()
			begun = false
		default:
			begun = true
			word.WriteRune(r)
		}
	}
	if begun {
		out = append(out, word.String())
	}
	return out
}
