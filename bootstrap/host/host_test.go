package host

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/druppie/druppie-up/internal/ui"
)

// machine is a Host whose files are in a folder of the test's and whose
// programs are answered by the test; it has no programs but those.
func machine(t *testing.T, files map[string]string, programs map[string]string) *Host {
	t.Helper()
	root := t.TempDir()
	for path, content := range files {
		write(t, filepath.Join(root, path), content)
	}
	h := &Host{root: root, opt: Options{Cluster: "druppie", Port: 8443, Supply: "auto", Wrapper: filepath.Join(root, "bin/druppie-runc")}}
	h.run = func(_ context.Context, name string, args ...string) ([]byte, error) {
		line := strings.Join(append([]string{name}, args...), " ")
		for prefix, answer := range programs {
			if strings.HasPrefix(line, prefix) {
				return []byte(answer), nil
			}
		}
		return nil, fmt.Errorf("%s: not expected here", line)
	}
	return h
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// tree lists the files of a machine with what is in them.
func tree(t *testing.T, root string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := os.ReadFile(path)
		files[strings.TrimPrefix(path, root)] = string(raw)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func yes() func([]string) (bool, error) {
	return func([]string) (bool, error) { return true, nil }
}

// TestFixAndUndo changes a machine and takes it back, byte for byte.
func TestFixAndUndo(t *testing.T) {
	const custom = "{\n\t\"log-level\": \"warn\", \"default-runtime\": \"crun\"\n}"
	for _, tt := range []struct {
		name   string
		daemon string // the engine's configuration of before
		edit   string // what someone makes of it in between
		want   string // and what is to be there at last, if not what was before
	}{
		{name: "no configuration"},
		{name: "a configuration", daemon: custom},
		{
			name: "edited since", daemon: custom,
			edit: `{"debug":true,"default-runtime":"druppie-runc","runtimes":{"druppie-runc":{"path":"/usr/local/libexec/druppie-runc"},"crun":{"path":"/x"}}}`,
			want: "{\n  \"debug\": true,\n  \"default-runtime\": \"crun\",\n  \"runtimes\": {\n    \"crun\": {\n      \"path\": \"/x\"\n    }\n  }\n}\n",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			files := map[string]string{
				"bin/druppie-runc":                          "the wrapper",
				"proc/sys/fs/inotify/max_user_instances":    "128\n",
				"proc/sys/fs/inotify/max_user_watches":      "600000\n",
				"etc/sysctl.d/10-other.conf":                "kept",
				"var/lib/other":                             "kept",
				"usr/local/libexec/other":                   "kept",
				"etc/docker/certs.d/example.org/hosts.toml": "kept",
			}
			if tt.daemon != "" {
				files["etc/docker/daemon.json"] = tt.daemon
			}
			h := machine(t, files, nil)
			before := tree(t, h.root)
			ctx := t.Context()
			for range 2 { // the second time finds everything done
				if err := h.installWrapper(ctx); err != nil {
					t.Fatal(err)
				}
				if err := h.raiseInotify(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if !h.wrapperActive() {
				t.Error("the wrapper is not active after its fix")
			}
			if n, err := h.number("/proc/sys/fs/inotify/max_user_instances"); err != nil || n != 512 {
				t.Errorf("max_user_instances = %d, %v", n, err)
			}
			if cmp.Diff(before, tree(t, h.root)) == "" {
				t.Fatal("the fixes changed nothing")
			}
			if tt.edit != "" {
				write(t, h.path(daemonPath), tt.edit)
				before["/etc/docker/daemon.json"] = tt.want
			}
			h.engine = &engineFacts{err: ErrNoEngine}
			var asked []string
			if err := h.undo(ctx, func(lines []string) (bool, error) { asked = lines; return false, nil }, ui.Discard()); !errors.Is(err, ErrDeclined) {
				t.Errorf("undo without a yes: %v", err)
			}
			if !h.wrapperActive() {
				t.Error("undo without a yes changed something")
			}
			if !strings.Contains(strings.Join(asked, "\n"), "max_user_instances back to 128") {
				t.Errorf("shown before: %q", asked)
			}
			if err := h.undo(ctx, yes(), ui.Discard()); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(before, tree(t, h.root)); diff != "" {
				t.Errorf("not as before (-before +after):\n%s", diff)
			}
			if err := h.undo(ctx, func([]string) (bool, error) { t.Error("asked again"); return false, nil }, ui.Discard()); err != nil {
				t.Errorf("nothing to undo: %v", err)
			}
		})
	}
}

// TestUndoKeepsUsedEngine: what is still in it may be anybody's.
func TestUndoKeepsUsedEngine(t *testing.T) {
	for _, tt := range []struct {
		name, containers, volumes, want string
	}{
		{name: "a container", containers: "druppie-control-plane\n", want: "druppie-control-plane"},
		{name: "a volume", volumes: "mine\n", want: "volume mine"},
		{name: "empty"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := machine(t, nil, map[string]string{"docker ps -a": tt.containers, "docker volume ls": tt.volumes})
			h.engine = &engineFacts{Version: "20.10"}
			err := h.engineEmpty(t.Context(), &state{Engine: true})
			if tt.want == "" && err != nil {
				t.Fatal(err)
			}
			if tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want) || ui.Hint(err) == "") {
				t.Errorf("err = %v, want one that names %q and has a hint", err, tt.want)
			}
		})
	}
}

