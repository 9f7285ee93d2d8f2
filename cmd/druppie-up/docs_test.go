package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// TestExamplesWork parses every example in the help of every command.
func TestExamplesWork(t *testing.T) {
	var examples []string
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		for line := range strings.Lines(cmd.Example) {
			examples = append(examples, commandsIn(line)...)
		}
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	walk(newRootCmd(&app{}))
	if len(examples) < 10 {
		t.Fatalf("only %d examples", len(examples))
	}
	for _, example := range examples {
		if err := parses(example, true); err != nil {
			t.Errorf("%s: %v", example, err)
		}
	}
}

// TestDocumentsWork parses every command of ours that a document tells its reader to run, and looks every
// target of make up. What stands in running text may leave arguments out.
func TestDocumentsWork(t *testing.T) {
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	target := regexp.MustCompile("make ([a-z][a-z0-9-]*)")
	seen := 0
	for _, name := range documents(t) {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, code := range codeIn(string(raw)) {
			for _, line := range commandsIn(code.text) {
				seen++
				if err := parses(line, code.block); err != nil {
					t.Errorf("%s: %s: %v", name, line, err)
				}
			}
			for _, m := range target.FindAllStringSubmatch(code.text, -1) {
				seen++
				if !strings.Contains("\n"+string(makefile), "\n"+m[1]+":") {
					t.Errorf("%s: there is no target for %s", name, m[0])
				}
			}
		}
	}
	if seen < 60 {
		t.Errorf("looked at only %d commands", seen)
	}
}

func TestDocumentsWorkControl(t *testing.T) {
	text := "Run `druppie-up upp` or `bin/druppie-up up --wrokers 2`.\n\n```\n$ druppie-up trace why | less  # all of it\ndruppie-up down now\n```\n`druppie-up trace why`\n"
	var got []string
	for _, code := range codeIn(text) {
		for _, line := range commandsIn(code.text) {
			got = append(got, fmt.Sprint(line, ": ", parses(line, code.block)))
		}
	}
	want := []string{
		`upp: unknown command "upp" for "druppie-up"`,
		"up --wrokers 2: unknown flag: --wrokers",
		"trace why: give the SUBJECT to ask about",
		`down now: unexpected argument "now"`,
		"trace why: <nil>",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%q\nwant\n%q", got, want)
	}
}

// documents lists the Markdown files that people read.
func documents(t *testing.T) []string {
	t.Helper()
	names, err := filepath.Glob("../../*.md")
	if err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir("../../docs", func(name string, d fs.DirEntry, err error) error {
		if filepath.Ext(name) == ".md" {
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// code is a line of a code block, or what stands between backticks in running text.
type code struct {
	text  string
	block bool
}

func codeIn(markdown string) []code {
	span := regexp.MustCompile("`([^`]+)`")
	var out []code
	block := false
	for line := range strings.Lines(markdown) {
		switch {
		case strings.HasPrefix(strings.TrimSpace(line), "```"):
			block = !block
		case block:
			out = append(out, code{line, true})
		default:
			for _, m := range span.FindAllStringSubmatch(line, -1) {
				out = append(out, code{m[1], false})
			}
		}
	}
	return out
}

// commandsIn gives the arguments of each call of druppie-up in a line of a shell.
func commandsIn(line string) []string {
	line, _, _ = strings.Cut(line, " #")
	var out []string
	for _, part := range regexp.MustCompile(`\s(\||&&|;)\s|[()]`).Split(line, -1) {
		words := strings.Fields(strings.TrimPrefix(strings.TrimSpace(part), "$ "))
		if len(words) > 0 && (words[0] == "druppie-up" || words[0] == "bin/druppie-up") {
			out = append(out, strings.Join(words[1:], " "))
		}
	}
	return out
}

// parses says what is wrong with a command line, as far as that can be told without running it.
func parses(line string, whole bool) error {
	cmd, rest, err := newRootCmd(&app{}).Find(strings.Fields(line))
	if err != nil {
		return err
	}
	if err := cmd.ParseFlags(rest); err != nil {
		return err
	}
	if args := cmd.Flags().Args(); whole || len(args) > 0 {
		return cmd.ValidateArgs(args)
	}
	return nil
}
