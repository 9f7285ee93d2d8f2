package main

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/druppie/druppie-up/internal/capability"
)

// host is what this process, and so the runc that it becomes, can hand on.
type host struct {
	missing  []string          // capabilities
	oomScore int               // its own oom_score_adj
	limits   map[string]uint64 // hard resource limits by their name in a specification
}

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
	return !slices.ContainsFunc(h.missing, func(c string) bool { return strings.EqualFold(c, name) })
}

// readHost asks the kernel about this process.
func readHost() (host, error) {
	h := host{limits: map[string]uint64{}}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return h, fmt.Errorf("read own capabilities: %w", err)
	}
	if h.missing, err = capability.Missing(string(status), capability.Last); err != nil {
		return h, fmt.Errorf("read own capabilities: %w", err)
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
