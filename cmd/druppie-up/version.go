package main

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/druppie/druppie-up/cmd/internal/cli"
)

// revision is the commit, set by the linker (see the Makefile): the toolchain's own stamp would need a
// repository that git trusts.
var revision string

// versionInfo says which build this is.
type versionInfo struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func thisBuild() versionInfo {
	v := versionInfo{Version: "(devel)", Revision: revision, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		v.Version = info.Main.Version
	}
	return v
}

func newVersionCmd(a *app) *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Say which build of druppie-up this is",
		Example: `  druppie-up version
  druppie-up version -o json`,
		Args: cli.Args(),
		RunE: func(*cobra.Command, []string) error {
			v := thisBuild()
			return writeResult(a.Out, format, v, view{
				headers: []string{"version", "revision", "go", "platform"},
				rows:    [][]string{{v.Version, v.Revision, v.Go, v.Platform}},
			})
		},
	}
	outputFlag(cmd, &format)
	return cmd
}
