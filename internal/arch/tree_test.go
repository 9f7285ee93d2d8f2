package arch

import (
	"bytes"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// public are hosts whose names say nothing about a machine, and which the tree names for other reasons.
var public = []string{"github.com", "localhost", "127.0.0.1"}

// TestNoMachine looks in what is committed for the package registries, mirrors and proxies that this machine is set
// up with, and for those that the tools have by default: which one serves a machine is for its own settings to say.
// Container registries are upstream's names, and part of an image's name.
func TestNoMachine(t *testing.T) {
	hosts := machineHosts(t)
	for _, name := range tracked(t) {
		if strings.HasPrefix(name, "internal/arch/") || name == "go.sum" {
			continue
		}
		raw, err := os.ReadFile(filepath.Join("../..", name))
		if err != nil {
			t.Fatal(err)
		}
		for _, host := range naming(raw, hosts) {
			// Which one it is stays out of the log, since it is the machine's own business.
			t.Errorf("%s names a package registry, mirror or proxy (%d letters)", name, len(host))
		}
	}
}

func TestNoMachineControl(t *testing.T) {
	hosts := []string{"mirror.example.test"}
	if got := naming([]byte("see https://MIRROR.example.test/debian"), hosts); len(got) != 1 {
		t.Errorf("a mirror's name was not found: %v", got)
	}
	if got := naming([]byte("see https://example.test/"), hosts); len(got) != 0 {
		t.Errorf("found %v where there is none", got)
	}
	got := hostsIn("deb [arch=amd64] http://user:word@mirror.example.test:8080/debian bookworm main\nhttps://github.com/x\nhttps://mirror.example.test,direct|off")
	if !slices.Equal(got, hosts) {
		t.Errorf("hostsIn = %v, want %v", got, hosts)
	}
}

// TestNoThirdPartyFiles looks for what comes through the store instead of being committed.
func TestNoThirdPartyFiles(t *testing.T) {
	for _, name := range tracked(t) {
		if thirdParty(name) {
			t.Errorf("%s: no archive, program or vendored source is committed", name)
		}
	}
	for name, want := range map[string]bool{
		"vendor/a/a.go": true, "charts/gitea/charts/x.tgz": true, "bin/druppie-up": true, "a/node_modules/b.js": true,
		"scenarios/first-flight.txtar": false, "charts/gitea/values.yaml": false,
	} {
		if thirdParty(name) != want {
			t.Errorf("control: thirdParty(%q) = %v", name, !want)
		}
	}
}

func thirdParty(name string) bool {
	if strings.HasPrefix(name, "vendor/") || strings.HasPrefix(name, "bin/") || strings.Contains(name, "node_modules/") {
		return true
	}
	return slices.Contains([]string{".tgz", ".gz", ".zip", ".xz", ".zst", ".exe", ".so", ".jar", ".deb"}, filepath.Ext(name))
}

// naming gives the hosts whose names stand in a text.
func naming(text []byte, hosts []string) []string {
	text = bytes.ToLower(text)
	var out []string
	for _, host := range hosts {
		if bytes.Contains(text, []byte(host)) {
			out = append(out, host)
		}
	}
	return out
}

// machineHosts reads which registries, mirrors and proxies this machine was set up with, and which ones Go and npm
// have without any setting.
func machineHosts(t *testing.T) []string {
	t.Helper()
	var settings []string
	out, err := exec.Command("go", "env", "GOPROXY", "GOSUMDB").Output()
	if err != nil {
		t.Fatalf("go env: %v", err)
	}
	settings = append(settings, string(out))
	defaults := exec.Command("go", "env", "GOPROXY")
	defaults.Env = append(os.Environ(), "GOENV=off", "GOPROXY=")
	if out, err = defaults.Output(); err != nil {
		t.Fatalf("go env: %v", err)
	}
	settings = append(settings, string(out))
	// A machine without npm has no registry of it.
	if out, err = exec.Command("npm", "config", "get", "registry").Output(); err == nil {
		settings = append(settings, string(out))
	}
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "NPM_CONFIG_REGISTRY", "npm_config_registry", "PIP_INDEX_URL"} {
		settings = append(settings, os.Getenv(name))
	}
	for _, dir := range []string{"/etc/apt/sources.list", "/etc/apt/sources.list.d", "/etc/apt/apt.conf", "/etc/apt/apt.conf.d"} {
		// What isn't there says nothing; this machine need not have apt.
		_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				if raw, err := os.ReadFile(path); err == nil {
					settings = append(settings, aptComment.ReplaceAllString(string(raw), ""))
				}
			}
			return nil
		})
	}
	return hostsIn(strings.Join(settings, "\n"))
}

var aptComment = regexp.MustCompile(`(?m)^\s*(#|//).*$`)

var address = regexp.MustCompile(`https?://[^\s,|"';\]]+`)

func hostsIn(text string) []string {
	var out []string
	for _, found := range address.FindAllString(text, -1) {
		u, err := url.Parse(found)
		if err != nil {
			continue
		}
		host := strings.ToLower(u.Hostname())
		if host != "" && !slices.Contains(public, host) && !slices.Contains(out, host) {
			out = append(out, host)
		}
	}
	return out
}

// tracked lists the files that are committed; without git, as in an unpacked archive, all files count.
func tracked(t *testing.T) []string {
	t.Helper()
	cmd := exec.Command("git", "-c", "safe.directory=*", "ls-files", "-z")
	cmd.Dir = "../.."
	var names []string
	if out, err := cmd.Output(); err == nil && len(out) > 0 {
		for _, name := range strings.Split(strings.TrimRight(string(out), "\x00"), "\x00") {
			if info, err := os.Lstat(filepath.Join("../..", name)); err == nil && info.Mode().IsRegular() {
				names = append(names, name)
			}
		}
		return names
	}
	err := fs.WalkDir(os.DirFS("../.."), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (name == "bin" || name == ".git") {
			return fs.SkipDir
		}
		if d.Type().IsRegular() {
			names = append(names, name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}
