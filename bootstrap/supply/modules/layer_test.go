package modules

import (
	"archive/tar"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/druppie/druppie-up/bootstrap/component"
)

// list reads a layer back as "name mode uid link content".
func list(t *testing.T, l *fileLayer) []string {
	t.Helper()
	r, err := l.Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var out []string
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		line := os.FileMode(h.Mode).String()[1:] + " " + h.Name
		if h.Linkname != "" {
			line += " -> " + h.Linkname
		}
		out = append(out, line+string(data))
	}
}

func TestWriteLayer(t *testing.T) {
	dir := t.TempDir()
	prog := filepath.Join(dir, "prog")
	if err := os.WriteFile(prog, []byte("!"), 0o600); err != nil {
		t.Fatal(err)
	}
	entries := []entry{
		{path: "usr/bin/prog", file: prog, mode: 0o755},
		{path: "etc/a", data: []byte("=one"), mode: 0o644},
		{path: "etc/a", data: []byte("=two"), mode: 0o600},
		{path: "var/lib/x", dir: true, mode: 0o700},
		{path: "bin/sh", link: "prog"},
	}
	first, err := writeLayer(dir, entries, map[string]bool{"usr": false, "usr/bin": false})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"rwxr-xr-x bin/", "rwxrwxrwx bin/sh -> prog",
		"rwxr-xr-x etc/", "rw------- etc/a=two",
		"rwxr-xr-x usr/bin/prog!",
		"rwxr-xr-x var/", "rwxr-xr-x var/lib/", "rwx------ var/lib/x/",
	}
	if diff := cmp.Diff(want, list(t, first)); diff != "" {
		t.Error(diff)
	}

	// Another order, another time on disk: the same bytes.
	if err := os.Chtimes(prog, epoch, epoch); err != nil {
		t.Fatal(err)
	}
	other := []entry{entries[4], entries[3], entries[1], entries[2], entries[0]}
	second, err := writeLayer(dir, other, map[string]bool{"usr/bin": false, "usr": false})
	if err != nil {
		t.Fatal(err)
	}
	if first.digest != second.digest || first.diffID != second.diffID {
		t.Errorf("digests differ: %v %v", first.digest, second.digest)
	}

	// Other content: other bytes, or the comparison above says nothing.
	other[2].data = []byte("=new")
	third, err := writeLayer(dir, append(other[:3], other[4]), map[string]bool{"usr/bin": false, "usr": false})
	if err != nil {
		t.Fatal(err)
	}
	if first.digest == third.digest {
		t.Error("another content has the same digest")
	}
}

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
		{name: "never wins over keep", path: "etc/hostname", d: component.Debian{Keep: []string{"etc/hostname"}}, want: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := left(tt.path, tt.d); got != tt.want {
				t.Errorf("left(%q) = %v", tt.path, got)
			}
		})
	}
}
