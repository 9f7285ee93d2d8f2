package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// hangs is a program that says that it runs and then waits for ever. It stands in for those that commands
// wait for: the engine's, the compiler, the package manager.
const hangs = "#!/bin/sh\necho >\"$STARTED\"\nsleep 600 & wait\n"

// TestInterruptedSaysWhatToDo runs the command as a shell would, lets it get as far as another program, and
// sends a signal to all that share its terminal.
func TestInterruptedSaysWhatToDo(t *testing.T) {
	bin := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	druppie := filepath.Join(bin, "druppie-up")
	copyFile(t, self, druppie)
	packed(t, bin)
	for _, program := range []string{"go", "docker", "npm", "gcc", "mmdebstrap"} {
		if err := os.WriteFile(filepath.Join(bin, program), []byte(hangs), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		args   string
		signal syscall.Signal
		nohup  bool // started to ignore hang-ups
	}{
		{args: "supply fill --supply modules --progress plain", signal: syscall.SIGINT},
		{args: "supply fill --supply modules --progress plain", signal: syscall.SIGTERM},
		{args: "supply fill --supply modules --progress plain", signal: syscall.SIGHUP},
		{args: "supply fill --supply modules --progress json", signal: syscall.SIGINT},
		{args: "up --progress plain", signal: syscall.SIGINT},
		{args: "down --progress plain", signal: syscall.SIGHUP},
		{args: "status", signal: syscall.SIGINT},
		{args: "doctor --progress plain", signal: syscall.SIGINT},
		{args: "scenario run first-flight --progress plain", signal: syscall.SIGTERM},
		{args: "up --progress plain", signal: syscall.SIGHUP, nohup: true},
	}
	for _, tt := range tests {
		name := tt.args + " " + tt.signal.String()
		if tt.nohup {
			name += " nohup"
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			home := t.TempDir()
			started := filepath.Join(home, "started")
			cmd := exec.Command(druppie, strings.Fields(tt.args)...)
			if tt.nohup {
				cmd = exec.Command("/bin/sh", append([]string{"-c", `trap "" HUP; exec "$0" "$@"`, druppie}, strings.Fields(tt.args)...)...)
			}
			cmd.Env = []string{"PATH=" + bin + ":" + os.Getenv("PATH"), "HOME=" + home, "STARTED=" + started, "DOCKER_HOST=unix://" + home + "/engine.sock"}
			cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() { ended <- cmd.Wait() }()
			until(t, started, ended)
			send(t, cmd, tt.signal)
			if tt.nohup {
				select {
				case err := <-ended:
					t.Fatalf("nohup didn't keep it: %v\n%s", err, stderr.String())
				case <-time.After(200 * time.Millisecond):
				}
				send(t, cmd, syscall.SIGINT)
			}
			<-ended
			said := stderr.String()
			if got := cmd.ProcessState.ExitCode(); got != 1 {
				t.Errorf("exit code %d, want 1", got)
			}
			for _, want := range []string{"interrupted", "run it again, it goes on where it stopped"} {
				if !strings.Contains(said, want) {
					t.Errorf("doesn't say %q:\n%s", want, said)
				}
			}
			for _, word := range []string{"killed", "signal:", "exit status", "canceled"} {
				if strings.Contains(said, word) {
					t.Errorf("says %q, as if something had failed:\n%s", word, said)
				}
			}
		})
	}
}

// packed puts something small in the place of each program that goes into an image.
func packed(t *testing.T, bin string) {
	t.Helper()
	src := filepath.Join(t.TempDir(), "main.go")
	if err := os.WriteFile(src, []byte("package main\n\nfunc main() {}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, program := range []string{"mirror", "foundry", "tracedb", "podnet", "canary"} {
		out, err := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", filepath.Join(bin, program), src).CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
}

func send(t *testing.T, cmd *exec.Cmd, signal syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(-cmd.Process.Pid, signal); err != nil {
		t.Fatal(err)
	}
}

// until waits until the file is there.
func until(t *testing.T, file string, ended <-chan error) {
	t.Helper()
	for {
		if _, err := os.Stat(file); err == nil {
			return
		}
		select {
		case err := <-ended:
			t.Fatalf("ended before it called another program: %v", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	if os.Link(from, to) == nil {
		return
	}
	data, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, data, 0o755); err != nil {
		t.Fatal(err)
	}
}
