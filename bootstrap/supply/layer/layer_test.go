package layer

import (
	"archive/tar"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// list reads a layer back as "name mode uid link content".
func list(t *testing.T, l v1.Layer) []string {
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

// hashes are the layer's digest and that of its uncompressed form.
func hashes(t *testing.T, l v1.Layer) [2]v1.Hash {
	t.Helper()
	digest, err := l.Digest()
	if err != nil {
		t.Fatal(err)
	}
	diffID, err := l.DiffID()
	if err != nil {
		t.Fatal(err)
	}
	return [2]v1.Hash{digest, diffID}
}

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	prog := filepath.Join(dir, "prog")
	if err := os.WriteFile(prog, []byte("!"), 0o600); err != nil {
		t.Fatal(err)
	}
	entries := []Entry{
		{Path: "usr/bin/prog", File: prog, Mode: 0o755},
		{Path: "etc/a", Data: []byte("=one"), Mode: 0o644},
		{Path: "etc/a", Data: []byte("=two"), Mode: 0o600},
		{Path: "var/lib/x", Dir: true, Mode: 0o700},
		{Path: "bin/sh", Link: "prog"},
	}
	first, err := Write(dir, entries, map[string]bool{"usr": false, "usr/bin": false})
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
	if err := os.Chtimes(prog, Epoch, Epoch); err != nil {
		t.Fatal(err)
	}
	other := []Entry{entries[4], entries[3], entries[1], entries[2], entries[0]}
	second, err := Write(dir, other, map[string]bool{"usr/bin": false, "usr": false})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(hashes(t, first), hashes(t, second)); diff != "" {
		t.Errorf("digests differ: %s", diff)
	}

	// Other content: other bytes, or the comparison above says nothing.
	other[2].Data = []byte("=new")
	third, err := Write(dir, append(other[:3], other[4]), map[string]bool{"usr/bin": false, "usr": false})
	if err != nil {
		t.Fatal(err)
	}
	if hashes(t, first)[0] == hashes(t, third)[0] {
		t.Error("another content has the same digest")
	}
}
