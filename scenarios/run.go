package scenarios

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/druppie/druppie-up/internal/names"
	"github.com/druppie/druppie-up/internal/ui"
)

// Place is the tenant that a scenario acts in, and the service that it changes there.
type Place struct {
	Tenant    string
	Service   string // its name and repository
	Algorithm string // its id in the AI register
}

// Sample is the place where the sample service flies.
func Sample() Place {
	return Place{Tenant: names.SampleTenant, Service: names.RepoDroneService, Algorithm: sampleAlgorithm}
}

// sampleAlgorithm is the sample service's id in the AI register.
const sampleAlgorithm = "alg-d1jk3vl8"

// Options say which scenario to run against which platform.
type Options struct {
	Name       string
	Kubeconfig string
	Context    string // of the user's kubeconfig, instead
	Port       int    // of the front door on 127.0.0.1; 0: Gitea is reached through the Kubernetes API
	Command    string // path of druppie-up, for the scripts that call it
	Platform   string // name of the platform, which that command is given
	Artifacts  string // folder for what there is to see when a script fails; empty: it isn't kept
	Place      Place  // where it runs; zero: the sample's
	Label      string // before the names of phases, where several scenarios run side by side
	Keep       bool   // a script that fails leaves what it made, for people to look at
	// Step is called before each phase; an error ends the script. It may be nil.
	Step func(context.Context, Step) error
	// Trace connects to the platform's trace, for the scripts that search it.
	Trace func(context.Context) (Trace, error)

	Reporter ui.Reporter // gets each phase; may be nil
	Out      io.Writer   // gets the table of phases, and the script's log where it failed; may be nil
}

// Result is what came of a scenario.
type Result struct {
	Name     string        `json:"name"`
	Tenant   string        `json:"tenant,omitempty"` // in which it ran; empty: the sample's
	Controls []string      `json:"controls"`
	Passed   bool          `json:"passed"`
	Why      string        `json:"why,omitempty"` // it didn't pass
	Duration time.Duration `json:"duration"`
	Waited   time.Duration `json:"waited"` // of that, for the platform to do something
	Phases   []Phase       `json:"legs"`
}

// Title names the scenario, and where it ran if that isn't the sample's tenant.
func (r Result) Title() string {
	if r.Tenant == "" {
		return r.Name
	}
	return r.Name + " in " + r.Tenant
}

// Failed names the phase in which the scenario failed; empty: it passed, or failed before any phase.
func (r Result) Failed() string {
	for _, p := range r.Phases {
		if p.Failed {
			return p.Name
		}
	}
	return ""
}

// ErrFailed says that the platform didn't do what the scenario expects.
var ErrFailed = errors.New("scenario failed")

// Run runs one scenario. The result is filled in either way; a scenario that
// didn't pass is an error that wraps ErrFailed.
func Run(ctx context.Context, opt Options) (Result, error) { return run(ctx, scripts, opt) }

func run(ctx context.Context, fsys fs.FS, opt Options) (Result, error) {
	opt = opt.filled()
	info, err := find(fsys, opt.Name)
	if err != nil {
		return Result{Name: opt.Name}, err
	}
	if info.Alone != "" && opt.Place != Sample() {
		return Result{Name: info.Name}, fmt.Errorf("%s runs in the sample tenant only: %s", info.Name, info.Alone)
	}
	script, err := fs.ReadFile(fsys, info.Name+ext)
	if err != nil {
		return Result{Name: info.Name, Controls: info.Controls}, err
	}
	if info.Machine && opt.Context != "" {
		err := ui.Usage(fmt.Errorf("%s needs the machine that the nodes run on, and the platform of context %s is another's", info.Name, opt.Context))
		return Result{Name: info.Name, Controls: info.Controls, Why: err.Error()}, err
	}
	e := newEngine(ctx, opt)
	defer e.close()
	return e.execute(info, script)
}

// filled has something for whatever may be nil.
func (o Options) filled() Options {
	if o.Reporter == nil {
		o.Reporter = ui.Discard()
	}
	if o.Out == nil {
		o.Out = io.Discard
	}
	if o.Place == (Place{}) {
		o.Place = Sample()
	}
	return o
}

