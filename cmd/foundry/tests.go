package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/druppie/druppie-up/cmd/internal/cli"
	"github.com/druppie/druppie-up/internal/ui"
)

func newTestsCmd() *cobra.Command {
	var found, ran, result string
	cmd := &cobra.Command{
		Use:     "tests",
		Short:   "Hold the tests that ran against those that the source has",
		Args:    cli.Args(),
		PreRunE: checkRequired,
		RunE: func(cmd *cobra.Command, _ []string) error {
			passed, err := countTests(found, ran)
			if err != nil {
				return err
			}
			if err := writeResult(result, strconv.Itoa(passed)); err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%d tests passed, by the service's own account; its source has as many\n", passed)
			return err
		},
	}
	cmd.Flags().SortFlags = false
	require(cmd, &found, "found", "file with the number of tests that the source has, counted without running any of it")
	require(cmd, &ran, "ran", "file with what the tests say of themselves: how many ran, and how many of these passed")
	require(cmd, &result, "result", "file to write the number to")
	return cmd
}

// maxCount is the most bytes of a file with numbers: what ran may write any file.
const maxCount = 64

// countTests is how many tests passed. They say so themselves, and code that runs in the same process can say anything;
// what it can't do is say more, or less, than the source has.
func countTests(found, ran string) (passed int, err error) {
	want, err := numbers(found, 1)
	if err != nil {
		return 0, fmt.Errorf("count the tests of the source: %w", err)
	}
	got, err := numbers(ran, 2)
	if err != nil {
		return 0, ui.WithHint(fmt.Errorf("the tests ended without saying how: %w", err), "something in tests/ ends the program before all tests have run, or writes where the platform does")
	}
	if got[0] != want[0] {
		return 0, ui.WithHint(fmt.Errorf("tests/ has %d tests, and %d ran", want[0], got[0]),
			"each test is a method test… of a class in a file tests/test*.py: what is inherited, made while it runs, or left out with a whole class isn't counted")
	}
	if got[1] < 1 || got[1] > got[0] {
		return 0, ui.WithHint(fmt.Errorf("of %d tests %d passed", got[0], got[1]), "at least one test must run and pass: tests that are left out prove nothing")
	}
	return got[1], nil
}

// numbers reads a file that holds so many numbers and nothing else.
func numbers(name string, n int) ([]int, error) {
	info, err := os.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxCount {
		return nil, fmt.Errorf("%s isn't a small file", name)
	}
	raw, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	words := strings.Fields(string(raw))
	if len(words) != n {
		return nil, fmt.Errorf("%s doesn't hold %d numbers", name, n)
	}
	out := make([]int, n)
	for i, w := range words {
		if out[i], err = strconv.Atoi(w); err != nil || out[i] < 0 {
			return nil, fmt.Errorf("%s holds %q, which is no number of tests", name, w)
		}
	}
	return out, nil
}
