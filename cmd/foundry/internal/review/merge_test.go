package review

import "testing"

func TestMergeTexts(t *testing.T) {
	const base = "a\nb\nc\nd\ne\n"
	for _, tt := range []struct{ name, ours, theirs, want string }{
		{"nothing", base, base, base},
		{"one side", "a\nB\nc\nd\ne\n", base, "a\nB\nc\nd\ne\n"},
		{"both sides", "a\nB\nc\nd\ne\n", "a\nb\nc\nD\ne\n", "a\nB\nc\nD\ne\n"},
		{"lines next to each other", "a\nB\nc\nd\ne\n", "a\nb\nC\nd\ne\n", "a\nB\nC\nd\ne\n"},
		{"inserted and removed", "0\na\nb\nc\nd\ne\n", "a\nb\nd\ne\n", "0\na\nb\nd\ne\n"},
		{"at the end", base + "f\n", "a\nb\nc\nd\n", "a\nb\nc\nd\nf\n"},
		{"the same on both sides", "a\nB\nc\nd\ne\n", "a\nB\nc\nd\nE\n", "a\nB\nc\nd\nE\n"},
		{"the same line", "a\n1\nc\nd\ne\n", "a\n2\nc\nd\ne\n", ""},
		{"in the same place", "a\n1\nb\nc\nd\ne\n", "a\n2\nb\nc\nd\ne\n", ""},
		{"no newline at the end", "a\nb\nc\nd\ne", "A\nb\nc\nd\ne\n", "A\nb\nc\nd\ne"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, sides := range [][2]string{{tt.ours, tt.theirs}, {tt.theirs, tt.ours}} {
				if got, ok := mergeTexts(base, sides[0], sides[1]); got != tt.want || ok != (tt.want != "") {
					t.Errorf("got %q, %v, want %q", got, ok, tt.want)
				}
			}
		})
	}
}

func FuzzMergeTexts(f *testing.F) {
	f.Add("a\nb\nc\n", "a\nB\nc\n")
	f.Add("", "x")
	f.Fuzz(func(t *testing.T, base, other string) {
		if got, ok := mergeTexts(base, base, other); !ok || got != other {
			t.Errorf("of a change by one side: %q, %v", got, ok)
		}
		if got, ok := mergeTexts(base, other, other); !ok || got != other {
			t.Errorf("of the same change by both: %q, %v", got, ok)
		}
	})
}
