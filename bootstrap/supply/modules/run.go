package modules

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// command is one call of a tool.
type command struct {
	dir  string
	env  []string
	name string
	args []string
}

// runner runs tools so that a cancelled context ends them with all their
// children: a compiler left behind would write into caches being trimmed.
type runner struct {
	log func(line string)
}

// tail is how much of a failed tool's output an error carries.
const tail = 2000

func (r runner) output(ctx context.Context, c command) ([]byte, error) {
	cmd := exec.CommandContext(ctx, c.name, c.args...)
	cmd.Dir, cmd.Env = c.dir, c.env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if r.log != nil {
		for line := range strings.Lines(stderr.String()) {
			r.log(strings.TrimRight(line, "\n"))
		}
	}
	if err == nil {
		return stdout.Bytes(), nil
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	said := strings.TrimSpace(stderr.String())
	if said == "" {
		said = strings.TrimSpace(stdout.String())
	}
	if len(said) > tail {
		said = "…" + said[len(said)-tail:]
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) && said != "" {
		return nil, fmt.Errorf("%s %s: %w\n%s", filepath.Base(c.name), verb(c.args), err, said)
	}
	return nil, fmt.Errorf("%s: %w", filepath.Base(c.name), err)
}

func verb(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}

// environ is the caller's environment without the variables that would change
// what is built.
func environ(set ...string) []string {
	drop := []string{"GO111MODULE", "GOFLAGS", "GOWORK", "GOOS", "GOARCH", "GOAMD64", "GOARM64", "GOEXPERIMENT",
		"GOMODCACHE", "GOCACHE", "GOTOOLCHAIN", "GODEBUG", "GOINSECURE", "GONOSUMDB", "GOPRIVATE",
		"CGO_ENABLED", "CGO_CFLAGS", "CGO_CPPFLAGS", "CGO_CXXFLAGS", "CGO_LDFLAGS", "CC", "CXX", "LD_LIBRARY_PATH", "LD_PRELOAD"}
	var env []string
next:
	for _, kv := range os.Environ() {
		for _, d := range drop {
			if strings.HasPrefix(kv, d+"=") {
				continue next
			}
		}
		env = append(env, kv)
	}
	return append(env, set...)
}
