package arch

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	tektonv1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	"sigs.k8s.io/yaml"
)

// TestConformanceInCITakesDownWhatItBroughtUp runs ci/conformance with a program that only pretends.
func TestConformanceInCITakesDownWhatItBroughtUp(t *testing.T) {
	const forms = ",conformance report -o junit,conformance report -o oscal,conformance report -o badge,conformance report -o html --lang en,conformance report -o html --lang nl"
	const up = "doctor --fix --yes,up --name druppie-ci"
	tests := []struct {
		name, fail string
		code       int
		calls      string
	}{
		{"all is proven", "none", 0, up + ",conformance --name druppie-ci -o json --mutate" + forms + ",down --name druppie-ci"},
		{"it doesn't come up", "up", 3, up + ",down --name druppie-ci"},
		{"something isn't proven", "conformance --name", 3, up + ",conformance --name druppie-ci -o json --mutate" + forms + ",down --name druppie-ci"},
		{"a form can't be written", "conformance report", 1, up + ",conformance --name druppie-ci -o json --mutate" + forms + ",down --name druppie-ci"},
		{"something is left", "down", 1, up + ",conformance --name druppie-ci -o json --mutate" + forms + ",down --name druppie-ci"},
	}
	script, err := os.ReadFile("../../ci/conformance")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range tests {
		// One after the other: a program that is being written can't be run, and whatever another test starts meanwhile
		// keeps it open for a moment.
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			calls, report := filepath.Join(dir, "calls"), filepath.Join(dir, "a report")
			pretend := "#!/bin/sh\n" + `echo "$*" >>'` + calls + "'\ncase \"$*\" in '" + tt.fail + "'*) exit 3;; esac\necho \"$*\"\n"
			for name, text := range map[string]string{"ci/conformance": string(script), "bin/druppie-up": pretend} {
				file := filepath.Join(dir, name)
				if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), 0o755)); err != nil {
					t.Fatal(err)
				}
			}
			cmd := exec.Command(filepath.Join(dir, "ci/conformance"), report, "--mutate")
			out, err := cmd.CombinedOutput()
			if code := cmd.ProcessState.ExitCode(); code != tt.code {
				t.Errorf("exit code %d, want %d (%v)\n%s", code, tt.code, err, out)
			}
			raw, err := os.ReadFile(calls)
			if err != nil {
				t.Fatal(err)
			}
			got := strings.NewReplacer(" --progress plain", "", report+"/conformance.json ", "", "\n", ",").Replace(strings.TrimSpace(string(raw)))
			if diff := cmp.Diff(tt.calls, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestTektonTaskIsOne holds ci/tekton.yaml against Tekton's own types and rules.
func TestTektonTaskIsOne(t *testing.T) {
	raw, err := os.ReadFile("../../ci/tekton.yaml")
	if err != nil {
		t.Fatal(err)
	}
	check := func(raw []byte) error {
		var task tektonv1.Task
		if err := yaml.UnmarshalStrict(raw, &task); err != nil {
			return err
		}
		task.SetDefaults(t.Context())
		if err := task.Validate(t.Context()); err != nil {
			return err
		}
		return nil
	}
	if err := check(raw); err != nil {
		t.Error(err)
	}
	for name, edit := range map[string][2]string{"a field that isn't one": {"workingDir:", "workDir:"}, "a parameter that isn't one": {"$(params.flags", "$(params.flag"}} {
		broken := strings.Replace(string(raw), edit[0], edit[1], 1)
		if err := check([]byte(broken)); err == nil || broken == string(raw) {
			t.Errorf("control: %s was taken", name)
		}
	}
}

var (
	uses   = regexp.MustCompile(`uses:\s*(\S+)`)
	pinned = regexp.MustCompile(`@[0-9a-f]{40}$`)
)

// TestWorkflowsAskForLittle: no more rights than to read, no end of time, and nothing of others that may change.
func TestWorkflowsAskForLittle(t *testing.T) {
	for _, file := range []string{"github.yaml", "gitea.yaml"} {
		raw, err := os.ReadFile("../../ci/" + file)
		if err != nil {
			t.Fatal(err)
		}
		for _, complaint := range workflowComplaints(t, raw) {
			t.Errorf("%s: %s", file, complaint)
		}
		for from, want := range map[string]string{
			"contents: read": "permissions", "timeout-minutes: 180": "timeout", "# v4.4.0": "", "@11d5960a326750d5838078e36cf38b85af677262": "pinned",
			"persist-credentials: false": "credentials", "if: always()": "down",
		} {
			got := strings.Join(workflowComplaints(t, []byte(strings.Replace(string(raw), from, "", 1))), "; ")
			if (want == "") != (got == "") || !strings.Contains(got, want) {
				t.Errorf("%s without %q: %q, want %q", file, from, got, want)
			}
		}
	}
}

func workflowComplaints(t *testing.T, raw []byte) []string {
	t.Helper()
	var w struct {
		Permissions map[string]string
		Jobs        map[string]struct {
			Timeout     int            `json:"timeout-minutes"`
			Permissions map[string]any `json:"permissions"`
			Steps       []struct {
				Name, If, Uses, Run string
				With                map[string]any
			}
		}
	}
	if err := yaml.Unmarshal(raw, &w); err != nil {
		t.Fatal(err)
	}
	var out []string
	if !cmp.Equal(w.Permissions, map[string]string{"contents": "read"}) {
		out = append(out, "its permissions aren't to read contents alone")
	}
	for name, job := range w.Jobs {
		if job.Timeout == 0 || job.Permissions != nil {
			out = append(out, name+": no timeout, or permissions of its own")
		}
		down := false
		for _, s := range job.Steps {
			if strings.HasPrefix(s.Uses, "actions/checkout") && s.With["persist-credentials"] != false {
				out = append(out, "credentials stay in the checkout")
			}
			if strings.Contains(s.Run, "${{") {
				out = append(out, "a script has an expression in it, which can become code: "+s.Run)
			}
			down = down || s.If == "always()" && strings.Contains(s.Run, "down --name")
		}
		if !down {
			out = append(out, "down isn't run always")
		}
	}
	for _, m := range uses.FindAllStringSubmatch(string(raw), -1) {
		if !pinned.MatchString(m[1]) {
			out = append(out, m[1]+" isn't pinned by its commit")
		}
	}
	return out
}
