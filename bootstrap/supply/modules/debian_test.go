package modules

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/druppie/druppie-up/bootstrap/supply/layer"
	"github.com/druppie/druppie-up/bootstrap/supply/sbom"
	"github.com/druppie/druppie-up/bootstrap/supply/store"
)

func TestAptSources(t *testing.T) {
	tests := []struct {
		name string
		text string
		want bool
	}{
		{name: "one line", text: "deb http://mirror.example/debian bookworm main\n", want: true},
		{name: "deb822", text: "Types: deb\nURIs: http://mirror.example/debian\nSuites: bookworm bookworm-updates\n", want: true},
		{name: "security", text: "deb http://mirror.example/debian-security bookworm-security main\n", want: true},
		{name: "somebody else's suite", text: "deb https://packages.example.com/apt tools-bookworm main\n"},
		{name: "another release", text: "deb http://mirror.example/debian trixie main\n"},
		{name: "a comment", text: "# deb http://mirror.example/debian bookworm main\n"},
		{name: "nothing"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			file := filepath.Join(dir, "sources.list.d", "some.sources")
			write(t, file, tt.text)
			var want []string
			if tt.want {
				want = []string{file}
			}
			if diff := cmp.Diff(want, aptSources(dir)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

const packages = `Package: git
Version: 1:2.39.5
Architecture: amd64
Description: fast
 more of it: not a field
SHA256: aa

Package: bash
Version: 5.2
Architecture: amd64
SHA256: bb
`

const status = `Package: git
Status: install ok installed
Architecture: amd64
Version: 1:2.39.5

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1

Package: bash
Status: install ok installed
Architecture: amd64
Version: 5.1
`

func TestInstalled(t *testing.T) {
	lists := t.TempDir()
	write(t, filepath.Join(lists, "deb.example_dists_Packages"), packages)
	write(t, filepath.Join(lists, "deb.example_dists_Release"), "Package: not\nVersion: read\n")
	hashes, err := archiveHashes(lists)
	if err != nil {
		t.Fatal(err)
	}
	l, err := layer.Write(t.TempDir(), []layer.Entry{{Path: "var/lib/dpkg/status", Data: []byte(status)}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	debs, err := installed(plain(t, l), hashes)
	if err != nil {
		t.Fatal(err)
	}
	// bash is another version than the lists have: no hash rather than a wrong one.
	want := []deb{{"bash", "5.1", "amd64", ""}, {"git", "1:2.39.5", "amd64", "aa"}}
	if diff := cmp.Diff(want, debs); diff != "" {
		t.Error(diff)
	}
}

// plain writes a layer's tar to a file.
func plain(t *testing.T, l v1.Layer) string {
	t.Helper()
	r, err := l.Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	f, err := os.Create(filepath.Join(t.TempDir(), "root.tar"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.ReadFrom(r); err != nil {
		t.Fatal(err)
	}
	return f.Name()
}

func TestMoved(t *testing.T) {
	const ref = "example.com/parts/base:1"
	s, err := store.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	was := []deb{{"bash", "5.2", "amd64", "aa"}, {"git", "2.39", "amd64", "bb"}, {"perl", "5.36", "amd64", "cc"}}
	a := &assembly{img: debianImage(ref), root: &rootfs{debs: was}}
	list, err := a.sbom()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.PutImage(sbom.Ref(ref), list, nil); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		now  []deb
		want []string
	}{
		{name: "none", now: was},
		{name: "a new version", now: []deb{was[0], {"git", "2.40", "amd64", "bc"}, was[2]}, want: []string{`git 2.40, was "2.39"`}},
		{name: "one gone, one new, one rebuilt", now: []deb{{"bash", "5.2", "amd64", "ff"}, was[1], {"zsh", "5", "amd64", "dd"}},
			want: []string{`bash 5.2, was "5.2"`, `perl gone, was "5.36"`, `zsh 5, was ""`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := replaced(s, ref, tt.now)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
