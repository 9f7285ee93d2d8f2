package host

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
)

const gib = 1 << 30

func (h *Host) checkPlatform(_ context.Context) Finding {
	found := runtime.GOOS + "/" + runtime.GOARCH
	if runtime.GOOS != "linux" || (runtime.GOARCH != "amd64" && runtime.GOARCH != "arm64") {
		return Finding{Status: Fail, Found: found + " is not supported", Mend: "use a Linux machine, or a virtual one, with an amd64 or arm64 processor"}
	}
	release, _ := h.read("/etc/os-release")
	if name := strings.Trim(field(release, "PRETTY_NAME="), `"'`); name != "" {
		found = name + ", " + found
	}
	return Finding{Status: OK, Found: found}
}

func (h *Host) checkProcessors(_ context.Context) Finding {
	n := runtime.NumCPU()
	if n < 2 {
		return Finding{Status: Warn, Found: fmt.Sprintf("%d", n), Mend: "give the machine two or more"}
	}
	return Finding{Status: OK, Found: fmt.Sprintf("%d", n)}
}

// Memory that the platform wants: what it uses, and room for a build.
const (
	memoryLeast = 4 * gib
	memoryWant  = 6 * gib
)

func (h *Host) checkMemory(_ context.Context) Finding {
	text, err := h.read("/proc/meminfo")
	if err != nil {
		return Finding{Status: Warn, Found: "unknown: " + err.Error(), Mend: "see that 6 GiB are free"}
	}
	total, free := parseMeminfo(text)
	found := fmt.Sprintf("%s of %s free", size(free), size(total))
	mend := "stop what you don't need, or give the machine more: 6 GiB free will do"
	f := Finding{Status: OK, Found: found, Mend: mend}
	// A platform that runs already holds its memory itself.
	switch least, want := int64(memoryLeast), int64(memoryWant); {
	case h.platformRuns():
	case free < least:
		f.Status = Fail
	case free < want:
		f.Status = Warn
	}
	return f
}

// parseMeminfo returns total and available memory in bytes.
func parseMeminfo(text string) (total, available int64) {
	bytes := func(name string) int64 {
		kib, _ := strconv.ParseInt(strings.TrimSuffix(field(text, name), " kB"), 10, 64) // 0 where it isn't said
		return kib << 10
	}
	return bytes("MemTotal:"), bytes("MemAvailable:")
}

// need is the disk that a folder wants.
type need struct {
	what        string
	least, want int64
}

func (h *Host) checkDisk(ctx context.Context) Finding {
	// The builds fill the store: when it is full, little more is written.
	store := need{"the store " + h.opt.StoreDir, 5 * gib, 8 * gib}
	needs := map[string]need{}
	switch {
	case h.opt.StoreFull:
		store.least, store.want = gib, 4*gib
	case h.opt.Supply != "registry":
		needs[h.opt.BuildDir] = need{"the builds in " + h.opt.BuildDir, 7 * gib, 17 * gib}
	}
	needs[h.opt.StoreDir] = store
	if root := h.dataRoot(ctx); root != "" {
		images := need{"the engine's " + root, 4 * gib, 10 * gib}
		if h.platformRuns() {
			images.least, images.want = gib, 2*gib
		}
		needs[root] = images
	}
	return diskFinding(needs, diskFree)
}

