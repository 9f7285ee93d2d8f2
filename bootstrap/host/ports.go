package host

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// ErrPortInUse says that another process listens on a port.
var ErrPortInUse = errors.New("port is in use")

// PortOwner is who listens on a port.
type PortOwner struct {
	PID       int    // 0 if it is another user's and can't be seen
	Name      string // the process's
	Container string // the container that the engine publishes there, if any
	Cluster   string // the cluster that the container belongs to, if any
}

// String names the owner for people.
func (o PortOwner) String() string {
	switch {
	case o.Container != "" && o.Cluster != "":
		return fmt.Sprintf("container %s of cluster %s", o.Container, o.Cluster)
	case o.Container != "":
		return "container " + o.Container
	case o.PID != 0:
		return fmt.Sprintf("%s (pid %d)", o.Name, o.PID)
	}
	return "a process of another user"
}

// CheckPort returns an error that wraps ErrPortInUse and names the owner if
// nobody else can listen on the loopback port.
func CheckPort(ctx context.Context, port int) error {
	h := thisMachine(Options{})
	owner, free, err := h.portOwner(ctx, port)
	switch {
	case err != nil:
		return err
	case !free:
		return fmt.Errorf("%w: %d, by %s", ErrPortInUse, port, owner)
	}
	return nil
}

// FreePort returns the preferred loopback port, or the next one that is free:
// for a port that nobody chose.
func FreePort(preferred int) (int, error) {
	const tries = 200
	for port := preferred; port < preferred+tries && port <= 65535; port++ {
		if canListen(port) == nil {
			return port, nil
		}
	}
	return 0, fmt.Errorf("%w: %d and the %d after it", ErrPortInUse, preferred, tries-1)
}

// canListen listens for a moment: nothing else says for sure that it is possible.
func canListen(port int) error {
	l, err := net.Listen("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return err
	}
	return l.Close()
}

func (h *Host) portOwner(ctx context.Context, port int) (owner PortOwner, free bool, err error) {
	if port < 1 || port > 65535 {
		return owner, false, fmt.Errorf("%d is not a port", port)
	}
	listenErr := canListen(port)
	if listenErr == nil {
		return owner, true, nil
	}
	if errors.Is(listenErr, os.ErrPermission) {
		return owner, false, fmt.Errorf("port %d: %w", port, listenErr)
	}
	owner = h.listener(port)
	// The engine publishes a port by a proxy process or in the kernel alone: only the engine knows for which container.
	if f := h.facts(ctx); f.err == nil {
		out, err := h.run(ctx, "docker", "ps", "--filter", fmt.Sprintf("publish=%d", port), "--format",
			`{{.Names}} {{or (.Label "io.druppie.cluster") (.Label "io.x-k8s.kind.cluster")}}`)
		if err == nil {
			first, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
			owner.Container, owner.Cluster, _ = strings.Cut(first, " ")
		}
	}
	return owner, false, nil
}

// listener finds the process behind a port in /proc.
func (h *Host) listener(port int) PortOwner {
	var inodes []string
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		text, err := h.read(table)
		if err == nil {
			inodes = append(inodes, parseListeners(text, port)...)
		}
	}
	for _, inode := range inodes {
		links, err := filepath.Glob(h.path("/proc/[0-9]*/fd/*"))
		if err != nil {
			return PortOwner{}
		}
		for _, link := range links {
			target, err := os.Readlink(link)
			if err != nil || target != "socket:["+inode+"]" {
				continue
			}
			dir := filepath.Dir(filepath.Dir(link))
			pid, err := strconv.Atoi(filepath.Base(dir))
			if err != nil {
				continue
			}
			name, _ := os.ReadFile(filepath.Join(dir, "comm"))
			return PortOwner{PID: pid, Name: strings.TrimSpace(string(name))}
		}
	}
	return PortOwner{}
}

// parseListeners returns the socket inodes of a /proc/net/tcp or tcp6 that
// listen on the port at an address that conflicts with the loopback address.
func parseListeners(table string, port int) []string {
	const listening = "0A"
	var inodes []string
	for line := range strings.Lines(table) {
		fields := strings.Fields(line)
		if len(fields) < 10 || fields[3] != listening {
			continue
		}
		address, hexPort, ok := strings.Cut(fields[1], ":")
		n, err := strconv.ParseUint(hexPort, 16, 16)
		if !ok || err != nil || int(n) != port {
			continue
		}
		if ip, ok := parseHexAddress(address); ok && (ip.IsUnspecified() || ip.IsLoopback()) {
			inodes = append(inodes, fields[9])
		}
	}
	return inodes
}

// parseHexAddress reads an address as the kernel prints it: words of four
// bytes, each in the machine's order, which is little-endian wherever
// this runs.
func parseHexAddress(s string) (netip.Addr, bool) {
	b, err := hex.DecodeString(s)
	if err != nil || (len(b) != 4 && len(b) != 16) {
		return netip.Addr{}, false
	}
	for i := 0; i < len(b); i += 4 {
		b[i], b[i+1], b[i+2], b[i+3] = b[i+3], b[i+2], b[i+1], b[i]
	}
	ip, ok := netip.AddrFromSlice(b)
	return ip.Unmap(), ok
}

func (h *Host) checkPort(ctx context.Context) Finding {
	owner, free, err := h.portOwner(ctx, h.opt.Port)
	switch {
	case err != nil:
		return Finding{Status: Fail, Found: err.Error(), Mend: "choose another: --port N"}
	case free:
		return Finding{Status: OK, Found: fmt.Sprintf("127.0.0.1:%d is free", h.opt.Port)}
	case owner.Cluster == h.opt.Cluster:
		return Finding{Status: OK, Found: fmt.Sprintf("%d is the running platform's", h.opt.Port)}
	}
	found := fmt.Sprintf("%d is in use by %s", h.opt.Port, owner)
	if h.opt.PortChosen {
		return Finding{Status: Fail, Found: found, Mend: "stop that, or choose another: --port N"}
	}
	next, err := FreePort(h.opt.Port)
	if err != nil {
		return Finding{Status: Fail, Found: err.Error(), Mend: "choose one: --port N"}
	}
	return Finding{Status: Warn, Found: found + fmt.Sprintf("; %d is free and will be taken", next), Mend: "nothing, or choose one: --port N"}
}

// platformRuns says whether containers of the cluster run, so that what they
// hold isn't missed.
func (h *Host) platformRuns() bool {
	return h.engine != nil && h.engine.err == nil && h.engine.cluster
}
