package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/druppie/druppie-up/internal/ui"
)

// Undo takes back all that Fix did on this machine, after showing it to
// confirm. An engine with containers or volumes in it stays until those are
// gone: Undo can't know whose they are.
func Undo(ctx context.Context, opt Options, confirm func([]string) (bool, error), rep ui.Reporter) error {
	return thisMachine(opt).undo(ctx, confirm, rep)
}

// undoStep is one kind of change to take back.
type undoStep struct {
	id, title string
	lines     []string
	run       func(context.Context, *state) error
}

func (h *Host) undo(ctx context.Context, confirm func([]string) (bool, error), rep ui.Reporter) error {
	s, err := h.loadState()
	if err != nil {
		return err
	}
	steps := h.undoSteps(s)
	if len(steps) == 0 {
		rep.Note("doctor changed nothing on this machine")
		return nil
	}
	if err := h.engineEmpty(ctx, s); err != nil {
		return err
	}
	var lines []string
	for _, step := range steps {
		lines = append(lines, step.lines...)
	}
	yes, err := confirm(lines)
	if err != nil {
		return err
	}
	if !yes {
		return ErrDeclined
	}
	for _, step := range steps {
		if err := ui.Run(rep, "undo-"+step.id, step.title, func(ui.Task) (string, error) { return "", step.run(ctx, s) }); err != nil {
			// Later steps may depend on this one.
			return fmt.Errorf("undo %s: %w", step.id, err)
		}
	}
	return h.saveState(s)
}

// undoSteps is the reverse of what was done.
func (h *Host) undoSteps(s *state) []undoStep {
	var steps []undoStep
	if s.Engine {
		step := undoStep{id: "engine", title: "stop the engine", lines: []string{"stop the engine"}, run: func(ctx context.Context, s *state) error { return h.stopEngine(ctx) }}
		if s.DataRoot != "" {
			step.lines = append(step.lines, "remove "+s.DataRoot+" with all images in it, /etc/docker/key.json and the bridge docker0 (its packet filter rules stay until a restart)")
		}
		steps = append(steps, step)
	}
	if s.Wrapper != "" || s.Daemon != nil {
		step := undoStep{id: "wrapper", title: "remove the runtime wrapper", run: h.removeWrapper}
		if s.Daemon != nil {
			step.lines = append(step.lines, "take the runtime wrapper out of "+s.Daemon.Path)
		}
		if s.Wrapper != "" {
			step.lines = append(step.lines, "remove "+s.Wrapper)
		}
		steps = append(steps, step)
	}
	if len(s.Packages) > 0 {
		steps = append(steps, undoStep{
			id: "packages", title: "remove packages", lines: []string{"run apt-get purge " + strings.Join(s.Packages, " ")}, run: h.purge,
		})
	}
	if s.Engine {
		steps = append(steps, undoStep{id: "data", title: "remove the engine's data", run: h.removeData})
	}
	if len(s.Sysctls) > 0 {
		var lines []string
		for _, key := range sortedKeys(s.Sysctls) {
			lines = append(lines, "set "+key+" back to "+s.Sysctls[key])
		}
		steps = append(steps, undoStep{id: "sysctl", title: "restore the kernel's limits", lines: lines, run: func(_ context.Context, s *state) error { return h.restoreSysctls(s) }})
	}
	if len(s.Files) > 0 {
		steps = append(steps, undoStep{
			id: "files", title: "remove files", lines: []string{"remove " + strings.Join(s.Files, ", ")},
			run: func(_ context.Context, s *state) error { return h.removeFiles(s) },
		})
	}
	return steps
}

