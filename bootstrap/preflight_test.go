package bootstrap

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/empty"

	"github.com/druppie/druppie-up/bootstrap/component"
	"github.com/druppie/druppie-up/bootstrap/supply/store"
)

// TestPreflightAsksTheMirror: with a mirror in reach it doesn't matter whether
// upstream is.
func TestPreflightAsksTheMirror(t *testing.T) {
	mirror := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {}))
	t.Cleanup(mirror.Close)
	o, err := Options{StoreDir: t.TempDir(), RegistryMirror: strings.TrimPrefix(mirror.URL, "http://")}.Complete()
	if err != nil {
		t.Fatal(err)
	}
	needs, err := HostOptions(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := needs.Registry(t.Context()); err != nil {
		t.Errorf("the mirror answers, and still: %v", err)
	}
	mirror.Close()
	if err := needs.Registry(t.Context()); err == nil || !strings.Contains(err.Error(), o.RegistryMirror) {
		t.Errorf("err = %v, want one that names the mirror, which is gone", err)
	}
}

// TestPreflightLooksIntoTheStore that will be used, whatever its folder is
// called, and makes none.
func TestPreflightLooksIntoTheStore(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "images")
	o, err := Options{StoreDir: dir}.Complete()
	if err != nil {
		t.Fatal(err)
	}
	full := func() bool {
		t.Helper()
		needs, err := HostOptions(o)
		if err != nil {
			t.Fatal(err)
		}
		if needs.StoreDir != dir {
			t.Errorf("looks into %s, not into %s", needs.StoreDir, dir)
		}
		return needs.StoreFull
	}
	if full() {
		t.Error("a store that isn't there counts as full")
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("looking has made the store")
	}
	s, err := store.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	comps, err := loadComponents()
	if err != nil {
		t.Fatal(err)
	}
	refs := images(comps, true, component.Stages()...)
	for i, ref := range refs {
		if i == len(refs)-1 && full() {
			t.Error("a store without its last image counts as full")
		}
		if _, err := s.PutImage(ref, empty.Image, nil); err != nil {
			t.Fatal(err)
		}
	}
	if !full() {
		t.Error("a store with every image doesn't count as full")
	}
}