// execute runs a script and says what came of it.
func (e *engine) execute(info Info, script []byte) (Result, error) {
	res := Result{Name: info.Name, Controls: info.Controls}
	if e.opt.Place != Sample() {
		res.Tenant = e.opt.Place.Tenant
	}
	dir, err := os.MkdirTemp("", "druppie-scenario-")
	if err != nil {
		return res, err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, info.Name+ext)
	if err := os.WriteFile(file, script, 0o600); err != nil {
		return res, err
	}
	e.steps = steps(script)

	t := e.runScript(file)
	res.Duration = time.Since(e.begun)
	switch {
	case e.ctx.Err() != nil:
		err = context.Cause(e.ctx)
	case t.failed:
		err = fmt.Errorf("%w: %s", ErrFailed, t.why())
	case t.skipped:
		err = fmt.Errorf("%w: it skipped itself, which proves nothing", ErrFailed)
	}
	res.Phases, res.Waited, res.Passed = e.clock.finish(err), e.waited, err == nil
	fmt.Fprint(e.opt.Out, table(res))
	if errors.Is(err, ErrFailed) {
		fmt.Fprintf(e.opt.Out, "\n%s\n", strings.TrimSpace(t.log.String()))
	}
	if err != nil {
		res.Why = err.Error()
	}
	return res, err
}

// runScript runs a script to its end, whatever that is.
func (e *engine) runScript(file string) *harness {
	t := &harness{dir: filepath.Dir(file) + string(filepath.Separator)}
	if e.opt.Artifacts != "" {
		// At once: when the script ends, it takes away what it made. Its log comes when it has ended.
		a := e.newArtifacts(strings.TrimSuffix(filepath.Base(file), ext))
		var missing error
		t.onFail = func() { missing = a.gather(e) }
		defer func() {
			if !t.failed {
				return
			}
			if missing = errors.Join(missing, a.write("script.log", []byte(t.log.String()))); missing != nil {
				e.opt.Reporter.Note("missing in %s: %s", a.dir, strings.ReplaceAll(missing.Error(), "\n", "; "))
			}
			e.opt.Reporter.Note("what there was to see when it failed is in %s", a.dir)
		}()
	}
	e.harness = t
	t.isolate(func() {
		testscript.RunT(t, testscript.Params{
			Files:              []string{file},
			Cmds:               e.commands(),
			RequireUniqueNames: true,
			Setup:              e.setup,
		})
	})
	return t
}

func find(fsys fs.FS, name string) (Info, error) {
	all, err := list(fsys)
	if err != nil {
		return Info{}, err
	}
	i := slices.IndexFunc(all, func(s Info) bool { return s.Name == name })
	if i < 0 {
		var names []string
		for _, s := range all {
			names = append(names, s.Name)
		}
		return Info{}, ui.Usage(ui.WithHint(fmt.Errorf("%w: %q", ErrUnknown, name), "there are "+strings.Join(names, ", ")))
	}
	return all[i], nil
}

// harness is testscript.T where no test runs.
type harness struct {
	dir             string // of the script
	mu              sync.Mutex
	log             strings.Builder
	failed, skipped bool
	onFail          func() // called when it fails, once; may be nil
}

// isolate runs f in a goroutine of its own, which it may end early.
func (h *harness) isolate(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	<-done
}

func (h *harness) Run(_ string, f func(testscript.T)) { h.isolate(func() { f(h) }) }
func (h *harness) Parallel()                          {}
func (h *harness) Verbose() bool                      { return false }

func (h *harness) Log(args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	fmt.Fprintln(&h.log, args...)
}

func (h *harness) Fatal(args ...any) {
	h.Log(args...)
	h.FailNow()
}

func (h *harness) FailNow() {
	h.mu.Lock()
	first := !h.failed
	h.failed = true
	h.mu.Unlock()
	if first && h.onFail != nil {
		h.onFail()
	}
	runtime.Goexit()
}

func (h *harness) hasFailed() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.failed
}

func (h *harness) Skip(args ...any) {
	h.Log(args...)
	h.mu.Lock()
	h.skipped = true
	h.mu.Unlock()
	runtime.Goexit()
}

// why is the line of the log that says what went wrong.
func (h *harness) why() string {
	lines := strings.Split(strings.TrimSpace(h.log.String()), "\n")
	for _, line := range slices.Backward(lines) {
		if _, after, ok := strings.Cut(line, "FAIL: "); ok {
			return strings.TrimPrefix(after, h.dir)
		}
	}
	return lines[len(lines)-1]
}
