// Package gomod calls the go command so that every module is verified against Go's checksum database and
// nothing of this machine's settings changes what is built: of them only those count that say where the module
// proxy is and where files lie. It refuses modules that the checksum database doesn't vouch for.
package gomod

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/druppie/druppie-up/internal/command"
	"github.com/druppie/druppie-up/internal/ui"
)

// Go is how the go command is called.
type Go struct {
	// Toolchain is the Go toolchain by name; the installed one when left out.
	Toolchain string
	// ModCache is the module cache, an absolute path.
	ModCache string
	// Database is another checksum database, written as for GOSUMDB.
	Database string
}

// Module is a module in the module cache.
type Module struct {
	Dir string // its files, not to be changed
	Zip string // its archive
}

// Run calls the go command in dir, or away from any go.mod when dir is empty; set comes last in its environment.
func (g Go) Run(ctx context.Context, dir string, set []string, args ...string) ([]byte, error) {
	env, err := g.Environ(ctx, set...)
	if err != nil {
		return nil, err
	}
	if dir == "" {
		dir = "/"
	}
	return command.Command{Name: "go", Args: args, Dir: dir, Env: env}.Output(ctx)
}

// ignored change results too, and are no settings of today's Go.
var ignored = []string{"GONOSUMCHECK", "LD_LIBRARY_PATH", "LD_PRELOAD"}

// Environ is this process's environment for a call of the go command, with set at its end.
//
// Everything that the go command knows as a setting is taken out, and its file of settings is switched off:
// GOSUMDB=off, GONOSUMDB, GOPRIVATE, GOINSECURE and flags count from there too, and an empty variable wouldn't
// override it.
func (g Go) Environ(ctx context.Context, set ...string) ([]string, error) {
	settings, err := settings(ctx)
	if err != nil {
		return nil, err
	}
	env := slices.DeleteFunc(os.Environ(), func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		_, known := settings[name]
		return known || slices.Contains(ignored, name)
	})
	database := g.Database
	if database == "" {
		if database, err = trusted(ctx, env, settings["GOSUMDB"]); err != nil {
			return nil, err
		}
	}
	env = append(env, "GOENV=off", "GOSUMDB="+database, "GOPROXY="+settings["GOPROXY"], "GO111MODULE=on", "GOWORK=off",
		"GOFLAGS=-modcacherw", "GOMODCACHE="+g.ModCache)
	if g.Toolchain != "" {
		env = append(env, "GOTOOLCHAIN="+g.Toolchain)
	}
	for _, name := range []string{"GOAUTH", "GOPATH", "GOTMPDIR"} {
		if settings[name] != "" {
			env = append(env, name+"="+settings[name])
		}
	}
	return append(env, set...), nil
}

// settings are the go command's on this machine, from the environment and from its file.
func settings(ctx context.Context) (map[string]string, error) {
	out, err := command.Command{Name: "go", Args: []string{"env", "-json"}, Dir: "/"}.Output(ctx)
	if err != nil {
		return nil, err
	}
	var settings map[string]string
	if err := json.Unmarshal(out, &settings); err != nil {
		return nil, fmt.Errorf("go env: %w", err)
	}
	return settings, nil
}

// ErrNoDatabase is the refusal to take modules that nothing vouches for.
var ErrNoDatabase = errors.New("this Go knows no checksum database")

// trusted keeps a GOSUMDB without a key in it, also one that says where else the database answers: the go
// command takes only those whose key is built in. For any other it is the toolchain's own default; env holds
// none of the go command's settings.
func trusted(ctx context.Context, env []string, database string) (string, error) {
	if named(database) {
		return database, nil
	}
	env = append(slices.Clone(env), "GOENV=off")
	out, err := command.Command{Name: "go", Args: []string{"env", "GOSUMDB"}, Dir: "/", Env: env}.Output(ctx)
	if err != nil {
		return "", err
	}
	if own := strings.TrimSpace(string(out)); named(own) {
		return own, nil
	}
	return "", ui.WithHint(ErrNoDatabase, "its own file go.env, in the folder that `go env GOROOT` prints, switches GOSUMDB off: take that line out, or install Go as its makers ship it")
}

// named says whether a GOSUMDB names a database and leaves its key to the go command.
func named(database string) bool {
	name, _, _ := strings.Cut(strings.TrimSpace(database), " ")
	return name != "" && name != "off" && !strings.Contains(name, "+")
}
