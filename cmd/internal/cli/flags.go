package cli

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/druppie/druppie-up/internal/ui"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/mod/sumdb/note"
)

// choice is a flag that takes one of a few words.
type choice struct {
	value   *string
	allowed []string
}

// OneOf makes a flag of a variable; what the variable holds is the default.
func OneOf(value *string, allowed ...string) pflag.Value { return &choice{value, allowed} }

func (c *choice) String() string { return *c.value }
func (c *choice) Type() string   { return strings.Join(c.allowed, "|") }
func (c *choice) Set(s string) error {
	if !slices.Contains(c.allowed, s) {
		return fmt.Errorf("must be one of %s", strings.Join(c.allowed, ", "))
	}
	*c.value = s
	return nil
}

// Choice gives a command a flag that takes one of a few words, which the shell offers; the first is the default.
func Choice(cmd *cobra.Command, value *string, name, short, usage string, allowed ...string) {
	*value = allowed[0]
	cmd.Flags().VarP(OneOf(value, allowed...), name, short, usage)
	Complete(cmd, name, allowed...)
}

// Complete offers fixed values for a flag to the shell; without any it offers nothing, not even files.
func Complete(cmd *cobra.Command, flag string, values ...string) {
	// The error tells of a flag that doesn't exist, which whoever names one here has just defined.
	_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
}

// LogKey reads the public key of a log that was given as it is, or as a file that holds it; none stays none.
func LogKey(given string) (string, error) {
	if given == "" {
		return "", nil
	}
	if _, err := note.NewVerifier(given); err == nil {
		return given, nil
	}
	const hint = "give the log's public key, or a file that holds it; it looks like druppie.io/trace/druppie+1cc232be+AWTz…"
	raw, err := os.ReadFile(given)
	if err != nil {
		return "", ui.WithHint(ui.Usage(fmt.Errorf("--key: %w", err)), hint)
	}
	key := strings.TrimSpace(string(raw))
	if _, err := note.NewVerifier(key); err != nil {
		return "", ui.WithHint(ui.Usage(fmt.Errorf("--key: %s: %w", given, err)), hint)
	}
	return key, nil
}

// OpenFile opens a file that the user named, and says how large it is.
func OpenFile(name string) (*os.File, int64, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, 0, ui.Usage(err)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s isn't a file", name)
	}
	if err != nil {
		f.Close()
		return nil, 0, ui.Usage(err)
	}
	return f, info.Size(), nil
}
