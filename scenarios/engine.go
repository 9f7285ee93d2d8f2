package scenarios

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/druppie/druppie-up/internal/names"
	"github.com/druppie/druppie-up/scenarios/platform"
)

// errUsage marks a script's mistake: no expectation of a refusal covers it.
var errUsage = errors.New("usage")

// engine is what the commands of one script share.
type engine struct {
	ctx         context.Context
	opt         Options
	clock       *clock
	begun       time.Time
	connected   *platform.Platform        // nil until a command needs it
	harness     *harness                  // of the script that runs
	counter     *counter                  // of requests; nil: none are counted
	recorder    Trace                     // nil until a command needs it
	granted     map[string]bool           // exceptions that stand
	protections map[string]map[string]any // rules of main that are switched off, by repository

	latest   string            // commit that the script last brought to main of a service
	steps    []Step            // that are still to come
	since    time.Time         // from when on the trace is searched
	vars     map[string]string // set before the script
	kept     map[string]string // what the script keeps of its variables
	patience time.Duration     // how long a command may wait at most; 0: as long as it likes
	waited   time.Duration     // by all of its commands
	lasting  bool              // what is applied stays
}

func newEngine(ctx context.Context, opt Options) *engine {
	now := time.Now()
	return &engine{
		ctx: ctx, opt: opt, clock: &clock{reporter: opt.Reporter, label: opt.Label, now: time.Now}, begun: now, since: now,
		granted: map[string]bool{}, kept: map[string]string{}, protections: map[string]map[string]any{},
	}
}

func (e *engine) close() {
	if e.connected != nil {
		e.connected.Close()
	}
}

func (e *engine) setup(env *testscript.Env) error {
	env.Setenv("REGISTRY", names.RegistryHost+"/"+names.Organisation)
	env.Setenv("TENANT", e.opt.Place.Tenant)
	env.Setenv("SERVICE", e.opt.Place.Service)
	env.Setenv("ALGORITHM", e.opt.Place.Algorithm)
	env.Setenv("KUBECONFIG", e.opt.Kubeconfig)
	env.Setenv("DRUPPIE_UP", e.opt.Command)
	for name, value := range e.vars {
		env.Setenv(name, value)
	}
	return nil
}

// platform connects at the first need, so that a script which needs none runs
// without.
func (e *engine) platform() (*platform.Platform, error) {
	if e.connected == nil {
		p, err := platform.Connect(e.ctx, platform.Options{Kubeconfig: e.opt.Kubeconfig, Context: e.opt.Context, Port: e.opt.Port})
		if err != nil {
			return nil, err
		}
		e.connected = p
	}
	return e.connected, nil
}

// call is a command with its arguments.
type call struct {
	*engine
	ctx     context.Context
	ts      *testscript.TestScript
	args    []string
	refused bool           // that is what the script expects
	ended   bool           // the script has: this is part of its cleaning up
	number  int64          // the argument NUMBER or REPLICAS
	pattern *regexp.Regexp // the argument REGEX; nil: there is none
}

// scriptCommand is one word that scripts may use. forms are its arguments, as shown
// to whoever gets them wrong; refusable says that ! may stand before it, which
// then means: the platform must refuse, and its words are left in stderr. It has one
// of the two functions: run does without a platform.
type scriptCommand struct {
	forms     []string
	refusable bool
	run       func(c *call) error
	onCluster func(c *call, p *platform.Platform) error
}

