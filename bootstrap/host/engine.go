package host

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/druppie/druppie-up/internal/command"
	"github.com/druppie/druppie-up/internal/ui"
)

// Sentinels for what can be wrong with the engine.
var (
	// ErrNoEngine says that there is no engine to be started.
	ErrNoEngine = errors.New("no container engine")
	// ErrEngineSilent says that the engine's process is there, or its socket
	// accepts connections, and no answer comes.
	ErrEngineSilent = errors.New("the container engine does not answer")
)

// engineDeadline is how long a healthy engine may think about a question on
// a busy machine.
const engineDeadline = 20 * time.Second

// engineFacts is what the engine says about itself.
type engineFacts struct {
	err      error // why there is no answer
	Version  string
	Root     string
	Cgroup   string // "1" or "2"
	Driver   string // storage driver
	Runtime  string // default runtime
	Security []string
	cluster  bool // containers of the wanted cluster run
}

// facts asks the engine once; kind asks it the same way, by its client
// program, so both see the same engine.
func (h *Host) facts(ctx context.Context) *engineFacts {
	if h.engine == nil {
		h.engine = h.askEngine(ctx)
	}
	return h.engine
}

func (h *Host) askEngine(ctx context.Context) *engineFacts {
	if !installed("docker") {
		return &engineFacts{err: fmt.Errorf("%w: the program docker is not in PATH", ErrNoEngine)}
	}
	deadline, cancel := context.WithTimeout(ctx, h.wait)
	defer cancel()
	out, err := h.run(deadline, "docker", "info", "--format", "{{json .}}")
	if deadline.Err() != nil && ctx.Err() == nil {
		return &engineFacts{err: fmt.Errorf("%w: nothing within %s", ErrEngineSilent, h.wait)}
	}
	f, parseErr := parseInfo(out)
	if parseErr != nil {
		return &engineFacts{err: fmt.Errorf("%w: %w", ErrNoEngine, cmp.Or(err, parseErr))}
	}
	running, err := h.run(deadline, "docker", "ps", "-q", "--filter", "label=io.x-k8s.kind.cluster="+h.opt.Cluster)
	f.cluster = err == nil && len(strings.TrimSpace(string(running))) > 0
	return f
}

// parseInfo reads what `docker info` prints. The client prints an object also
// when no engine answered, with the reasons in it.
func parseInfo(out []byte) (*engineFacts, error) {
	var info struct {
		ServerVersion, DockerRootDir, CgroupVersion, Driver, DefaultRuntime string
		ServerErrors, SecurityOptions                                       []string
	}
	if err := json.Unmarshal(out, &info); err != nil {
		return nil, fmt.Errorf("docker info: %w", err)
	}
	if len(info.ServerErrors) > 0 {
		return nil, errors.New(strings.Join(info.ServerErrors, "; "))
	}
	if info.ServerVersion == "" {
		return nil, errors.New("docker info names no engine")
	}
	return &engineFacts{
		Version: info.ServerVersion, Root: info.DockerRootDir, Cgroup: info.CgroupVersion, Driver: info.Driver,
		Runtime: info.DefaultRuntime, Security: info.SecurityOptions,
	}, nil
}

// enginePID is the engine's process on this machine, 0 if there is none. The
// file survives an engine that was killed, and its number may be another's by
// now, so the name is looked at too.
func (h *Host) enginePID() int {
	text, err := h.read(enginePID)
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(text)
	if err != nil || pid <= 0 || !h.alive(text, "dockerd") {
		return 0
	}
	return pid
}

// alive says whether a process runs and has the name. A zombie has its name
// still.
func (h *Host) alive(pid, name string) bool {
	status, err := h.read(filepath.Join("/proc", pid, "status"))
	if err != nil {
		return false
	}
	state := field(status, "State:")
	return field(status, "Name:") == name && !strings.HasPrefix(state, "Z") && !strings.HasPrefix(state, "X")
}

// field is what stands behind a name at the beginning of a line, as in a
// /proc/<pid>/status; empty if it isn't there.
func field(text, name string) string {
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, name); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// systemd says whether it is this machine's service manager.
func (h *Host) systemd() bool {
	st, err := os.Stat(h.path("/run/systemd/system"))
	return err == nil && st.IsDir() && installed("systemctl")
}

// ours says whether Fix installed the engine.
func (h *Host) ours() bool {
	s, err := h.loadState()
	return err == nil && s.Engine
}

// StartEngine starts the engine of this machine if it doesn't run and waits
// until it answers. It returns ErrNoEngine where none is installed and
// ErrEngineSilent for one that runs and doesn't answer.
func StartEngine(ctx context.Context) error {
	return thisMachine(Options{}).startEngine(ctx)
}

