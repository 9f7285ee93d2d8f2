// Package host knows what the machine must offer before a cluster can come
// up on it, and how to get there: checks as data, each with what it found, why
// it matters and the command that fixes it, some with a fix that can be undone. It
// also starts the engine that its fix installed, and says who listens on a port.
//
// It refuses to change anything that wasn't shown before, to touch an engine
// that it didn't install without consent, and to know anything about
// the cluster.
package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/druppie/druppie-up/internal/command"
)

// Options say what the machine is needed for; they are complete when they come
// here.
type Options struct {
	Cluster    string // name of the cluster; a port that its own containers hold is not in the way
	Port       int    // front door's port on loopback
	PortChosen bool   // the user named the port, so that it may not move
	StoreDir   string // the image store
	StoreFull  bool   // the store has everything: nothing has to be pulled or built
	BuildDir   string // caches of the builds
	Wrapper    string // the built runtime wrapper
	Supply     string // auto, registry or modules: which tools and which network are needed
	// Registry asks whether the registries answer that images are pulled from.
	Registry func(context.Context) error

	// ChangeEngine is the consent to change an engine that Fix did not
	// install. Unattended says that confirm answers without a human, which
	// is no such consent.
	ChangeEngine bool
	Unattended   bool
}

// Where things are kept on the host. The state file belongs to the machine,
// not to a user, as the engine does.
const (
	statePath   = "/var/lib/druppie-up/doctor.json"
	wrapperPath = "/usr/local/libexec/druppie-runc"
	daemonPath  = "/etc/docker/daemon.json"
	sysctlPath  = "/etc/sysctl.d/90-druppie-up.conf"
	engineLog   = "/var/log/druppie-dockerd.log"
	enginePID   = "/run/docker.pid" // dockerd's own
)

// Host is the machine that the checks look at. Its root lets tests show it
// another machine's files.
type Host struct {
	opt    Options
	root   string
	run    runner
	engine *engineFacts  // asked once for all checks
	wait   time.Duration // for the engine's answer
}

// runner runs a program and returns its standard output.
type runner func(ctx context.Context, name string, args ...string) ([]byte, error)

// thisMachine is the Host that we run on.
func thisMachine(opt Options) *Host {
	return &Host{opt: opt, root: "/", run: runProgram, wait: engineDeadline}
}

// path is where a file of the machine is to be found.
func (h *Host) path(p string) string { return filepath.Join(h.root, p) }

// read returns a small file's content without the white space around it.
func (h *Host) read(p string) (string, error) {
	raw, err := os.ReadFile(h.path(p))
	return strings.TrimSpace(string(raw)), err
}

// runProgram is the runner for the real machine. Messages come in English,
// since some are read here.
func runProgram(ctx context.Context, name string, args ...string) ([]byte, error) {
	env := append(os.Environ(), "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive")
	out, err := command.Command{Name: name, Args: args, Env: env}.Output(ctx)
	if err != nil && ctx.Err() != nil {
		return out, fmt.Errorf("%s: no answer in time: %w", name, ctx.Err())
	}
	return out, err
}

// installed says whether a program is in PATH.
func installed(name string) bool {
	_, err := exec.LookPath(name)
	return err == nil || errors.Is(err, exec.ErrDot)
}
