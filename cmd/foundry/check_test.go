package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/druppie/druppie-up/internal/ui"
	"github.com/druppie/druppie-up/tracedb/register"
)

// sample is a copy of the sample service's folder, as far as check reads it, to break.
func sample(t *testing.T) string {
	t.Helper()
	from, dir := filepath.Join("..", "..", "scenarios", "drone-service"), t.TempDir()
	for _, file := range []string{register.File, "samples/dike-section.geojson"} {
		raw, err := os.ReadFile(filepath.Join(from, file))
		if err != nil {
			t.Fatal(err)
		}
		write(t, dir, file, string(raw))
	}
	return dir
}

func TestCheck(t *testing.T) {
	dir, result := sample(t), filepath.Join(t.TempDir(), "algorithm")
	out, err := run("check", "--source", dir, "--repository=druppie/drone-service", "--algorithm-result", result)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if want := "algorithm.yaml of druppie/drone-service is valid: alg-d1jk3vl8, Vluchtplanner dijkinspectie\n"; out != want {
		t.Errorf("said %q, want %q", out, want)
	}
	if id, err := os.ReadFile(result); err != nil || string(id) != "alg-d1jk3vl8" {
		t.Errorf("result %q, %v", id, err)
	}
	out, err = run("check", "--source", dir, "-o", "json")
	if want := `{
  "algorithm": "alg-d1jk3vl8",
  "name": "Vluchtplanner dijkinspectie",
  "valid": true,
  "violations": []
}
`; err != nil || out != want {
		t.Errorf("said %s, %v", out, err)
	}
}

func TestCheckRefuses(t *testing.T) {
	tests := []struct {
		name   string
		mutate func(t *testing.T, dir string)
		lines  []string // what each says, in order
	}{
		{"nothing there", func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, register.File)); err != nil {
				t.Fatal(err)
			}
		}, []string{"algorithm.yaml: isn't a file at the root of the repository [missing-file]: "}},
		{"two mistakes", func(t *testing.T, dir string) {
			raw, err := os.ReadFile(filepath.Join(dir, register.File))
			if err != nil {
				t.Fatal(err)
			}
			write(t, dir, register.File, strings.NewReplacer("status: In gebruik", "status: Gereed", "lang: nld", "lang: nl").Replace(string(raw)))
		}, []string{`: register.status: "Gereed"`, `: register.lang: "nl"`}},
		{"other data", func(t *testing.T, dir string) {
			write(t, dir, "samples/dike-section.geojson", "{}")
		}, []string{"44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"}},
		{"data outside", func(t *testing.T, dir string) {
			file := filepath.Join(dir, "samples", "dike-section.geojson")
			outside := filepath.Join(t.TempDir(), "x")
			if err := os.Rename(file, outside); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(outside, file); err != nil {
				t.Fatal(err)
			}
		}, []string{": data[0].uri: "}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir, result := sample(t), filepath.Join(t.TempDir(), "algorithm")
			tt.mutate(t, dir)
			out, err := run("check", "--source", dir, "--algorithm-result", result)
			if ui.ExitCode(err) != 1 || ui.Hint(err) == "" {
				t.Errorf("%v, hint %q", err, ui.Hint(err))
			}
			lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
			if len(lines) != len(tt.lines) {
				t.Fatalf("said\n%s", out)
			}
			for i, want := range tt.lines {
				if !strings.Contains(lines[i], want) {
					t.Errorf("line %d is %q, want %q in it", i, lines[i], want)
				}
			}
			if _, err := os.Stat(result); err == nil {
				t.Error("wrote an id for what isn't valid")
			}
			out, err = run("check", "--source", dir, "-o", "json")
			var got checkResult
			if jsonErr := json.Unmarshal([]byte(out), &got); jsonErr != nil || ui.ExitCode(err) != 1 {
				t.Fatalf("%v, %v", jsonErr, err)
			}
			if got.Valid || got.Violations.Error() != strings.Join(lines, "\n") {
				t.Errorf("as JSON: %s", out)
			}
		})
	}
}

func TestCheckUsage(t *testing.T) {
	for name, args := range map[string][]string{
		"no source":          {"check"},
		"an empty source":    {"check", "--source="},
		"another output":     {"check", "--source", t.TempDir(), "-o", "yaml"},
		"an argument more":   {"check", "--source", t.TempDir(), "x"},
		"an unknown flag":    {"check", "--sauce=x"},
		"no value to output": {"check", "--source", t.TempDir(), "-o"},
	} {
		if _, err := run(args...); ui.ExitCode(err) != 2 {
			t.Errorf("%s: %v, exit code %d", name, err, ui.ExitCode(err))
		}
	}
	if _, err := run("check", "--source", filepath.Join(t.TempDir(), "none")); ui.ExitCode(err) != 1 {
		t.Errorf("a folder that isn't there: %v", err)
	}
}
