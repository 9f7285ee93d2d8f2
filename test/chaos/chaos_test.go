//go:build chaos

package chaos

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	name = "druppie-chaos"
	node = name + "-control-plane"
	// Each up here finds a full store: longer means that it hangs.
	timeout = 20 * time.Minute
)

// TestKilledAtEveryStep kills up with SIGKILL as soon as a step has ended that it was not killed after
// before, until one run gets through. Half-way, and when all is ready, the engine and the node die too.
func TestKilledAtEveryStep(t *testing.T) {
	if out, err := command(t, "supply", "verify").CombinedOutput(); err != nil {
		t.Fatalf("chaos needs a complete store: %v\n%s", err, out)
	}
	down(t)
	t.Cleanup(func() { down(t) })

	killedAfter := map[string]bool{}
	for len(killedAfter) < 50 { // more steps than there are
		step, ready := upUntilNewStep(t, killedAfter)
		if ready {
			break
		}
		t.Logf("killed after step %q", step)
		killedAfter[step] = true
		if step == "cluster" {
			killNode(t)
			killEngine(t)
		}
	}
	if len(killedAfter) < 5 {
		t.Fatalf("killed after %d steps only: %v", len(killedAfter), killedAfter)
	}

	must(t, command(t, "scenario", "run", "first-flight", "--name", name))
	before := remembered(t)
	for _, kill := range []func(*testing.T){killNode, killEngine} {
		kill(t)
		must(t, command(t, "up", "--name", name, "--progress", "plain"))
		if after := remembered(t); after != before {
			t.Errorf("after:\n%s\nbefore:\n%s", after, before)
		}
	}
	renewCertificates(t)
	must(t, command(t, "scenario", "run", "first-flight", "--name", name))
}

// renewCertificates takes away every certificate, as somebody does who wants new ones since a key has leaked, and
// wants up to make others, which are served.
func renewCertificates(t *testing.T) {
	t.Helper()
	t.Log("take the certificates away")
	served := map[string]func() string{ // by namespace/secret
		"foundry/registry-tls":       func() string { return certificate(t, "foundry", "registry") },
		"foundry/frontdoor-tls":      func() string { return certificate(t, "foundry", "frontdoor") },
		"gitea/gitea-tls":            func() string { return certificate(t, "gitea", "gitea") },
		"druppie-system/tracedb-tls": func() string { return certificate(t, "druppie-system", "tracedb") },
	}
	before := map[string]string{}
	for secret, now := range served {
		before[secret] = now()
		namespace, object, _ := strings.Cut(secret, "/")
		kubectl(t, "-n", namespace, "delete", "secret", object)
	}
	must(t, command(t, "up", "--name", name, "--progress", "plain"))
	for secret, now := range served {
		// The trace reads its certificate again when the kubelet has brought it, within a minute or two.
		for end := time.Now().Add(3 * time.Minute); now() == before[secret]; time.Sleep(5 * time.Second) {
			if time.Now().After(end) {
				t.Errorf("%s was renewed, and the old one is still served", secret)
				break
			}
		}
	}
}

// certificate is what a service shows to whoever connects.
func certificate(t *testing.T, namespace, service string) string {
	t.Helper()
	address := kubectl(t, "-n", namespace, "get", "service", service, "-o", "jsonpath={.spec.clusterIP}:{.spec.ports[0].port}")
	out := must(t, exec.Command("docker", "exec", node, "curl", "-ks", "-o", "/dev/null", "-w", "%{certs}", "--retry", "30", "--retry-all-errors", "--retry-delay", "1", "https://"+address+"/"))
	if !strings.Contains(out, "BEGIN CERTIFICATE") {
		t.Fatalf("%s shows no certificate: %q", address, out)
	}
	return out
}

// upUntilNewStep runs up and kills it when a step ends that isn't in seen; ready says that it got
// through before that.
func upUntilNewStep(t *testing.T, seen map[string]bool) (step string, ready bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, druppie(t), "up", "--name", name, "--progress", "json")
	events, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var last string
	for lines := bufio.NewScanner(events); lines.Scan(); {
		var e struct{ Event, ID, Error string }
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Errorf("not an event: %q", lines.Text())
			continue
		}
		last = lines.Text()
		if e.Event == "done" && e.ID != "" && !seen[e.ID] && step == "" {
			step = e.ID
			_ = cmd.Process.Kill() // Wait tells how it ended
		}
	}
	err = cmd.Wait()
	switch {
	case step != "" && err != nil:
		return step, false
	case err != nil:
		t.Fatalf("up: %v\n%s", err, last)
	}
	// It was quicker than the kill: that was its last step.
	return step, true
}

// remembered is what must be the same before and after: the commit that Flux has of the fleet, and the
// image that the tenant runs.
func remembered(t *testing.T) string {
	t.Helper()
	return kubectl(t, "-n", "flux-system", "get", "gitrepository", "fleet", "-o", "jsonpath={.status.artifact.revision}") + "\n" +
		kubectl(t, "-n", "drones", "get", "deployments", "-o", "jsonpath={.items[*].spec.template.spec.containers[*].image}")
}

func kubectl(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command("docker", append([]string{"exec", node, "kubectl", "--kubeconfig", "/etc/kubernetes/admin.conf"}, args...)...)
	return strings.TrimSpace(must(t, cmd))
}

func killNode(t *testing.T) {
	t.Helper()
	t.Log("kill the node")
	must(t, exec.Command("docker", "kill", "--signal", "KILL", node))
}

// killEngine kills dockerd, which takes the containers' parents with it; up starts it again where doctor
// installed it.
func killEngine(t *testing.T) {
	t.Helper()
	running := strings.Fields(must(t, exec.Command("docker", "ps", "--format", "{{.Names}}")))
	for _, container := range running {
		if !strings.HasPrefix(container, name+"-") {
			t.Fatalf("the engine also runs %s: it isn't killed", container)
		}
	}
	raw, err := os.ReadFile("/run/docker.pid")
	if err != nil {
		t.Fatalf("find the engine: %v", err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(raw)))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("kill the engine, process %d", pid)
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for range 50 {
		if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatalf("process %d survived", pid)
}

func down(t *testing.T) {
	t.Helper()
	if out, err := exec.Command(druppie(t), "down", "--name", name).CombinedOutput(); err != nil {
		t.Errorf("down: %v\n%s", err, out)
	}
}

// command is druppie-up with arguments, which may take as long as this test.
func command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	t.Cleanup(cancel)
	return exec.CommandContext(ctx, druppie(t), args...)
}

func must(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s%s", strings.Join(cmd.Args, " "), err, out.String(), errOut.String())
	}
	return out.String()
}

func druppie(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs("../../bin/druppie-up")
	if err == nil {
		_, err = os.Stat(path)
	}
	if err != nil {
		t.Fatal(fmt.Errorf("make build first: %w", err))
	}
	return path
}
