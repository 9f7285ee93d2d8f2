package modules

import (
	"context"
	"os"
	"slices"
	"strings"

	"github.com/druppie/druppie-up/internal/command"
)

// tool runs a program that a build needs, in dir, with set at the end of its environment.
func (b *Builder) tool(ctx context.Context, dir string, set []string, name string, args ...string) ([]byte, error) {
	return command.Command{Name: name, Args: args, Dir: dir, Env: append(environ(), set...), Stderr: b.opt.Log}.Output(ctx)
}

// goTool runs the go command in dir, with caches of our own and for the machine that images are built for.
// Dependencies are looked up in the module's go.mod as edited; what its go.sum lacks is verified by the checksum
// database.
func (b *Builder) goTool(ctx context.Context, dir string, cgo bool, args ...string) ([]byte, error) {
	enabled := "0"
	if cgo {
		enabled = "1"
	}
	return b.opt.Go.Run(ctx, dir, []string{
		"GOCACHE=" + b.path("go"), "GOFLAGS=-trimpath -buildvcs=false -modcacherw -mod=mod",
		"GOOS=linux", "GOARCH=" + arch, "CGO_ENABLED=" + enabled,
	}, args...)
}

// environ is the caller's environment without the variables that change what compilers make.
func environ() []string {
	drop := []string{"LD_LIBRARY_PATH", "LD_PRELOAD", "CPATH", "C_INCLUDE_PATH", "LIBRARY_PATH"}
	return slices.DeleteFunc(os.Environ(), func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		return slices.Contains(drop, name)
	})
}