func (h *Host) startEngine(ctx context.Context) error {
	h.engine = nil
	f := h.facts(ctx)
	if f.err == nil || errors.Is(f.err, ErrEngineSilent) {
		return withEngineHint(f.err)
	}
	if os.Getenv("DOCKER_HOST") != "" {
		return ui.WithHint(f.err, "DOCKER_HOST names an engine elsewhere: start that one, or unset the variable")
	}
	daemon, err := exec.LookPath("dockerd")
	if err != nil {
		return withEngineHint(fmt.Errorf("%w: the program dockerd is not in PATH", ErrNoEngine))
	}
	if h.systemd() {
		if _, err := h.run(ctx, "systemctl", "start", "docker.service"); err != nil {
			return ui.WithHint(fmt.Errorf("start the engine: %w", err), "journalctl -u docker.service -n 50")
		}
		return h.waitEngine(ctx, nil)
	}
	if os.Geteuid() != 0 {
		return ui.WithHint(fmt.Errorf("start the engine: only root can"), "run as root: druppie-up doctor --fix")
	}
	if pid := h.enginePID(); pid != 0 {
		return h.waitEngine(ctx, nil)
	}
	exited, err := h.launch(daemon)
	if err != nil {
		return fmt.Errorf("start the engine: %w", err)
	}
	return h.waitEngine(ctx, exited)
}

// launch starts the engine in a session of its own, so that it outlives this
// program. The channel closes when it ends.
func (h *Host) launch(daemon string) (<-chan struct{}, error) {
	log, err := os.OpenFile(h.path(engineLog), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	if s, err := h.loadState(); err == nil && !s.empty() {
		s.addFile(engineLog)
		if err := h.saveState(s); err != nil {
			return nil, err
		}
	}
	h.removeStalePIDFiles()
	cmd := exec.Command(daemon)
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	exited := make(chan struct{})
	go func() {
		// Reaps it if it ends before we do; else init does.
		_ = cmd.Wait()
		close(exited)
	}()
	return exited, nil
}

// removeStalePIDFiles removes the pid files that a killed engine left behind: another
// process may have its number by now, and the engine would refuse to start.
func (h *Host) removeStalePIDFiles() {
	for _, f := range []struct{ path, name string }{
		{enginePID, "dockerd"},
		{"/run/docker/containerd/containerd.pid", "containerd"},
	} {
		if text, err := h.read(f.path); err == nil && !h.alive(text, f.name) {
			_ = os.Remove(h.path(f.path))
		}
	}
}

// waitEngine waits for the first answer, and fails early when the engine
// ended.
func (h *Host) waitEngine(ctx context.Context, exited <-chan struct{}) error {
	deadline, cancel := context.WithTimeout(ctx, 90*time.Second)
	defer cancel()
	for {
		h.engine = nil
		err := h.facts(deadline).err
		if err == nil {
			return nil
		}
		select {
		case <-deadline.Done():
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return ui.WithHint(fmt.Errorf("%w after its start: %w", ErrEngineSilent, err), "read "+h.engineLogHint())
		case <-exited:
			if h.enginePID() != 0 {
				exited = nil // another one was started at the same time, and won
				continue
			}
			return ui.WithHint(fmt.Errorf("the engine ended at its start: %s", h.lastLog()), "read "+h.engineLogHint())
		case <-time.After(500 * time.Millisecond):
		}
	}
}

func (h *Host) engineLogHint() string {
	if h.systemd() {
		return "journalctl -u docker.service -n 50"
	}
	return engineLog
}

func (h *Host) lastLog() string {
	text, err := h.read(engineLog)
	if err != nil {
		return err.Error()
	}
	return command.LastLines(text, 1)
}

func withEngineHint(err error) error {
	switch {
	case errors.Is(err, ErrEngineSilent):
		return ui.WithHint(err, "restart the engine (systemctl restart docker; without systemd: kill $(cat /run/docker.pid), then druppie-up doctor --fix)")
	case errors.Is(err, ErrNoEngine):
		return ui.WithHint(err, "druppie-up doctor --fix installs and starts one")
	}
	return err
}

// installEngine brings an engine from the distribution's packages and starts
// it.
func (h *Host) installEngine(ctx context.Context) error {
	if !installed("dockerd") {
		s, err := h.loadState()
		if err != nil {
			return err
		}
		s.Engine = true
		if _, err := os.Stat(h.path("/var/lib/docker")); errors.Is(err, fs.ErrNotExist) {
			s.DataRoot = "/var/lib/docker"
		}
		if err := h.saveState(s); err != nil {
			return err
		}
		if err := h.install(ctx, enginePackages...); err != nil {
			return err
		}
	}
	return h.startEngine(ctx)
}
