package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestHandsOn builds the program and gives it a runc that says what it got.
func TestHandsOn(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "druppie-runc")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	bin, bundle := filepath.Join(dir, "bin"), filepath.Join(dir, "bundle")
	for _, d := range []string{bin, bundle} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	config := filepath.Join(bundle, "config.json")
	if err := os.WriteFile(config, []byte(`{"process":{"args":["x"]}}`), 0o644); err != nil {
		t.Fatal(err)
	}
	fake := "#!/bin/sh\necho \"$@\"\nexit 7\n"
	if err := os.WriteFile(filepath.Join(bin, "runc"), []byte(fake), 0o755); err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(dir, "log.json")
	run := func(args ...string) (string, int) {
		cmd := exec.Command(program, args...)
		cmd.Env = []string{"PATH=" + bin + ":/usr/bin:/bin"}
		out, err := cmd.CombinedOutput()
		if err != nil && cmd.ProcessState == nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(out)), cmd.ProcessState.ExitCode()
	}
	args := []string{"--log", log, "create", "--bundle", bundle, "id"}
	if out, code := run(args...); out != strings.Join(args, " ") || code != 7 {
		t.Errorf("runc got %q and ended with %d", out, code)
	}
	// A specification that can't be read stops it, and the engine's log says why.
	if err := os.Remove(config); err != nil {
		t.Fatal(err)
	}
	out, code := run(args...)
	said, err := os.ReadFile(log)
	if code != 1 || !strings.Contains(out, "specification") || err != nil || !strings.Contains(string(said), `"msg":"druppie-runc: read the container's specification`) {
		t.Errorf("ended with %d, said %q, logged %q (%v)", code, out, said, err)
	}
}
