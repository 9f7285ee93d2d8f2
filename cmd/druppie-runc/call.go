package main

import (
	"path/filepath"
	"strings"
)

// call is a command line of runc, as far as it matters here.
type call struct {
	args    []string // all of them, handed on as they came
	log     string   // --log
	command string   // create, exec, ...
	bundle  string   // --bundle of create, run and restore
	process string   // --process of exec
}

// Flags of runc that take their value from the next argument; all others are
// switches, or have their value behind a "=".
var (
	globalValues  = map[string]bool{"root": true, "log": true, "log-format": true, "criu": true, "rootless": true}
	commandValues = map[string]bool{
		"bundle": true, "b": true, "process": true, "p": true,
		"pid-file": true, "console-socket": true, "preserve-fds": true, "cwd": true, "env": true, "e": true,
		"user": true, "u": true, "additional-gids": true, "g": true, "cap": true, "c": true, "cgroup": true,
		"apparmor": true, "process-label": true, "pidfd-socket": true,
		"image-path": true, "work-path": true, "manage-cgroups-mode": true, "empty-ns": true, "lsm-profile": true, "lsm-mount-context": true,
	}
)

// parseCall reads the arguments up to the container's name: what follows it
// is the container's own command line.
func parseCall(args []string) call {
	c := call{args: args}
	values := globalValues
	for i := 0; i < len(args); i++ {
		a := args[i]
		if a == "--" {
			return c
		}
		if !strings.HasPrefix(a, "-") || a == "-" {
			if c.command != "" {
				return c
			}
			c.command, values = a, commandValues
			continue
		}
		name, value, inline := strings.Cut(strings.TrimLeft(a, "-"), "=")
		if !inline && values[name] && i+1 < len(args) {
			i++
			value = args[i]
		}
		switch {
		case c.command == "" && name == "log":
			c.log = value
		case c.command != "" && c.command != "exec" && (name == "bundle" || name == "b"):
			c.bundle = value
		case c.command == "exec" && (name == "process" || name == "p"):
			c.process = value
		}
	}
	return c
}

// spec returns the file that the call takes a process from, "" if it starts
// none or takes none from a file.
func (c call) spec() string {
	switch c.command {
	case "create", "run", "restore":
		return filepath.Join(c.bundle, "config.json")
	case "exec":
		return c.process
	}
	return ""
}
