package register

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestShapes(t *testing.T) {
	tests := []struct {
		name  string
		shape *shape
		fine  []string
		wrong []string
	}{
		{"id", shapeID, []string{"alg-00000000", "alg-zzzzzzzz"}, []string{"alg-0000000", "alg-000000000", "alg-é0000000", "xalg-00000000", "alg-00000000\n"}},
		{"month", shapeMonth, []string{"2026-01", "1999-12"}, []string{"2026-00", "2026-13", "2026-1", "26-01", "2026-01-01"}},
		{"lars", shapeLars, []string{"12345670"}, []string{"1234567", "1234567a"}},
		{"requirement", shapeRequirement, []string{"urn:nl:ak:ver:aia-05"}, []string{"urn:nl:ak:mtr:imp-04", "URN:nl:ak:ver:aia-05", "urn:nl:ak:ver:aia"}},
		{"measure", shapeMeasure, []string{"urn:nl:ak:mtr:imp-04"}, []string{"urn:nl:ak:ver:aia-05", "urn:nl:ak:mtr:imp-"}},
		{"email", shapeEmail, []string{"a@b.example", "a+b@c.example"}, []string{"a", "@b.example", "A <a@b.example>", "a@b.example, c@d.example", "a@b.example (c)", " a@b.example"}},
		{"contact", shapeContact, []string{"a@b.example", "https://b.example/contact"}, []string{"http://b.example/contact", "b.example"}},
		{"link", shapeLink, []string{"https://b.example", "http://b.example/a?b#c", "https://b.example:8443/"}, []string{
			"https://", "https:b.example", "//b.example", "ftp://b.example", "javascript:alert(1)", "https://b.example/a b", "https://user:word@b.example/", "https://user@b.example/"}},
		{"secure link", shapeSecureLink, []string{"https://b.example"}, []string{"http://b.example"}},
		{"uri", shapeURI, []string{"a", "a/b.csv", "a b", "a%20b", "dvc://x/y", "s3://x", "HTTPS://x/y", "git+ssh://x/y", "urn:x:y", "doi:10.5281/1"}, []string{
			"", ".", "..", "../a", "a/../b", "a//b", "/a", "./a", `a\b`, "c:/a", "a:", "file:///a", "FILE:a", "https://x/a b",
			"https://u:p@x/y", "dvc://u@x/y", "javascript:alert(1)", "javascript://x/%0aalert(1)", "data:text/html,x", "vbscript:x", "dvc:x", "https:///x", "urn:", "git@x:y/z"}},
		{"sha256", shapeSHA256, []string{"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}, []string{
			"E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855", "sha256:e3b0", "e3b0"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, s := range tt.fine {
				if !tt.shape.ok(s) {
					t.Errorf("refuses %q", s)
				}
			}
			for _, s := range tt.wrong {
				if tt.shape.ok(s) {
					t.Errorf("takes %q", s)
				}
			}
		})
	}
}

// TestHidden holds what nobody sees, also where nothing else is, and what people write.
func TestHidden(t *testing.T) {
	for _, c := range "\x00\x1b\u0085\u00ad\u034f\u061c\u115f\u180e\u200b\u200d\u200e\u200f\u2028\u2029\u202e\u2060\u2066\u2800\u3164\ufeff\uffa0\ufffd\U000e0041" {
		if got, bad := hidden("a"+string(c)+"b", lines); !bad || got != c {
			t.Errorf("passes %U", c)
		}
	}
	for _, s := range []string{"ë\u0301 — ‘x’ €", "日本 한국 עברית", "✔\ufe0f", "a\u00a0b", "a\n\tb\r\n"} {
		if c, bad := hidden(s, lines); bad {
			t.Errorf("finds %U in %q", c, s)
		}
	}
}

// TestFreeValues sees that what no table names is read as what JSON can say.
func TestFreeValues(t *testing.T) {
	d, violations := Validate([]byte(small + `eu_database:
  day: 2026-01-02
  count: 0x1F
  share: 0.5
  yes: true
  none: ~
  1: one
  list: [a, 2, {b: c}]
`))
	if len(violations) > 0 {
		t.Fatal(violations)
	}
	want := map[string]any{"day": "2026-01-02", "count": 31, "share": 0.5, "yes": true, "none": nil, "1": "one",
		"list": []any{"a", 2, map[string]any{"b": "c"}}}
	if diff := cmp.Diff(want, d.EUDatabase); diff != "" {
		t.Error(diff)
	}
}
