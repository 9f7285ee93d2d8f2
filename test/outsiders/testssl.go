package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/druppie/druppie-up/internal/command"
)

// hosts are the front door's names, as its chart has them.
var hosts = []string{"gitea", "registry", "trace"}

// testSSL scans the front door by each of its names. What is no worse than information passes.
func testSSL(ctx context.Context, w *world) ([]result, error) {
	program, err := exec.LookPath("testssl")
	if err != nil {
		return nil, notRun("no testssl here (Debian: testssl.sh)")
	}
	ca := filepath.Join(w.temp, "ca.crt")
	if err := os.WriteFile(ca, w.door.CA, 0o644); err != nil {
		return nil, err
	}
	var all []result
	for _, host := range hosts {
		report := filepath.Join(w.temp, "testssl-"+host+".json")
		_, runErr := command.Output(ctx, program, "--quiet", "--color", "0", "--warnings", "off", "--ip", "127.0.0.1",
			"--add-ca", ca, "--jsonfile", report, "--protocols", "--server-defaults", w.door.URL(host))
		raw, err := os.ReadFile(report)
		if err != nil {
			return nil, errors.Join(runErr, err)
		}
		var findings []struct{ ID, Severity, Finding string }
		if err := json.Unmarshal(raw, &findings); err != nil {
			return nil, fmt.Errorf("read what testssl said: %w", err)
		}
		for _, f := range findings {
			switch res := (result{test: host + " " + f.ID}); f.Severity {
			case "OK":
				all = append(all, res)
			case "LOW", "MEDIUM", "HIGH", "CRITICAL", "FATAL":
				res.state, res.message = failed, f.Severity+": "+f.Finding
				all = append(all, res)
			}
		}
	}
	return all, nil
}
