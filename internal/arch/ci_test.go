package arch

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestCISaysWhatItLeftOut runs .ci/run with programs that only pretend, and reads its last line: a run that
// brought up no cluster may be green only when time ran out, and must say so.
func TestCISaysWhatItLeftOut(t *testing.T) {
	const never = "make test-policies, test-containers, e2e-registry, chaos, bench, bench-tracedb, bench-network and outsiders."
	tests := []struct {
		name    string
		env     string
		want    string // the last line
		calls   string // of make and druppie-up, in order
		wantBad bool
	}{
		{
			name:  "store complete",
			want:  "ci: ran, and passed: make test lint build e2e. NOT RUN: " + never,
			calls: "make test,make lint,make build,supply verify,doctor --fix --yes --progress plain,make e2e",
		},
		{
			name:  "store filled in time",
			env:   "EMPTY=1",
			want:  "ci: ran, and passed: make test lint build e2e. NOT RUN: " + never,
			calls: "make test,make lint,make build,supply verify,doctor --fix --yes --progress plain,supply fill --progress plain,make e2e",
		},
		{
			name:  "no time to fill the store",
			env:   "EMPTY=1 CI_SECONDS=1100",
			want:  "ci: ran, and passed: make test lint build. NOT RUN: make e2e (see above); " + never,
			calls: "make test,make lint,make build,supply verify,doctor --fix --yes --progress plain,supply list",
		},
		{
			name:  "time runs out while the store is filled",
			env:   "EMPTY=1 SLOW=1",
			want:  "ci: ran, and passed: make test lint build. NOT RUN: make e2e (see above); " + never,
			calls: "make test,make lint,make build,supply verify,doctor --fix --yes --progress plain,supply fill --progress plain,supply list",
		},
		{
			name:    "the store can't be filled",
			env:     "EMPTY=1 FAIL=fill",
			want:    "ci: FAILED with code 3 in: bin/druppie-up supply fill. Passed before: make test lint build. NOT RUN to the end: make e2e (see above); " + never,
			calls:   "make test,make lint,make build,supply verify,doctor --fix --yes --progress plain,supply fill --progress plain",
			wantBad: true,
		},
		{
			name:    "a test fails",
			env:     "FAIL=test",
			want:    "ci: FAILED with code 3 in: make test. Passed before: make nothing. NOT RUN to the end: make test lint build e2e (see above); " + never,
			calls:   "make test",
			wantBad: true,
		},
		{
			name:    "the platform fails",
			env:     "FAIL=e2e",
			want:    "ci: FAILED with code 3 in: make e2e. Passed before: make test lint build. NOT RUN to the end: make e2e (see above); " + never,
			calls:   "make test,make lint,make build,supply verify,doctor --fix --yes --progress plain,make e2e",
			wantBad: true,
		},
	}
	script, err := os.ReadFile("../../.ci/run")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			calls := filepath.Join(dir, "calls")
			const pretend = "#!/bin/sh\n" + `case "$1" in -*) exit 0;; esac
			echo "$NAME$*" >>"$CALLS"
			if [ -n "$FAIL" ]; then case "$*" in *"$FAIL"*) exit 3;; esac; fi
			`
			for name, text := range map[string]string{
				".ci/run":     string(script),
				"bin/apt-get": "#!/bin/sh\n",
				"bin/go":      "#!/bin/sh\n",
				"bin/make":    strings.ReplaceAll(pretend, "$NAME", "make "),
				"bin/druppie-up": strings.ReplaceAll(pretend, "$NAME", "") + `
				[ "$2" = verify ] && [ -n "$EMPTY" ] && exit 1
				[ "$2" = fill ] && [ -n "$SLOW" ] && exit 124 # as timeout does
				exit 0`,
			} {
				file := filepath.Join(dir, name)
				if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), 0o755)); err != nil {
					t.Fatal(err)
				}
			}
			cmd := exec.Command(filepath.Join(dir, ".ci/run"))
			cmd.Env = append([]string{"PATH=" + filepath.Join(dir, "bin") + ":" + os.Getenv("PATH"), "CALLS=" + calls}, strings.Fields(tt.env)...)
			var out bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &out
			if err := cmd.Run(); (err != nil) != tt.wantBad {
				t.Errorf("ended with %v\n%s", err, out.String())
			}
			lines := strings.Split(strings.TrimSpace(out.String()), "\n")
			if last := lines[len(lines)-1]; last != tt.want {
				t.Errorf("last line\n%s\nwant\n%s", last, tt.want)
			}
			raw, err := os.ReadFile(calls)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(strings.Split(strings.TrimSpace(string(raw)), "\n"), ","); got != tt.calls {
				t.Errorf("called\n%s\nwant\n%s", got, tt.calls)
			}
		})
	}
}
