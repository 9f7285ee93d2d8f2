package main

import (
	"strings"
	"testing"
)

func TestCheckTests(t *testing.T) {
	tests := []struct{ name, found, ran, passed, wantErr string }{
		{"all passed", "36", "36", "36", ""},
		{"some left out", "36", "36", "30", ""},
		{"more than there are", "36", "999999", "999999", "the source has 36 tests, and 999999 are said to have run"},
		{"fewer than there are", "36", "1", "1", "the source has 36 tests, and 1 are said to have run"},
		{"more passed than ran", "36", "36", "37", "of 36 tests 37"},
		{"none passed", "36", "36", "0", "of 36 tests 0"},
		{"none at all", "0", "0", "0", "of 0 tests 0"},
		{"something else said", "36", "36", "all good", "is no number of tests"},
		{"a number below none", "-1", "-1", "1", "is no number of tests"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := checkTests(tt.found, tt.ran, tt.passed)
			if (err == nil) != (tt.wantErr == "") || err != nil && !strings.Contains(err.Error(), tt.wantErr) {
				t.Errorf("checkTests: %v, want %q", err, tt.wantErr)
			}
		})
	}
}
