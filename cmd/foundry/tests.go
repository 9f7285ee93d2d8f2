package main

import (
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/druppie/druppie-up/cmd/internal/cli"
	"github.com/druppie/druppie-up/internal/ui"
)

func newTestsCmd() *cobra.Command {
	var found, ran, passed string
	cmd := &cobra.Command{
		Use:     "tests",
		Short:   "Hold what the tests say of themselves against the tests that the source has",
		Args:    cli.Args(),
		PreRunE: checkRequired,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkTests(found, ran, passed); err != nil {
				return err
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s tests passed, by the service's own account, of the %s that its source has\n", passed, found)
			return err
		},
	}
	cmd.Flags().SortFlags = false
	require(cmd, &found, "found", "how many tests the source has, counted without running any of it")
	require(cmd, &ran, "ran", "how many ran, as they say")
	require(cmd, &passed, "passed", "how many of these passed, as they say")
	return cmd
}

// checkTests refuses a claim that can't be true. Tests run in one process with what they test, which can say anything;
// what it can't do is say more, or less, than the source has.
func checkTests(found, ran, passed string) error {
	var n [3]int
	for i, text := range []string{found, ran, passed} {
		var err error
		if n[i], err = strconv.Atoi(text); err != nil || n[i] < 0 {
			return ui.Usage(fmt.Errorf("%q is no number of tests", text))
		}
	}
	if n[0] != n[1] {
		return ui.WithHint(fmt.Errorf("the source has %d tests, and %d are said to have run", n[0], n[1]),
			"each test is a method test… of a class in a file tests/test*.py: what is inherited, made while it runs, or left out with a whole class isn't counted")
	}
	if n[2] < 1 || n[2] > n[1] {
		return ui.WithHint(fmt.Errorf("of %d tests %d are said to have passed", n[1], n[2]), "at least one must run and pass: tests that are left out prove nothing")
	}
	return nil
}
