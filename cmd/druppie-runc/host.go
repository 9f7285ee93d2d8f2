package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// host is what this process, and so the runc that it becomes, can hand on.
type host struct {
	bounding uint64            // capability bounding set, a bit each
	oomScore int               // its own oom_score_adj
	limits   map[string]uint64 // hard resource limits by their name in a specification
}

// capabilities in the order of their numbers in linux/capability.h.
var capabilities = strings.Fields(`
	CAP_CHOWN CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_FOWNER CAP_FSETID CAP_KILL CAP_SETGID CAP_SETUID
	CAP_SETPCAP CAP_LINUX_IMMUTABLE CAP_NET_BIND_SERVICE CAP_NET_BROADCAST CAP_NET_ADMIN CAP_NET_RAW
	CAP_IPC_LOCK CAP_IPC_OWNER CAP_SYS_MODULE CAP_SYS_RAWIO CAP_SYS_CHROOT CAP_SYS_PTRACE CAP_SYS_PACCT
	CAP_SYS_ADMIN CAP_SYS_BOOT CAP_SYS_NICE CAP_SYS_RESOURCE CAP_SYS_TIME CAP_SYS_TTY_CONFIG CAP_MKNOD
	CAP_LEASE CAP_AUDIT_WRITE CAP_AUDIT_CONTROL CAP_SETFCAP CAP_MAC_OVERRIDE CAP_MAC_ADMIN CAP_SYSLOG
	CAP_WAKE_ALARM CAP_BLOCK_SUSPEND CAP_AUDIT_READ CAP_PERFMON CAP_BPF CAP_CHECKPOINT_RESTORE`)

// limitNumbers are the resources of getrlimit(2) by name; the numbers are
// those of all Linux platforms that Kubernetes runs on.
var limitNumbers = map[string]int{
	"RLIMIT_CPU": 0, "RLIMIT_FSIZE": 1, "RLIMIT_DATA": 2, "RLIMIT_STACK": 3, "RLIMIT_CORE": 4, "RLIMIT_RSS": 5,
	"RLIMIT_NPROC": 6, "RLIMIT_NOFILE": 7, "RLIMIT_MEMLOCK": 8, "RLIMIT_AS": 9, "RLIMIT_LOCKS": 10,
	"RLIMIT_SIGPENDING": 11, "RLIMIT_MSGQUEUE": 12, "RLIMIT_NICE": 13, "RLIMIT_RTPRIO": 14, "RLIMIT_RTTIME": 15,
}

// has says whether the host can give a capability. One that is unknown here
// is newer than this program: it stays, and runc decides.
func (h host) has(name string) bool {
	for i, c := range capabilities {
		if strings.EqualFold(c, name) {
			return h.bounding&(1<<i) != 0
		}
	}
	return true
}

// readHost asks the kernel about this process.
func readHost() (host, error) {
	h := host{limits: map[string]uint64{}}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return h, fmt.Errorf("read own capabilities: %w", err)
	}
	if h.bounding, err = boundingSet(string(status)); err != nil {
		return h, err
	}
	score, err := os.ReadFile("/proc/self/oom_score_adj")
	if err != nil {
		return h, fmt.Errorf("read own OOM score: %w", err)
	}
	if h.oomScore, err = strconv.Atoi(strings.TrimSpace(string(score))); err != nil {
		return h, fmt.Errorf("read own OOM score: %w", err)
	}
	for name, number := range limitNumbers {
		var l syscall.Rlimit
		if err := syscall.Getrlimit(number, &l); err == nil {
			h.limits[name] = l.Max
		}
	}
	return h, nil
}

// boundingSet finds the bounding set in a /proc/<pid>/status.
func boundingSet(status string) (uint64, error) {
	for _, line := range strings.Split(status, "\n") {
		if hex, ok := strings.CutPrefix(line, "CapBnd:"); ok {
			set, err := strconv.ParseUint(strings.TrimSpace(hex), 16, 64)
			if err != nil {
				return 0, fmt.Errorf("read own capabilities: %w", err)
			}
			return set, nil
		}
	}
	return 0, fmt.Errorf("read own capabilities: no CapBnd in /proc/self/status")
}
