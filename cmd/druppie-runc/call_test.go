package main

import (
	"strings"
	"testing"
)

func TestParseCall(t *testing.T) {
	for _, tt := range []struct {
		name, args, command, spec, log string
	}{
		{
			name:    "create by containerd",
			args:    "--root /run/docker/runtime-runc/moby --log /run/t/log.json --log-format json create --bundle /run/t --pid-file /run/t/init.pid --no-pivot 0123",
			command: "create", spec: "/run/t/config.json", log: "/run/t/log.json",
		},
		{
			name:    "exec by containerd",
			args:    "--root /run/r --log /l --log-format json exec --process /tmp/runc-process1 --detach --pid-file /p 0123",
			command: "exec", spec: "/tmp/runc-process1", log: "/l",
		},
		{name: "values behind =", args: "--log=/l --systemd-cgroup create --bundle=/b x", command: "create", spec: "/b/config.json", log: "/l"},
		{name: "short flags", args: "run -b /b x", command: "run", spec: "/b/config.json"},
		{name: "short exec", args: "exec -d -p /p x", command: "exec", spec: "/p"},
		{name: "bundle here", args: "create x", command: "create", spec: "config.json"},
		{name: "a container's own arguments", args: "exec x --process /etc/passwd", command: "exec"},
		{name: "exec by hand", args: "exec -u 0 x sh", command: "exec"},
		{name: "a root named create", args: "--root create state x", command: "state"},
		{name: "a flag's value that looks like a flag", args: "create --pid-file --bundle x", command: "create", spec: "config.json"},
		{name: "other commands", args: "--root /r kill --all x 9", command: "kill"},
		{name: "version", args: "--version"},
		{name: "nothing", args: ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := parseCall(strings.Fields(tt.args))
			if c.command != tt.command || c.spec() != tt.spec || c.log != tt.log {
				t.Errorf("command %q spec %q log %q; want %q %q %q", c.command, c.spec(), c.log, tt.command, tt.spec, tt.log)
			}
			if strings.Join(c.args, " ") != strings.Join(strings.Fields(tt.args), " ") {
				t.Errorf("arguments changed: %q", c.args)
			}
		})
	}
}