func (e *engine) table() map[string]scriptCommand {
	return map[string]scriptCommand{
		"phase":     {forms: []string{"NAME"}, run: runPhase},
		"unique":    {forms: []string{"VARIABLE PREFIX"}, run: runUnique},
		"capture":   {forms: []string{"VARIABLE", "VARIABLE REGEX"}, run: runCapture},
		"keep":      {forms: []string{"VARIABLE"}, run: runKeep},
		"answer":    {forms: []string{"REGEX"}, run: runAnswer},
		"same":      {forms: []string{"WHAT VALUE VALUE"}, run: runSame},
		"replace":   {forms: []string{"FILE OLD NEW"}, run: runReplace},
		"fill":      {forms: []string{"FILE NUMBER"}, run: runFill},
		"nest":      {forms: []string{"DIR NUMBER"}, run: runNest},
		"overlay":   {forms: []string{"DIR RELEASE"}, run: runOverlay},
		"set-image": {forms: []string{"KUSTOMIZATION NAME REFERENCE"}, run: runSetImage},

		"git": {forms: []string{
			"clone IDENTITY REPOSITORY DIR",
			"commit IDENTITY DIR MESSAGE",
			"amend IDENTITY DIR MESSAGE",
			"push IDENTITY DIR BRANCH",
			"force-push IDENTITY DIR BRANCH",
			"tag IDENTITY DIR REPOSITORY TAG",
			"show IDENTITY REPOSITORY PATH",
			"show IDENTITY REPOSITORY PATH BRANCH",
			"head IDENTITY REPOSITORY",
			"head IDENTITY REPOSITORY FOLDER",
		}, refusable: true, onCluster: runGit},
		"pr": {forms: []string{
			"open IDENTITY REPOSITORY BRANCH TITLE",
			"open IDENTITY REPOSITORY BRANCH TITLE BASE",
			"retarget IDENTITY REPOSITORY NUMBER BASE",
			"approve IDENTITY REPOSITORY NUMBER",
			"approve IDENTITY REPOSITORY NUMBER COMMIT",
			"reject IDENTITY REPOSITORY NUMBER",
			"dismiss IDENTITY REPOSITORY NUMBER",
			"close IDENTITY REPOSITORY NUMBER",
			"reopen IDENTITY REPOSITORY NUMBER",
			"merge IDENTITY REPOSITORY NUMBER",
			"override IDENTITY REPOSITORY NUMBER",
			"find IDENTITY REPOSITORY BRANCH",
			"approved IDENTITY REPOSITORY NUMBER",
			"merged IDENTITY REPOSITORY NUMBER",
		}, refusable: true, onCluster: runPR},
		"merge":      {forms: []string{"REPOSITORY DIR BRANCH TITLE"}, onCluster: runMerge},
		"webhook":    {forms: []string{"on|off REPOSITORY"}, onCluster: runWebhook},
		"protection": {forms: []string{"on|off REPOSITORY"}, onCluster: runProtection},
		"registry": {forms: []string{
			"has REFERENCE",
			"signed REFERENCE",
			"tags IMAGE",
			"variant REFERENCE VARIABLE",
			"copy REFERENCE IMAGE VARIABLE",
			"tag REFERENCE TAG",
			"sign-foreign REFERENCE",
			"push-as-nobody IMAGE",
		}, refusable: true, onCluster: runRegistry},
		"restore":  {forms: []string{"BRANCH"}, onCluster: runRestore},
		"revert":   {forms: []string{"now|later REPOSITORY COMMIT"}, onCluster: runRevert},
		"apply":    {forms: []string{"FILE"}, refusable: true, onCluster: runApply},
		"patch":    {forms: []string{"FILE", "FILE NAMESPACE/SERVICEACCOUNT"}, refusable: true, onCluster: runPatch},
		"get":      {forms: []string{"FILE"}, refusable: true, onCluster: runGet},
		"blocked":  {forms: []string{"FILE"}, onCluster: runBlocked},
		"answered": {forms: []string{"FILE"}, onCluster: runAnswered},
		"outage":   {forms: []string{"gatekeeper|trace stop|release|back"}, onCluster: runOutage},
		"trace": {forms: []string{
			"why SUBJECT",
			"find KIND OUTCOME REF",
			"export SUBJECT FILE",
			"verify FILE",
			"validate FILE",
			"grant ID IMAGE REASON",
			"revoke ID IMAGE REASON",
		}, refusable: true, run: runTrace},
		"tamper":    {forms: []string{"ARCHIVE MEMBER FILE"}, run: runTamper},
		"ephemeral": {forms: []string{"NAMESPACE SELECTOR IMAGE"}, refusable: true, onCluster: runEphemeral},
		"inside":    {forms: []string{"NAMESPACE SELECTOR FILE"}, onCluster: runInside},
		"ports":     {forms: []string{"VARIABLE"}, onCluster: runPorts},
		"scale":     {forms: []string{"NAMESPACE DEPLOYMENT REPLICAS"}, onCluster: runScale},
		"running":   {forms: []string{"NAMESPACE DEPLOYMENT VARIABLE"}, onCluster: runRunning},
		"reconcile": {forms: []string{"KUSTOMIZATION SOURCE"}, onCluster: runReconcile},
		"can":       {forms: []string{"NAMESPACE/SERVICEACCOUNT VERB RESOURCE NAMESPACE"}, refusable: true, onCluster: runCan},
		"count":     {forms: []string{"start NAMESPACE/SERVICE:PORT PATH", "stop"}, run: runCount},
		"restart":   {forms: []string{"NODE"}, onCluster: runRestart},
		"tasks":     {forms: []string{"RUN"}, onCluster: runTasks},
		"http": {forms: []string{
			"get NAMESPACE/SERVICE:PORT PATH",
			"post NAMESPACE/SERVICE:PORT PATH FILE",
		}, refusable: true, onCluster: runHTTP},
		"await": {forms: []string{
			"run REPOSITORY COMMIT succeeded|failed|again",
			"task REPOSITORY COMMIT TASK",
			"rollout NAMESPACE DEPLOYMENT DIGEST",
			"replicas NAMESPACE DEPLOYMENT REPLICAS",
			"kustomization NAME REVISION ready",
			"kustomization NAME REVISION failing REGEX",
			"dismissed REPOSITORY NUMBER",
			"denied NAMESPACE POD REGEX",
			"trace KIND OUTCOME REF",
			"trace KIND OUTCOME REF REGEX",
		}, run: runAwait},
	}
}

