package register

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// FuzzValidate sees that whatever a file holds, its violations are told with their places, and that a
// valid document stays what it is on its way through JSON and into the delivery API.
func FuzzValidate(f *testing.F) {
	for _, name := range []string{"testdata/full.yaml", "testdata/broken.yaml", "../../scenarios/drone-service/algorithm.yaml"} {
		raw, err := os.ReadFile(filepath.FromSlash(name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	for _, s := range []string{"", "~", "{}", "[]", "a: &a [*a]", "? [a]\n: b", "--- x\n--- y", "<<: {id: x}", "!!binary eA==",
		small + "eu_database: {a: .nan, b: 2026-01-01, c: 0x1F, d: 1e999, e: [~, true, {f: g}], ? 1 : 2}\n",
		small + "data: [{uri: a, sha256: b}, {uri: a}, 1, ~, *x]\n",
		small + "eu_database: {\u3164: \u00ad}\n", small + "\u3164: x\n",
		strings.ReplaceAll(small, "\n", "\r\n"), "\ufeff" + small, "\xff\xfei\x00d\x00", strings.Repeat("[", 20000), small + "eu_database: {a: " + strings.Repeat("[", 9000) + strings.Repeat("]", 9000) + "}\n", "%YAML 1.1\n---\n" + small + "...\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		d, violations := Validate(data)
		if len(violations) > maxListed+1 {
			t.Errorf("%d violations", len(violations))
		}
		lines := strings.Count(string(data), "\n") + strings.Count(string(data), "\r") + strings.Count(string(data), "\u0085") + strings.Count(string(data), "\u2028") + strings.Count(string(data), "\u2029") + 2
		for _, v := range violations {
			if v.Line < 1 || v.Line > lines || v.Column < 1 || dutch[v.Rule] == "" || v.Message == "" || v.Remedy == "" {
				t.Errorf("says too little, or of no place: %#v", v)
			}
			for _, said := range []string{v.String(), v.Dutch()} {
				if c, bad := hidden(said, ""); bad {
					t.Errorf("says %U: %q", c, said)
				}
			}
		}
		raw, err := json.Marshal(d)
		if err != nil {
			t.Fatalf("can't be stored: %v", err)
		}
		d.MayRun()
		if len(violations) > 0 {
			return
		}
		var back Document
		if err := json.Unmarshal(raw, &back); err != nil {
			t.Fatal(err)
		}
		body, err := Deliver(d)
		if err != nil {
			t.Fatalf("valid, but: %v", err)
		}
		again, err := Deliver(back)
		if err != nil {
			t.Fatalf("valid, but not from the store: %v", err)
		}
		if diff := cmp.Diff(string(body), string(again)); diff != "" {
			t.Errorf("changed in the store: %s", diff)
		}
	})
}
