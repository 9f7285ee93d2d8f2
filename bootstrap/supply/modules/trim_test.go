package modules

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestTrimOldest(t *testing.T) {
	tests := []struct {
		name   string
		budget int64
		want   []string
	}{
		{name: "all fit", budget: 3 * block, want: []string{"a/old", "a/older", "b/new"}},
		{name: "the oldest goes first", budget: 3*block - 1, want: []string{"a/old", "b/new"}},
		{name: "the newest stays longest", budget: block, want: []string{"b/new"}},
		{name: "nothing fits", budget: 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			now := time.Now()
			for name, age := range map[string]time.Duration{"b/new": 0, "a/old": time.Hour, "a/older": 2 * time.Hour} {
				writeFile(t, filepath.Join(dir, name), block, now.Add(-age))
			}
			if err := trimOldest(dir, func(int64) int64 { return tt.budget }); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, name := range []string{"a/old", "a/older", "b/new"} {
				if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
					got = append(got, name)
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestTrimPeak(t *testing.T) {
	tests := []struct {
		name          string
		peak          int64
		mod, old, new bool
	}{
		{name: "within the budget", peak: 4 * block, mod: true, old: true, new: true},
		{name: "what was compiled first goes first", peak: 3 * block, mod: true, new: true},
		{name: "then modules", peak: block, new: false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			b := New(Options{CacheDir: dir, Peak: tt.peak})
			files := cacheFiles(t, dir)
			if err := b.trimPeak(); err != nil {
				t.Fatal(err)
			}
			got := []bool{exists(files[0]), exists(files[1]), exists(files[2])}
			if diff := cmp.Diff([]bool{tt.mod, tt.old, tt.new}, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestTrimRest(t *testing.T) {
	tests := []struct {
		name          string
		rest          int64
		mod, old, new bool
	}{
		{name: "within the budget", rest: 4 * block, mod: true, old: true, new: true},
		{name: "modules go first", rest: 3 * block, old: true, new: true},
		{name: "then what was compiled first", rest: block, new: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			files := cacheFiles(t, dir)
			if err := New(Options{CacheDir: dir, Rest: tt.rest}).trimRest(); err != nil {
				t.Fatal(err)
			}
			got := []bool{exists(files[0]), exists(files[1]), exists(files[2])}
			if diff := cmp.Diff([]bool{tt.mod, tt.old, tt.new}, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// block is a multiple of what any file system allocates at once.
const block = 1 << 16

// cacheFiles makes a module of two blocks and two compiled packages of one.
func cacheFiles(t *testing.T, dir string) []string {
	t.Helper()
	files := []string{filepath.Join(dir, "mod/x@v1/x.go"), filepath.Join(dir, "go/00/a-d"), filepath.Join(dir, "go/01/b-d")}
	writeFile(t, files[0], 2*block, time.Now())
	writeFile(t, files[1], block, time.Now().Add(-time.Hour))
	writeFile(t, files[2], block, time.Now())
	return files
}

func writeFile(t *testing.T, name string, size int, at time.Time) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, bytes.Repeat([]byte{1}, size), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(name, at, at); err != nil {
		t.Fatal(err)
	}
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}
