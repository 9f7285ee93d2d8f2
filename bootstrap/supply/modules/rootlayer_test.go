package modules

import (
	"testing"

	"github.com/druppie/druppie-up/bootstrap/component"
)

func TestLeft(t *testing.T) {
	tests := []struct {
		name string
		path string
		d    component.Debian
		want bool
	}{
		{name: "a program", path: "usr/bin/git"},
		{name: "this machine's resolver", path: "etc/resolv.conf", want: true},
		{name: "this machine's sources", path: "etc/apt/sources.list.d/0000debian.sources", want: true},
		{name: "a device", path: "dev/null", want: true},
		{name: "the folder of devices", path: "dev"},
		{name: "a log", path: "var/log/apt/history.log", want: true},
		{name: "a manual", path: "usr/share/man/man1/git.1.gz", want: true},
		{name: "a licence", path: "usr/share/doc/git/copyright"},
		{name: "a changelog", path: "usr/share/doc/git/changelog.gz", want: true},
		{name: "removed", path: "etc/systemd/system/a.wants/b", d: component.Debian{Remove: []string{"etc/systemd/system/*.wants/*"}}, want: true},
		{name: "not removed", path: "etc/systemd/system/a.service", d: component.Debian{Remove: []string{"etc/systemd/system/*.wants/*"}}},
		{name: "kept", path: "usr/lib/x86_64-linux-gnu/xtables/libxt_a.so", d: component.Debian{Keep: []string{"usr/lib/*-linux-gnu/xtables/*"}}},
		{name: "not kept", path: "usr/bin/perl", d: component.Debian{Keep: []string{"usr/bin/git"}}, want: true},
		{name: "always excluded wins over keep", path: "etc/hostname", d: component.Debian{Keep: []string{"etc/hostname"}}, want: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := excluded(tt.path, tt.d); got != tt.want {
				t.Errorf("excluded(%q) = %v", tt.path, got)
			}
		})
	}
}
