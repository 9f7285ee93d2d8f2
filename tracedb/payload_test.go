package tracedb

import "testing"

func TestClip(t *testing.T) {
	tests := []struct {
		name, give string
		n          int
		want       string
	}{
		{"short", "abc", 3, "abc"},
		{"long", "abcdef", 5, "ab…"},
		{"never within a character", "aéééé", 7, "aé…"},
		{"at a character's end", "aéééé", 8, "aéé…"},
		{"no room", "abcdef", 2, "…"},
		{"not text", "a\xffb", 10, "a�b"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := Clip(tt.give, tt.n); got != tt.want || len(got) > max(tt.n, len(tt.want)) {
				t.Errorf("Clip(%q, %d) = %q, want %q", tt.give, tt.n, got, tt.want)
			}
		})
	}
}