func (e *engine) commands() map[string]func(*testscript.TestScript, bool, []string) {
	out := map[string]func(*testscript.TestScript, bool, []string){}
	for name, cmd := range e.table() {
		out[name] = func(ts *testscript.TestScript, neg bool, args []string) {
			if err := e.invoke(name, cmd, ts, neg, args); err != nil {
				ts.Fatalf("%s: %v", name, err)
			}
		}
	}
	return out
}

func (e *engine) invoke(name string, cmd scriptCommand, ts *testscript.TestScript, neg bool, args []string) error {
	form := slices.IndexFunc(cmd.forms, func(f string) bool { return fits(f, args) })
	if form < 0 {
		return fmt.Errorf("%w: %s %s", errUsage, name, strings.Join(cmd.forms, "\n   or: "+name+" "))
	}
	if neg && !cmd.refusable {
		return fmt.Errorf("%w: ! can't stand before %s", errUsage, name)
	}
	c := &call{engine: e, ctx: e.ctx, ts: ts, args: args, refused: neg}
	err := c.parse(cmd.forms[form])
	if err == nil {
		err = c.run(cmd)
	}
	switch {
	case !neg:
		return err
	case err == nil:
		return errors.New("this should have been refused, and was not")
	case !errors.As(err, new(refusal)):
		// A fault on the way isn't the refusal that the script is about.
		return fmt.Errorf("this should have been refused; instead: %w", err)
	}
	fmt.Fprintln(ts.Stderr(), err)
	return nil
}

// parse reads the arguments that aren't just text.
func (c *call) parse(form string) (err error) {
	for i, word := range strings.Fields(form) {
		switch word {
		case "NUMBER", "REPLICAS":
			if c.number, err = strconv.ParseInt(c.args[i], 10, 32); err != nil {
				return fmt.Errorf("%w: %q is no number", errUsage, c.args[i])
			}
		case "REGEX":
			if c.pattern, err = regexp.Compile(c.args[i]); err != nil {
				return fmt.Errorf("%w: %w", errUsage, err)
			}
		}
	}
	return nil
}