func TestFixAsks(t *testing.T) {
	for _, tt := range []struct {
		name    string
		opt     Options
		answer  bool
		fixed   string
		wantErr error
	}{
		{name: "yes", answer: true, fixed: "foreign safe"},
		{name: "no", answer: false, wantErr: ErrDeclined},
		{name: "unattended leaves a foreign engine alone", opt: Options{Unattended: true}, answer: true, fixed: "safe"},
		{name: "unattended with consent", opt: Options{Unattended: true, ChangeEngine: true}, answer: true, fixed: "foreign safe"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var fixed []string
			check := func(name string, consent bool, status Status) Check {
				return Check{
					Name: name, Title: name, Why: "it matters",
					Run: func(*Host, context.Context) Finding {
						return Finding{Status: status, Found: "bad", Mend: "do it", FixDoes: []string{"do " + name}, Consent: consent}
					},
					Fix: func(*Host, context.Context) error { fixed = append(fixed, name); return nil },
				}
			}
			checks := []Check{check("foreign", true, Fail), check("fine", false, OK), check("safe", false, Warn)}
			h := machine(t, nil, nil)
			h.opt.Unattended, h.opt.ChangeEngine = tt.opt.Unattended, tt.opt.ChangeEngine
			findings, err := h.check(t.Context(), checks, ui.Discard())
			if err != nil {
				t.Fatal(err)
			}
			err = h.fix(t.Context(), checks, findings, func(lines []string) (bool, error) {
				if len(lines) != 1 || !strings.HasPrefix(lines[0], "do ") {
					t.Errorf("asked about %q", lines)
				}
				return tt.answer, nil
			}, ui.Discard())
			if !errors.Is(err, tt.wantErr) {
				t.Errorf("err = %v, want %v", err, tt.wantErr)
			}
			if got := strings.Join(fixed, " "); got != tt.fixed {
				t.Errorf("fixed %q, want %q", got, tt.fixed)
			}
		})
	}
}

func TestFailed(t *testing.T) {
	err := Failed([]Finding{
		{Title: "Memory", Status: Fail, Found: "1 GiB", Why: "pods die", Mend: "buy"},
		{Title: "Disk", Status: Warn, Found: "tight"},
		{Title: "Engine", Status: Fail, Found: "none", Why: "nodes", Mend: "install", Fixable: true},
	})
	if err == nil || !strings.Contains(err.Error(), "1 GiB") || !strings.Contains(err.Error(), "none") || strings.Contains(err.Error(), "tight") {
		t.Errorf("err = %v, want both failures and no warning", err)
	}
	if hint := ui.Hint(err); !strings.Contains(hint, "buy") || !strings.Contains(hint, "doctor --fix") {
		t.Errorf("hint = %q", hint)
	}
	if err := Failed([]Finding{{Status: Warn}, {Status: OK}, {Status: Skip}}); err != nil {
		t.Errorf("without failures: %v", err)
	}
}

