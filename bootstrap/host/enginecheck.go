package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/version"

	"github.com/druppie/druppie-up/internal/capability"
	"github.com/druppie/druppie-up/internal/ui"
)

// leastEngine is the oldest engine that this was tried with.
const leastEngine = "20.10"

func (h *Host) checkCapabilities(_ context.Context) Finding {
	missing, err := h.missingCapabilities()
	switch {
	case err != nil:
		return Finding{Status: Skip, Found: "unknown: " + err.Error()}
	case os.Getenv("DOCKER_HOST") != "" && !strings.HasPrefix(os.Getenv("DOCKER_HOST"), "unix:"):
		return Finding{Status: Skip, Found: "the engine is on another machine (DOCKER_HOST)"}
	case len(missing) == 0:
		return Finding{Status: OK, Found: "containers can have them all"}
	}
	found := "this machine lacks " + strings.Join(missing, ", ")
	if h.wrapperActive() {
		return Finding{Status: OK, Found: found + "; the runtime wrapper leaves them out"}
	}
	f := Finding{Status: Fail, Found: found, Mend: "as root: druppie-up doctor --fix, which installs a runtime wrapper that leaves them out"}
	switch _, statErr := os.Stat(h.opt.Wrapper); {
	case statErr != nil:
		f.Mend = fmt.Sprintf("make build (the runtime wrapper is not at %s), then as root: druppie-up doctor --fix", h.opt.Wrapper)
	case os.Geteuid() == 0:
		f.FixDoes = []string{
			fmt.Sprintf("copy %s to %s", h.opt.Wrapper, wrapperPath),
			fmt.Sprintf("set it as default runtime in %s (other settings stay; the file of before is kept as %s.before-druppie-up)", daemonPath, daemonPath),
		}
		if h.enginePID() != 0 {
			f.FixDoes = append(f.FixDoes, "make the engine read its configuration again (containers run on)")
		}
		f.Consent = installed("dockerd") && !h.ours()
	}
	return f
}

// missingCapabilities are those that the kernel knows and that neither the
// engine nor what it starts can have.
func (h *Host) missingCapabilities() ([]string, error) {
	who := "self"
	if pid := h.enginePID(); pid != 0 {
		who = strconv.Itoa(pid)
	}
	status, err := h.read("/proc/" + who + "/status")
	if err != nil {
		return nil, err
	}
	last, err := h.number("/proc/sys/kernel/cap_last_cap")
	if err != nil {
		return nil, err
	}
	return capability.Missing(status, int(last))
}

func (h *Host) checkEngine(ctx context.Context) Finding {
	f := h.facts(ctx)
	if f.err == nil {
		owner := "not installed by druppie-up"
		if h.ours() {
			owner = "installed by druppie-up"
		}
		found := fmt.Sprintf("%s, storage %s, runtime %s, %s", f.Version, f.Driver, f.Runtime, owner)
		if !atLeast(f.Version, leastEngine) {
			return Finding{Status: Fail, Found: found + "; " + leastEngine + " or newer is needed", Mend: "upgrade Docker with your distribution's package manager"}
		}
		return Finding{Status: OK, Found: found}
	}
	bad := Finding{Status: Fail, Found: f.err.Error(), Mend: ui.Hint(withEngineHint(f.err))}
	switch {
	case os.Getenv("DOCKER_HOST") != "":
		bad.Mend = "start the engine that DOCKER_HOST names, or unset the variable"
	case strings.Contains(f.err.Error(), "permission denied"):
		bad.Mend = "run as root, or join the group docker and log in again: usermod -aG docker $USER"
	case !errors.Is(f.err, ErrEngineSilent):
		h.planEngine(&bad)
	}
	return bad
}

// planEngine says how an engine comes to run here.
func (h *Host) planEngine(f *Finding) {
	start := "start dockerd in the background, with its log in " + engineLog
	manual := "setsid dockerd >" + engineLog + " 2>&1 &"
	if h.systemd() {
		start, manual = "run systemctl start docker.service", "systemctl start docker.service"
	}
	switch root := os.Geteuid() == 0; {
	case installed("dockerd"):
		f.Mend = manual
		if root {
			f.FixDoes = []string{start}
		}
	case h.apt():
		pkgs := strings.Join(enginePackages, " ")
		f.Mend = "apt-get install " + pkgs + ", then " + manual
		if root {
			f.FixDoes = []string{"run apt-get update and apt-get install --no-install-recommends " + pkgs, start}
		}
	default:
		f.Mend = "install Docker " + leastEngine + " or newer from your distribution's packages and start it"
	}
}

