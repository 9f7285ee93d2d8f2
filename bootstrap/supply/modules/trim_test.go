package modules

import (
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
		{name: "all fit", budget: 30, want: []string{"a/old", "a/older", "b/new"}},
		{name: "the oldest goes first", budget: 29, want: []string{"a/old", "b/new"}},
		{name: "the newest stays longest", budget: 10, want: []string{"b/new"}},
		{name: "nothing fits", budget: 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			now := time.Now()
			for name, age := range map[string]time.Duration{"b/new": 0, "a/old": time.Hour, "a/older": 2 * time.Hour} {
				writeFile(t, filepath.Join(dir, name), 10, now.Add(-age))
			}
			if err := trimOldest(dir, tt.budget); err != nil {
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

func TestTrimKeepsCompiledPackagesLongest(t *testing.T) {
	tests := []struct {
		name     string
		budget   int64
		mod, obj bool
	}{
		{name: "within the budget", budget: 100, mod: true, obj: true},
		{name: "modules go first", budget: 60, obj: true},
		{name: "then packages", budget: 10},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			mod, obj := filepath.Join(dir, "mod/x@v1/x.go"), filepath.Join(dir, "go/00/a-d")
			writeFile(t, mod, 50, time.Now())
			writeFile(t, obj, 50, time.Now())
			if err := New(Options{CacheDir: dir}).trim(tt.budget); err != nil {
				t.Fatal(err)
			}
			if got := exists(mod); got != tt.mod {
				t.Errorf("module there: %v", got)
			}
			if got := exists(obj); got != tt.obj {
				t.Errorf("package there: %v", got)
			}
		})
	}
}

func writeFile(t *testing.T, name string, size int, at time.Time) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, make([]byte, size), 0o644); err != nil {
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