// TestRunHere makes all checks on the machine that the test runs on: none may
// change anything, and each must say something.
func TestRunHere(t *testing.T) {
	findings, err := Run(t.Context(), Options{
		Cluster: "druppie", Port: 8443, Supply: "registry", StoreDir: t.TempDir(), BuildDir: t.TempDir(),
		Registry: func(context.Context) error { return errors.New("not asked") },
	}, ui.Discard())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range findings {
		if f.Name == "" || f.Title == "" || f.Why == "" || f.Found == "" {
			t.Errorf("says too little: %+v", f)
		}
		if (f.Status == Fail || f.Status == Warn) && f.Mend == "" {
			t.Errorf("%s: %s without a mend", f.Name, f.Found)
		}
	}
}

// TestEngineAnswers tells an engine that isn't there from one that says
// nothing: only the first may be started.
func TestEngineAnswers(t *testing.T) {
	for _, tt := range []struct {
		name    string
		docker  string
		want    error
		fixable bool
	}{
		{name: "silent", docker: "exec sleep 60", want: ErrEngineSilent},
		{name: "not running", docker: `echo '{"ServerErrors":["Cannot connect"]}'; exit 1`, want: ErrNoEngine, fixable: true},
		{name: "a client that fails", docker: "echo boom >&2; exit 1", want: ErrNoEngine, fixable: true},
		{name: "answers", docker: `echo '{"ServerVersion":"20.10.24"}'`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bin := t.TempDir()
			for name, script := range map[string]string{"docker": tt.docker, "dockerd": "exit 1"} {
				path := filepath.Join(bin, name)
				write(t, path, "#!/bin/sh\n"+script+"\n")
				if err := os.Chmod(path, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			t.Setenv("PATH", bin+":/usr/bin:/bin")
			t.Setenv("DOCKER_HOST", "")
			h := machine(t, nil, nil)
			h.run, h.wait = runProgram, 2*time.Second
			f := h.checkEngine(t.Context())
			if !errors.Is(h.engine.err, tt.want) || (tt.want == nil) != (f.Status == OK) {
				t.Errorf("%v, %+v; want %v", h.engine.err, f, tt.want)
			}
			if tt.want != nil && f.Mend == "" {
				t.Error("no mend")
			}
			if fixable := len(f.FixDoes) > 0; fixable != (tt.fixable && os.Geteuid() == 0) {
				t.Errorf("fix does %q", f.FixDoes)
			}
		})
	}
}

// TestPolicies: what the kernel was built without is named, wherever its configuration stands.
func TestPolicies(t *testing.T) {
	var all strings.Builder
	for _, o := range policyOptions {
		all.WriteString("CONFIG_" + o + "=m\n")
	}
	packed := func(text string) string {
		var out bytes.Buffer
		w := gzip.NewWriter(&out)
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	lacks := strings.Replace(all.String(), "CONFIG_NFT_FIB_INET=m", "# CONFIG_NFT_FIB_INET is not set", 1)
	for _, tt := range []struct {
		name, file, text string
		want             Status
		found            string
	}{
		{"of the distribution", "/boot/config-6.1", all.String(), OK, ""},
		{"of the kernel itself", "/proc/config.gz", packed(all.String()), OK, ""},
		{"lacks one", "/boot/config-6.1", lacks, Fail, "lacks NFT_FIB_INET"},
		{"lacks one, packed", "/proc/config.gz", packed(lacks), Fail, "lacks NFT_FIB_INET"},
		{"of another kernel", "/boot/config-6.2", all.String(), Skip, "unknown"},
		{"damaged", "/proc/config.gz", "no gzip", Skip, "unknown"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := machine(t, map[string]string{"/proc/sys/kernel/osrelease": "6.1\n", tt.file: tt.text}, nil)
			if f := h.checkPolicies(t.Context()); f.Status != tt.want || !strings.Contains(f.Found, tt.found) {
				t.Errorf("%v: %s", f.Status, f.Found)
			}
		})
	}
}