// engineEmpty refuses to take away an engine that still holds something.
func (h *Host) engineEmpty(ctx context.Context, s *state) error {
	if !s.Engine && s.Wrapper == "" {
		return nil
	}
	f := h.facts(ctx)
	if errors.Is(f.err, ErrEngineSilent) {
		return withEngineHint(fmt.Errorf("can't tell what the engine still holds: %w", f.err))
	}
	if f.err != nil {
		return nil // it doesn't run, so nothing runs in it
	}
	containers, err := h.run(ctx, "docker", "ps", "-a", "--format", "{{.Names}}")
	if err != nil {
		return fmt.Errorf("list what the engine holds: %w", err)
	}
	held := strings.Fields(string(containers))
	if s.Engine {
		volumes, err := h.run(ctx, "docker", "volume", "ls", "--format", "{{.Name}}")
		if err != nil {
			return fmt.Errorf("list what the engine holds: %w", err)
		}
		for _, v := range strings.Fields(string(volumes)) {
			held = append(held, "volume "+v)
		}
	}
	if len(held) == 0 {
		return nil
	}
	return ui.WithHint(fmt.Errorf("the engine still holds %s", strings.Join(held, ", ")),
		"take the platform down first (druppie-up down); the rest is yours to remove (docker rm, docker volume rm)")
}

// stopEngine ends the engine and waits for it.
func (h *Host) stopEngine(ctx context.Context) error {
	if h.systemd() {
		_, err := h.run(ctx, "systemctl", "stop", "docker.socket", "docker.service", "containerd.service")
		return err
	}
	pid := h.enginePID()
	if pid == 0 {
		return nil
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		return fmt.Errorf("stop the engine (pid %d): %w", pid, err)
	}
	err := wait.PollUntilContextTimeout(ctx, 200*time.Millisecond, 30*time.Second, true, func(context.Context) (bool, error) {
		return h.enginePID() != pid, nil
	})
	if err != nil {
		return fmt.Errorf("the engine (pid %d) does not end: %w", pid, err)
	}
	h.engine = nil
	return nil
}

// purge removes the packages that Fix installed and that are still there.
func (h *Host) purge(ctx context.Context, s *state) error {
	now, err := h.packages(ctx)
	if err != nil {
		return err
	}
	names := slices.DeleteFunc(slices.Clone(s.Packages), func(p string) bool { return !slices.Contains(now, p) })
	if len(names) > 0 {
		if err := h.harmless(ctx, names); err != nil {
			return err
		}
		if _, err := h.run(ctx, "apt-get", append([]string{"purge", "-q", "-y"}, names...)...); err != nil {
			return err
		}
	}
	s.Packages = nil
	return h.saveState(s)
}

// harmless refuses when something else was installed since that needs one of
// the packages and would go with it.
func (h *Host) harmless(ctx context.Context, names []string) error {
	out, err := h.run(ctx, "apt-get", append([]string{"purge", "-q", "-y", "--simulate"}, names...)...)
	if err != nil {
		return err
	}
	if more := added(names, parseRemovals(string(out))); len(more) > 0 {
		return ui.WithHint(fmt.Errorf("removing the packages would take %s along", strings.Join(more, ", ")), "remove those first if nobody needs them")
	}
	return nil
}

// parseRemovals takes the packages out of apt-get's simulation.
func parseRemovals(out string) []string {
	var names []string
	for line := range strings.Lines(out) {
		f := strings.Fields(line)
		if len(f) >= 2 && (f[0] == "Remv" || f[0] == "Purg") {
			name, _, _ := strings.Cut(f[1], ":")
			names = append(names, name)
		}
	}
	return names
}

// removeData removes the engine's folder, if the engine that Fix installed
// made it.
func (h *Host) removeData(ctx context.Context, s *state) error {
	if s.DataRoot != "" {
		if err := os.RemoveAll(h.path(s.DataRoot)); err != nil {
			return fmt.Errorf("remove the engine's data: %w", err)
		}
		// What it leaves elsewhere. Each may be gone, or hold something of others.
		_ = os.Remove(h.path("/etc/docker/key.json"))
		_ = os.Remove(h.path("/etc/docker"))
		if installed("ip") {
			_, _ = h.run(ctx, "ip", "link", "delete", "docker0")
		}
	}
	s.DataRoot, s.Engine = "", false
	return h.saveState(s)
}
