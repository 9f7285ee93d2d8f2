package gomod

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/module"

	"github.com/druppie/druppie-up/bootstrap/supply/gomod/gomodtest"
)

var example = module.Version{Path: "example.com/m", Version: "v1.0.0"}

func exampleFiles() map[string]string {
	return map[string]string{"go.mod": "module example.com/m\n", "a.yaml": "a: 1\n"}
}

func TestDownload(t *testing.T) {
	database := gomodtest.Serve(t, example, exampleFiles())
	got, err := Go{ModCache: t.TempDir(), Database: database}.Download(t.Context(), example.Path, example.Version)
	if err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(filepath.Join(got.Dir, "a.yaml")); err != nil || string(text) != "a: 1\n" {
		t.Errorf("a.yaml = %q, %v", text, err)
	}
	if _, err := os.Stat(got.Zip); err != nil {
		t.Error(err)
	}
}

// TestVerificationCantBeSwitchedOff asks for a module that the checksum database doesn't know, in each of the
// ways in which a machine may say that this is no matter.
func TestVerificationCantBeSwitchedOff(t *testing.T) {
	other := gomodtest.Serve(t, module.Version{Path: "example.com/other", Version: "v1.0.0"}, map[string]string{"go.mod": "module example.com/other\n"})
	_ = gomodtest.Serve(t, example, exampleFiles()) // the proxy has it, that database hasn't
	for _, setting := range []string{
		"GOSUMDB=off", "GONOSUMDB=*", "GONOSUMDB=example.com", "GOPRIVATE=*", "GONOSUMCHECK=1", "GOINSECURE=*", "GOFLAGS=-insecure", "GO111MODULE=off",
	} {
		for _, place := range []string{"environment", "file"} {
			t.Run(setting+" in the "+place, func(t *testing.T) {
				t.Setenv("GOENV", "off")
				if place == "file" {
					file := filepath.Join(t.TempDir(), "env")
					if err := os.WriteFile(file, []byte(setting+"\n"), 0o644); err != nil {
						t.Fatal(err)
					}
					t.Setenv("GOENV", file)
				} else {
					name, value, _ := strings.Cut(setting, "=")
					t.Setenv(name, value)
				}
				_, err := Go{ModCache: t.TempDir(), Database: other}.Download(t.Context(), example.Path, example.Version)
				if err == nil || !strings.Contains(err.Error(), example.Path) {
					t.Errorf("err = %v, want a refusal of %s", err, example.Path)
				}
			})
		}
	}
}

// TestEnviron: what verifies is ours, where modules come from is the machine's own setting.
func TestEnviron(t *testing.T) {
	own := ownDatabase(t)
	tests := []struct {
		name, file string
		want       string
	}{
		{"the module proxy", "GOPROXY=https://proxy.example\n", "GOPROXY=https://proxy.example"},
		{"credentials for it", "GOAUTH=netrc\n", "GOAUTH=netrc"},
		{"Go's database at another address", "GOSUMDB=" + own + " https://sum.example\n", "GOSUMDB=" + own + " https://sum.example"},
		{"another database whose key Go may have", "GOSUMDB=sum.example\n", "GOSUMDB=sum.example"},
		{"no database of a stranger's key", "GOSUMDB=" + own + "+1+AAAA https://sum.example\n", "GOSUMDB=" + own},
		{"no database at all", "GOSUMDB=off\n", "GOSUMDB=" + own},
		{"another architecture's binaries", "GOARCH=riscv64\n", ""},
		{"a compiler", "CC=/bin/false\n", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "env")
			if err := os.WriteFile(file, []byte(tt.file), 0o644); err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{"GOPROXY", "GOAUTH", "GOSUMDB", "GOARCH", "CC"} {
				t.Setenv(name, "") // what is empty doesn't override the file
			}
			t.Setenv("GOENV", file)
			env, err := Go{ModCache: "/cache"}.Environ(t.Context(), "LAST=1")
			if err != nil {
				t.Fatal(err)
			}
			name, _, _ := strings.Cut(tt.file, "=")
			var got []string
			for _, kv := range env {
				if strings.HasPrefix(kv, name+"=") {
					got = append(got, kv)
				}
			}
			if strings.Join(got, "\n") != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
			if env[len(env)-1] != "LAST=1" {
				t.Errorf("ends with %q", env[len(env)-1])
			}
		})
	}
}

// ownDatabase is the checksum database of the toolchain, whatever this machine's settings say.
func ownDatabase(t *testing.T) string {
	t.Helper()
	cmd := exec.Command("go", "env", "GOSUMDB")
	cmd.Env = append(os.Environ(), "GOENV=off", "GOSUMDB=")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// TestUnknownDatabaseIsRefused: a name that the go command has no key for vouches for nothing.
func TestUnknownDatabaseIsRefused(t *testing.T) {
	_ = gomodtest.Serve(t, example, exampleFiles())
	t.Setenv("GOSUMDB", "sum.example")
	if _, err := (Go{ModCache: t.TempDir()}).Download(t.Context(), example.Path, example.Version); err == nil {
		t.Error("a module came without a checksum database's word")
	}
}

// TestToolchainWithoutDatabaseIsRefused: some distributions ship Go with the checksum database switched off.
func TestToolchainWithoutDatabaseIsRefused(t *testing.T) {
	real, err := exec.LookPath("go")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	script := "#!/bin/sh\n[ \"$*\" != 'env GOSUMDB' ] || { echo off; exit; }\nexec '" + real + "' \"$@\"\n"
	if err := os.WriteFile(filepath.Join(dir, "go"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)
	t.Setenv("GOSUMDB", "off")
	if _, err := (Go{ModCache: "/cache"}).Environ(t.Context()); !errors.Is(err, ErrNoDatabase) {
		t.Errorf("err = %v, want %v", err, ErrNoDatabase)
	}
}
