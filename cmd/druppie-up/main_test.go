package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/druppie/druppie-up/internal/ui"
	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"druppie-up": main})
}

// TestScripts runs the command as users do, in a home of its own. No script gets as far as an engine.
func TestScripts(t *testing.T) {
	repo, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			home := filepath.Join(e.WorkDir, "home")
			e.Setenv("HOME", home)
			e.Setenv("NO_COLOR", "1")
			e.Setenv("REPO", repo)
			// Whoever gets further than a script meant finds no engine.
			e.Setenv("DOCKER_HOST", "unix://"+filepath.Join(e.WorkDir, "no-engine.sock"))
			for _, name := range []string{"XDG_CACHE_HOME", "XDG_STATE_HOME"} {
				e.Setenv(name, "")
			}
			return os.Mkdir(home, 0o755)
		},
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
	})
}

func TestUpOptions(t *testing.T) {
	t.Setenv("HOME", "/home/pilot")
	t.Setenv("XDG_CACHE_HOME", "")
	t.Setenv("XDG_STATE_HOME", "")
	tests := []struct {
		name string
		args string
		want func(*options) // what differs from the defaults
	}{
		{"defaults", "", func(*options) {}},
		{"all", "--name w --workers 2 --gpu-nodes 1 --port 9443 --supply modules --registry-mirror r:5000 --store /s --timeout 5m -o json", func(o *options) {
			o.Name, o.Workers, o.GPUNodes, o.Port, o.PortChosen, o.Supply = "w", 2, 1, 9443, true, "modules"
			o.RegistryMirror, o.StoreDir, o.Timeout, o.format = "r:5000", "/s", 5*time.Minute, "json"
			o.StateDir = "/home/pilot/.local/state/druppie-up/w"
		}},
		{"default port said aloud is chosen", "--port 8443", func(o *options) { o.PortChosen = true }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got *options
			cmd := newUpCmd(&app{}, func(_ context.Context, o *options) error { got = o; return nil })
			cmd.SetArgs(strings.Fields(tt.args))
			if err := cmd.Execute(); err != nil {
				t.Fatal(err)
			}
			want := &options{format: "table"}
			want.Name, want.Port, want.Supply, want.Timeout = "druppie", 8443, "auto", 3*time.Hour
			want.StoreDir = "/home/pilot/.cache/druppie-up/store"
			want.StateDir = "/home/pilot/.local/state/druppie-up/druppie"
			want.BinDir = got.BinDir
			tt.want(want)
			if diff := cmp.Diff(want.Options, got.Options); diff != "" || want.format != got.format {
				t.Errorf("format %q, options (-want +got):\n%s", got.format, diff)
			}
		})
	}
}

// TestCommandsAreDocumented walks all commands: each says what it is, and each shows how it is used.
func TestCommandsAreDocumented(t *testing.T) {
	root := newRootCmd(&app{Streams: ui.Streams{}})
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		if cmd.Short == "" {
			t.Errorf("%s has no description", cmd.CommandPath())
		}
		if cmd.Example == "" {
			t.Errorf("%s has no example", cmd.CommandPath())
		}
		for line := range strings.Lines(cmd.Example) {
			if strings.TrimSpace(line) != "" && !strings.Contains(line, root.Name()) {
				t.Errorf("%s: example %q doesn't show the command", cmd.CommandPath(), line)
			}
		}
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if f.Usage == "" {
				t.Errorf("%s: --%s has no description", cmd.CommandPath(), f.Name)
			}
		})
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	walk(root)
}

func TestCompletion(t *testing.T) {
	for _, args := range [][]string{
		{"--progress", "json"}, {"up", "--supply", "modules"}, {"up", "--output", "json"}, {"doctor", "--supply", "auto"},
	} {
		last := len(args) - 1
		var out bytes.Buffer
		asked := append([]string{"__complete"}, args[:last]...)
		run(t.Context(), append(asked, ""), ui.Streams{Out: &out, Err: &bytes.Buffer{}})
		if got := strings.Fields(out.String()); !slices.Contains(got, args[last]) {
			t.Errorf("%v is completed with %v, want %q among them", args[:last], got, args[last])
		}
	}
}