// diskFinding adds up the needs of folders on one file system.
func diskFinding(needs map[string]need, free func(string) (device uint64, bytes int64, err error)) Finding {
	type disk struct {
		need
		free int64
	}
	disks := map[uint64]disk{}
	for _, dir := range sortedKeys(needs) {
		n := needs[dir]
		device, bytes, err := free(dir)
		if err != nil {
			return Finding{Status: Warn, Found: "unknown: " + err.Error(), Mend: "see that there is room in " + dir}
		}
		d, shared := disks[device]
		if shared {
			n.what = d.what + " and " + n.what
		}
		disks[device] = disk{need{n.what, d.least + n.least, d.want + n.want}, bytes}
	}
	f := Finding{Status: OK}
	var found, mend []string
	for _, device := range sortedKeys(disks) {
		d := disks[device]
		found = append(found, fmt.Sprintf("%s free for %s", size(d.free), d.what))
		switch {
		case d.free < d.least:
			f.Status = Fail
		case d.free < d.want && f.Status == OK:
			f.Status = Warn
		}
		if d.free < d.want {
			mend = append(mend, fmt.Sprintf("make room: %s are wanted for %s, %s is the least", size(d.want), d.what, size(d.least)))
		}
	}
	f.Found, f.Mend = strings.Join(found, ", "), strings.Join(mend, "; ")
	return f
}

// diskFree asks the file system that holds dir, or will hold it.
func diskFree(dir string) (device uint64, bytes int64, err error) {
	for {
		var st syscall.Statfs_t
		info, statErr := os.Stat(dir)
		if statErr == nil {
			if err := syscall.Statfs(dir, &st); err != nil {
				return 0, 0, fmt.Errorf("ask for the free space in %s: %w", dir, err)
			}
			if sys, ok := info.Sys().(*syscall.Stat_t); ok {
				device = uint64(sys.Dev)
			}
			return device, int64(st.Bavail) * int64(st.Bsize), nil
		}
		parent := filepath.Dir(dir)
		if parent == dir || !os.IsNotExist(statErr) {
			return 0, 0, statErr
		}
		dir = parent
	}
}

func (h *Host) dataRoot(ctx context.Context) string {
	if f := h.facts(ctx); f.err == nil {
		if _, err := os.Stat(f.Root); err == nil {
			return f.Root
		}
		return "" // an engine elsewhere
	}
	return "/var/lib/docker"
}

func (h *Host) checkPids(_ context.Context) Finding {
	const least = 4096
	limits := map[string]int64{}
	for name, path := range map[string]string{"kernel.pid_max": "/proc/sys/kernel/pid_max", "kernel.threads-max": "/proc/sys/kernel/threads-max"} {
		if n, err := h.number(path); err == nil {
			limits[name] = n
		}
	}
	own, _ := h.read("/proc/self/cgroup")
	for _, path := range pidsFiles(own) {
		if n, err := h.number(path); err == nil {
			limits["the cgroup's pids.max"] = n
		}
	}
	var found, low []string
	for _, name := range sortedKeys(limits) {
		found = append(found, fmt.Sprintf("%s %d", name, limits[name]))
		if limits[name] < 4*least {
			low = append(low, name)
		}
		if limits[name] < least {
			return Finding{Status: Fail, Found: fmt.Sprintf("%s is %d", name, limits[name]), Mend: raise(name)}
		}
	}
	f := Finding{Status: OK, Found: strings.Join(found, ", ")}
	if len(low) > 0 {
		f.Status, f.Mend = Warn, raise(low[0])
	}
	return f
}

func raise(name string) string {
	if strings.HasPrefix(name, "kernel.") {
		return "sysctl -w " + name + "=32768"
	}
	return "raise TasksMax of the unit, or the pids limit of the container, that this shell runs in"
}

// pidsFiles are the files with the limits of the cgroups that a
// /proc/self/cgroup names.
func pidsFiles(cgroup string) []string {
	var files []string
	for line := range strings.Lines(cgroup) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		switch {
		case parts[0] == "0" && parts[1] == "":
			files = append(files, filepath.Join("/sys/fs/cgroup", parts[2], "pids.max"))
		case parts[1] == "pids":
			files = append(files, filepath.Join("/sys/fs/cgroup/pids", parts[2], "pids.max"))
		}
	}
	return files
}

// number reads a limit; "max" is an error, since it limits nothing.
func (h *Host) number(path string) (int64, error) {
	text, err := h.read(path)
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(text, 10, 64)
}

func size(n int64) string {
	if n < gib {
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%.1f GiB", float64(n)/gib)
}
