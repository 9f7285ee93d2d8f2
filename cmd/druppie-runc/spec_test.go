package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

// limited is a host without CAP_SYS_RESOURCE, as sandboxes are.
var limited = host{
	missing:  []string{"CAP_SYS_RESOURCE"},
	oomScore: 0,
	limits:   map[string]uint64{"RLIMIT_NOFILE": 20000, "RLIMIT_CORE": 1 << 40},
}

// unlimited is a host that can give everything.
var unlimited = host{limits: map[string]uint64{"RLIMIT_NOFILE": 20000}}

func TestNarrowGolden(t *testing.T) {
	for _, tt := range []struct {
		name   string
		bundle bool
		host   host
		same   bool
	}{
		{name: "privileged", bundle: true, host: limited},
		{name: "exec", host: limited},
		// The controls: a host that lacks nothing gets what came.
		{name: "privileged", bundle: true, host: unlimited, same: true},
		{name: "exec", host: unlimited, same: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in, err := os.ReadFile(filepath.Join("testdata", tt.name+".in.json"))
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(t.TempDir(), "config.json")
			if err := os.WriteFile(path, in, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := narrowFile(path, tt.bundle, tt.host); err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if tt.same {
				if !bytes.Equal(got, in) {
					t.Errorf("changed for a host that lacks nothing: %s", got)
				}
				return
			}
			if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
				t.Errorf("mode = %v, %v; want it kept", st.Mode(), err)
			}
			golden(t, filepath.Join("testdata", tt.name+".out.json"), got)
			// What was narrowed once is left alone.
			if err := narrowFile(path, tt.bundle, tt.host); err != nil {
				t.Fatal(err)
			}
			if again, _ := os.ReadFile(path); !bytes.Equal(again, got) {
				t.Errorf("changed again: %s", again)
			}
		})
	}
}

// golden compares indented, so that a change is readable.
func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, got, "", "  "); err != nil {
		t.Fatalf("not JSON: %v\n%s", err, got)
	}
	pretty.WriteByte('\n')
	if *update {
		if err := os.WriteFile(path, pretty.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), pretty.String()); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

func TestNarrowOtherSpecs(t *testing.T) {
	for _, tt := range []struct {
		name, in, want, wantErr string
	}{
		{name: "no process", in: `{"root":{}}`},
		{name: "null process", in: `{"process":null}`},
		{name: "nothing to narrow", in: `{"process":{"args":["x"]}}`},
		{name: "null fields", in: `{"process":{"capabilities":null,"oomScoreAdj":null,"rlimits":null}}`},
		{name: "score within reach", in: `{"process":{"oomScoreAdj":0}}`},
		{name: "score out of reach", in: `{"process":{"oomScoreAdj":-1}}`, want: `{"process":{"oomScoreAdj":0}}`},
		{name: "limit of unknown kind", in: `{"process":{"rlimits":[{"type":"RLIMIT_NEW","hard":99999999,"soft":1}]}}`},
		{name: "not JSON", in: `{"process":`, wantErr: "not a specification"},
		{name: "null", in: `null`, wantErr: "not a specification"},
		{name: "capabilities of another shape", in: `{"process":{"capabilities":["CAP_KILL"]}}`, wantErr: "capabilities"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := narrowBundle([]byte(tt.in), limited)
			if tt.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tt.wantErr) {
					t.Fatalf("err = %v, want one with %q", err, tt.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, string(got)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestHas(t *testing.T) {
	for name, want := range map[string]bool{"CAP_KILL": true, "CAP_SYS_RESOURCE": false, "cap_sys_resource": false, "CAP_OF_TOMORROW": true} {
		if got := limited.has(name); got != want {
			t.Errorf("has(%s) = %v", name, got)
		}
	}
}
