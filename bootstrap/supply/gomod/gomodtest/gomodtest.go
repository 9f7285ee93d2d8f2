// Package gomodtest serves Go modules, and a checksum database that vouches for them, to tests. It refuses to
// be of use outside of tests: it wants a testing.TB.
package gomodtest

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb"
	"golang.org/x/mod/sumdb/dirhash"
	"golang.org/x/mod/sumdb/note"
	modzip "golang.org/x/mod/zip"
)

// Serve makes one module the only one that the go command finds, and returns the checksum database that
// vouches for it, as GOSUMDB writes it.
func Serve(t testing.TB, mod module.Version, files map[string]string) string {
	t.Helper()
	src, dir := t.TempDir(), t.TempDir()
	for name, text := range files {
		write(t, filepath.Join(src, name), text)
	}
	base := filepath.Join(dir, filepath.FromSlash(mod.Path), "@v", mod.Version)
	write(t, filepath.Join(filepath.Dir(base), "list"), mod.Version+"\n")
	write(t, base+".info", `{"Version":"`+mod.Version+`"}`)
	write(t, base+".mod", files["go.mod"])
	f, err := os.Create(base + ".zip")
	must(t, err)
	must(t, modzip.CreateFromDir(f, mod, src))
	must(t, f.Close())
	zipHash, err := dirhash.HashZip(base+".zip", dirhash.Hash1)
	must(t, err)
	modHash, err := dirhash.HashDir(onlyGoMod(t, files["go.mod"]), "", dirhash.Hash1)
	must(t, err)

	signer, verifier, err := note.GenerateKey(nil, "sum.test")
	must(t, err)
	database := sumdb.NewServer(sumdb.NewTestServer(signer, func(path, version string) ([]byte, error) {
		if path != mod.Path || version != mod.Version {
			return nil, os.ErrNotExist
		}
		name := path + " " + version
		return []byte(name + " " + zipHash + "\n" + name + "/go.mod " + modHash + "\n"), nil
	}))
	mux := http.NewServeMux()
	for _, p := range sumdb.ServerPaths {
		mux.Handle(p, database)
	}
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	t.Setenv("GOPROXY", "file://"+dir)
	t.Setenv("GOPATH", t.TempDir()) // where the go command keeps what it knows of databases
	return verifier + " " + server.URL
}

func onlyGoMod(t testing.TB, text string) string {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "go.mod"), text)
	return dir
}

func write(t testing.TB, name, text string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(name), 0o755))
	must(t, os.WriteFile(name, []byte(strings.TrimLeft(text, "\n")), 0o644))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
