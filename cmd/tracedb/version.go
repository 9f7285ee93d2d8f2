package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/druppie/druppie-up/cmd/internal/cli"
)

func newVersionCmd() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Say which build of tracedb this is",
		Example: "  tracedb version",
		Args:    cli.Args(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			version := "(devel)"
			if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
				version = info.Main.Version
			}
			_, err := fmt.Fprintln(cmd.OutOrStdout(), "tracedb", version, runtime.Version(), runtime.GOOS+"/"+runtime.GOARCH)
			return err
		},
	}
}
