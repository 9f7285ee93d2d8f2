package main

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/druppie/druppie-up/internal/ui"
	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"tracedb": main})
}

// TestScripts runs the command as its users do.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		Setup:               func(e *testscript.Env) error { e.Setenv("NO_COLOR", "1"); return nil },
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
	})
}

// TestCommandsAreDocumented walks all commands: each says what it is, and shows how it is used.
func TestCommandsAreDocumented(t *testing.T) {
	root := newRootCmd(ui.Streams{}, new(bool))
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		if cmd.Short == "" {
			t.Errorf("%s has no description", cmd.CommandPath())
		}
		if cmd.Example == "" && cmd.Name() != "version" {
			t.Errorf("%s has no example", cmd.CommandPath())
		}
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if f.Usage == "" {
				t.Errorf("%s: --%s has no description", cmd.CommandPath(), f.Name)
			}
		})
		for line := range strings.Lines(cmd.Example) {
			args := strings.Fields(line)
			if len(args) == 0 {
				continue
			}
			sub, rest, err := newRootCmd(ui.Streams{}, new(bool)).Find(args[1:])
			if args[0] != "tracedb" || err != nil || sub.ParseFlags(rest) != nil || sub.ValidateArgs(sub.Flags().Args()) != nil {
				t.Errorf("%s: the example %q can't be run: %v", cmd.CommandPath(), line, err)
			}
		}
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	walk(root)
}

// command runs the command in this process.
func command(ctx context.Context, args ...string) (code int, out, errOut string) {
	var o, e bytes.Buffer
	code = run(ctx, args, ui.Streams{In: strings.NewReader(""), Out: &o, Err: &e})
	return code, o.String(), e.String()
}
