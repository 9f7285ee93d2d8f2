package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCountTests(t *testing.T) {
	tests := []struct {
		name, found, ran string
		want             int
		wantErr          string
	}{
		{"all passed", "36\n", "36 36", 36, ""},
		{"some left out", "36", "36 30", 30, ""},
		{"more than there are", "36", "999999 999999", 0, "tests/ has 36 tests, and 999999 ran"},
		{"fewer than there are", "36", "1 1", 0, "tests/ has 36 tests, and 1 ran"},
		{"more passed than ran", "36", "36 37", 0, "of 36 tests 37 passed"},
		{"none passed", "36", "36 0", 0, "of 36 tests 0 passed"},
		{"none at all", "0", "0 0", 0, "of 0 tests 0 passed"},
		{"nothing said", "36", "", 0, "ended without saying how"},
		{"something else said", "36", "all good", 0, "ended without saying how"},
		{"a number below none", "36", "36 -1", 0, "ended without saying how"},
		{"a book", "36", strings.Repeat("36 ", 40), 0, "isn't a small file"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			got, err := countTests(write(t, dir, "found", tt.found), write(t, dir, "ran", tt.ran))
			if got != tt.want || (err == nil) != (tt.wantErr == "") || err != nil && !strings.Contains(err.Error(), tt.wantErr) {
				t.Errorf("countTests = %d, %v", got, err)
			}
		})
	}
}

// TestCountTestsElsewhere follows no link that what ran made.
func TestCountTestsElsewhere(t *testing.T) {
	dir := t.TempDir()
	elsewhere := write(t, dir, "elsewhere", "36 36")
	link := filepath.Join(dir, "ran")
	if err := os.Symlink(elsewhere, link); err != nil {
		t.Fatal(err)
	}
	if _, err := countTests(write(t, dir, "found", "36"), link); err == nil {
		t.Error("read what a link leads to")
	}
	if _, err := countTests(filepath.Join(dir, "missing"), elsewhere); err == nil {
		t.Error("counted without what the source has")
	}
}

// TestWriteResult takes away what tests left in the result's place, and leaves alone what that leads to.
func TestWriteResult(t *testing.T) {
	dir := t.TempDir()
	elsewhere := write(t, dir, "elsewhere", "mine")
	link := filepath.Join(dir, "result")
	if err := os.Symlink(elsewhere, link); err != nil {
		t.Fatal(err)
	}
	if err := writeResult(link, "36"); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{link: "36", elsewhere: "mine"} {
		if got, err := os.ReadFile(name); err != nil || string(got) != want {
			t.Errorf("%s holds %q (%v), want %q", name, got, err, want)
		}
	}
}