func atLeast(have, least string) bool {
	v, err := version.ParseGeneric(have)
	return err == nil && v.AtLeast(version.MustParseGeneric(least))
}

func (h *Host) checkEngineKind(ctx context.Context) Finding {
	f := h.facts(ctx)
	if f.err != nil {
		return Finding{Status: Skip, Found: "no engine to ask"}
	}
	for _, option := range f.Security {
		switch {
		case strings.Contains(option, "name=rootless"):
			return Finding{Status: Warn, Found: "rootless", Mend: "use Docker run by root, or see kind's documentation on rootless (cgroup v2 with delegated controllers)"}
		case strings.Contains(option, "name=userns"):
			return Finding{Status: Fail, Found: "user namespaces are remapped (userns-remap)", Mend: `take "userns-remap" out of ` + daemonPath + " and restart the engine"}
		}
	}
	if f.Driver == "vfs" {
		return Finding{Status: Warn, Found: "storage driver vfs copies every layer", Mend: "use overlay2: see that the kernel has overlay and that " + f.Root + " isn't on an overlay itself"}
	}
	return Finding{Status: OK, Found: "Docker, run by root"}
}

func (h *Host) checkCgroup(ctx context.Context) Finding {
	controllers, version, err := h.controllers()
	if err != nil {
		return Finding{Status: Fail, Found: "none: " + err.Error(), Mend: "mount -t cgroup2 none /sys/fs/cgroup"}
	}
	if f := h.facts(ctx); f.err == nil && f.Cgroup != "" {
		version = f.Cgroup
	}
	missing := slices.DeleteFunc([]string{"cpu", "cpuset", "memory", "pids"}, func(c string) bool { return slices.Contains(controllers, c) })
	f := Finding{Status: OK, Found: "version " + version}
	switch {
	case len(missing) > 0:
		f.Status, f.Found = Fail, f.Found+" without "+strings.Join(missing, ", ")
		f.Mend = "enable them: kernel parameter cgroup_enable=" + missing[0] + ", or delegate them to this machine"
	case version == "1":
		f.Status, f.Found = Warn, "version 1: works, the kubelet is told to accept it"
		f.Mend = "nothing now; later boot with systemd.unified_cgroup_hierarchy=1"
	}
	return f
}

// controllers lists what is mounted.
func (h *Host) controllers() (names []string, version string, err error) {
	if text, err := h.read("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		return strings.Fields(text), "2", nil
	}
	entries, err := os.ReadDir(h.path("/sys/fs/cgroup"))
	if err != nil {
		return nil, "", err
	}
	for _, e := range entries {
		names = append(names, strings.Split(e.Name(), ",")...) // cpu,cpuacct is mounted as one
	}
	if len(entries) == 0 {
		return nil, "", errors.New("/sys/fs/cgroup is empty")
	}
	return names, "1", nil
}

func (h *Host) checkIptables(ctx context.Context) Finding {
	if f := h.facts(ctx); f.err == nil {
		return Finding{Status: OK, Found: "in use by the engine"}
	}
	if !installed("iptables") {
		return Finding{Status: Warn, Found: "iptables is not in PATH", Mend: "apt-get install iptables (comes with the engine's fix)"}
	}
	if os.Geteuid() != 0 {
		return Finding{Status: OK, Found: "iptables is there"}
	}
	if _, err := h.run(ctx, "iptables", "-t", "nat", "-S"); err != nil {
		return Finding{Status: Fail, Found: err.Error(), Mend: "use a kernel with nf_tables and nat, or: update-alternatives --set iptables /usr/sbin/iptables-legacy"}
	}
	return Finding{Status: OK, Found: "iptables works"}
}

func (h *Host) checkKernel(ctx context.Context) Finding {
	release, _ := h.read("/proc/sys/kernel/osrelease")
	filesystems, err := h.read("/proc/filesystems")
	if err != nil {
		return Finding{Status: Skip, Found: "unknown: " + err.Error()}
	}
	if !strings.Contains(filesystems, "overlay") {
		if _, err := h.run(ctx, "modprobe", "-n", "overlay"); err != nil {
			return Finding{Status: Fail, Found: release + " has no overlay file system", Mend: "modprobe overlay, or boot a kernel that has it"}
		}
	}
	if f := h.facts(ctx); f.err == nil {
		forward, err := h.read("/proc/sys/net/ipv4/ip_forward")
		if err == nil && forward == "0" {
			return Finding{Status: Fail, Found: release + ", packets are not forwarded", Mend: "sysctl -w net.ipv4.ip_forward=1"}
		}
	}
	return Finding{Status: OK, Found: release + ", with overlay"}
}