func (c *call) run(cmd scriptCommand) error {
	if cmd.onCluster == nil {
		return cmd.run(c)
	}
	p, err := c.platform()
	if err != nil {
		return err
	}
	return cmd.onCluster(c, p)
}

// takes says whether arguments have one of the command's forms.
func (s scriptCommand) takes(args []string) bool {
	return slices.ContainsFunc(s.forms, func(form string) bool { return fits(form, args) })
}

// fits says whether arguments have the form: lower-case words, with | between
// alternatives, stand for themselves, the others for anything.
func fits(form string, args []string) bool {
	words := strings.Fields(form)
	if len(words) != len(args) {
		return false
	}
	for i, w := range words {
		if args[i] == "" || w == strings.ToLower(w) && !slices.Contains(strings.Split(w, "|"), args[i]) {
			return false
		}
	}
	return true
}

// refusal is the platform's own no, as against a fault on the way.
type refusal struct{ error }

func (r refusal) Unwrap() error { return r.error }

func runPhase(c *call) error {
	c.clock.end(nil)
	if len(c.steps) > 0 {
		step := c.steps[0]
		c.steps = c.steps[1:]
		if c.opt.Step != nil {
			if err := c.opt.Step(c.ctx, step); err != nil {
				return err
			}
		}
	}
	c.clock.start(c.args[0])
	return nil
}

// runUnique makes a name that no earlier run used, so that scenarios can run again.
func runUnique(c *call) error {
	c.ts.Setenv(c.args[0], c.args[1]+"-"+strconv.FormatInt(time.Now().UnixMilli(), 36))
	return nil
}

// runCapture sets a variable to what the last command printed, or to what the pattern's group first found in it.
func runCapture(c *call) error {
	printed := strings.TrimSpace(c.ts.ReadFile("stdout"))
	if c.pattern != nil {
		m := c.pattern.FindStringSubmatch(printed)
		if len(m) != 2 {
			return fmt.Errorf("%s, which needs one group, found nothing", c.pattern)
		}
		printed = m[1]
	}
	c.ts.Setenv(c.args[0], printed)
	return nil
}

func runSame(c *call) error {
	if c.args[1] != c.args[2] {
		return fmt.Errorf("%s: %q and %q differ", c.args[0], c.args[1], c.args[2])
	}
	return nil
}

func runReplace(c *call) error {
	file := c.ts.MkAbs(c.args[0])
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if n := strings.Count(string(data), c.args[1]); n != 1 {
		return fmt.Errorf("%s has %q %d times, want once", c.args[0], c.args[1], n)
	}
	return os.WriteFile(file, []byte(strings.Replace(string(data), c.args[1], c.args[2], 1)), 0o644)
}

// wait polls until check is done. check says what it still waits for; an
// error ends the wait, since it can't get better.
func (c *call) wait(timeout time.Duration, check func() (done bool, waiting string, err error)) error {
	if c.patience > 0 {
		timeout = min(timeout, c.patience)
	}
	ctx, cancel := context.WithTimeout(c.ctx, timeout)
	defer cancel()
	defer func(begun time.Time) { c.waited += time.Since(begun) }(time.Now())
	last := ""
	for {
		done, waiting, err := check()
		if err != nil || done {
			return err
		}
		if waiting != "" && waiting != last {
			last = waiting
			c.clock.detail("%s", waiting)
		}
		select {
		case <-ctx.Done():
			if c.ctx.Err() != nil {
				return context.Cause(c.ctx)
			}
			return fmt.Errorf("not within %s: %s", timeout, last)
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// expand puts the script's variables into a file's text.
func (c *call) expand(text string) string {
	return variable.ReplaceAllStringFunc(text, func(v string) string { return c.ts.Getenv(v[2 : len(v)-1]) })
}

var variable = regexp.MustCompile(`\$\{[A-Z_]+\}`)
