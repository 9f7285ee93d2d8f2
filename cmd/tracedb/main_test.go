package main

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/druppie/druppie-up/internal/ui"
	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/log"
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
		Cmds:                map[string]func(*testscript.TestScript, bool, []string){"fill": fill},
	})
}

// fill adds so many records to the log in a file, with the script's key.
func fill(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: fill FILE RECORDS")
	}
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	signer, _, err := readSigner(ts.MkAbs("checkpoint.key"))
	ts.Check(err)
	l, err := log.Open(context.Background(), log.Options{DSN: "sqlite:" + ts.MkAbs(args[0]), Origin: signer.Name(), Signer: signer})
	ts.Check(err)
	for range n {
		_, err := l.Append(context.Background(), "writer", []log.Prepared{incident(fmt.Sprint(l.Size()))})
		ts.Check(err)
	}
	ts.Check(l.Close())
}

func incident(id string) log.Prepared {
	return log.Prepared{Draft: tracedb.Draft{ID: id, Kind: tracedb.KindIncident, Payload: []byte(`{"summary":"x"}`)}}
}

// TestCommandsAreDocumented walks all commands: each says what it is, and shows how it is used.
func TestCommandsAreDocumented(t *testing.T) {
	root := newRootCmd(ui.Streams{}, new(bool))
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		if cmd.Short == "" {
			t.Errorf("%s has no description", cmd.CommandPath())
		}
		if cmd.Example == "" {
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

// TestExitCodes tells input that was refused from what was found to be wrong.
func TestExitCodes(t *testing.T) {
	t.Chdir(t.TempDir())
	verifier := ""
	for _, tt := range []struct {
		name, args string
		code       int
		says       string
	}{
		{"a new key", "keygen a.key", 0, "druppie.io/trace/druppie+"},
		{"a key that is there", "keygen a.key", 2, "a.key"},
		{"a folder as an archive", "verify . --key KEY", 2, ". isn't a file"},
		{"no archive", "verify b.zip --key KEY", 2, "b.zip"},
		{"no such format", "verify a.key --key KEY -o xml", 2, "--output"},
		{"not an archive", "verify a.key --key KEY", 1, "WRONG (archive): "},
		{"not an archive, to a program", "verify a.key --key KEY -o json", 1, `"ok": false`},
	} {
		code, out, errOut := command(t.Context(), strings.Fields(strings.ReplaceAll(tt.args, "KEY", verifier))...)
		if code != tt.code || !strings.Contains(out+errOut, tt.says) {
			t.Errorf("%s: %d, want %d:\n%s%s", tt.name, code, tt.code, out, errOut)
		}
		if code == 0 {
			verifier = strings.TrimSpace(out)
		}
	}
}
