// Package capability knows Linux's capabilities by name, and reads which of them a process and what it starts
// can't have. It imports nothing but the standard library, since the runtime wrapper starts at every container
// call, and it refuses to change anything.
package capability

import (
	"fmt"
	"strconv"
	"strings"
)

// SysResource is what lowering an OOM score or raising a limit takes.
const SysResource = "CAP_SYS_RESOURCE"

// Last is the number of the newest capability that is known here.
const Last = 40

// names are in the order of the numbers in linux/capability.h.
const names = `
	CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE
	NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT
	SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP
	MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE`

// Missing lists the capabilities, up to the number last, outside of the bounding set in a /proc/<pid>/status.
func Missing(status string, last int) ([]string, error) {
	_, after, _ := strings.Cut(status, "CapBnd:")
	hex, _, _ := strings.Cut(after, "\n")
	set, err := strconv.ParseUint(strings.TrimSpace(hex), 16, 64)
	if err != nil {
		return nil, fmt.Errorf("read the bounding set of the process's status: %w", err)
	}
	var missing []string
	for number, name := range strings.Fields(names) {
		if number <= last && set&(1<<number) == 0 {
			missing = append(missing, "CAP_"+name)
		}
	}
	return missing, nil
}
