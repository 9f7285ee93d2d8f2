package why_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/why"
)

func TestSubject(t *testing.T) {
	digest, commit := strings.Repeat("ab", 32), strings.Repeat("cd", 20)
	tests := []struct{ give, want string }{
		{"sha256:" + digest, "image:sha256:" + digest},
		{"  sha256:" + strings.ToUpper(digest) + "\n", "image:sha256:" + digest},
		{"registry.foundry.svc.cluster.local:5000/druppie/drone@sha256:" + digest, "image:sha256:" + digest},
		{"drone:v1@sha256:" + digest, "image:sha256:" + digest},
		{"SHA256:" + digest, "key:SHA256:" + digest},
		{commit, "commit:" + commit},
		{strings.ToUpper(commit), "commit:" + commit},
		{digest, "commit:" + digest},
		{"alg-d1jk3vl8", "algorithm:alg-d1jk3vl8"},
		{"druppie/drone-service", "repository:druppie/drone-service"},
		{"druppie/drone-service#3", "pull:druppie/drone-service#3"},
		{"pod:drones/drone-0", "pod:drones/drone-0"},
		{"run:foundry/release-x", "run:foundry/release-x"},
		{"namespace:drones", "namespace:drones"},
		{"spec:spec-12", "spec:spec-12"},
		{"record:7", "record:7"},
		{"https://gitea.druppie.localhost:8443/druppie/drone/commit/" + commit, "commit:" + commit},
		{"https://gitea.druppie.localhost:8443/druppie/drone/pulls/3/files", "pull:druppie/drone#3"},
		{"https://gitea.druppie.localhost:8443/druppie/drone.git", "repository:druppie/drone"},
	}
	for _, tt := range tests {
		got, err := why.Subject(tt.give)
		if err != nil || got.String() != tt.want {
			t.Errorf("Subject(%q) = %s, %v, want %s", tt.give, got, err, tt.want)
		}
	}
}

func TestSubjectRefuses(t *testing.T) {
	tests := []struct{ give, hint string }{
		{"", "sha256"},
		{"abcdef1", "git rev-parse abcdef1"},
		{"sha256:abc", "sha256"},
		{"sha256:" + strings.Repeat("zz", 32), "sha256"},
		{"alg-1", "alg-xxxxxxxx"},
		{"drones", "type:value"},
		{"druppie/../etc", "owner/repository"},
		{"pod:'; DROP TABLE leaves--", "type:value"},
		{"druppie/<script>", "owner/repository"},
		{"image@sha256", "sha256"},
		{"https://example.com", "type:value"},
		{"record:-1", "type:value"},
		{strings.Repeat("a/", 2000), "type:value"},
	}
	for _, tt := range tests {
		ref, err := why.Subject(tt.give)
		if !errors.Is(err, tracedb.ErrInvalid) {
			t.Errorf("Subject(%q) = %s, %v, want it refused", tt.give, ref, err)
			continue
		}
		e := tracedb.AsError(err)
		if e.Field != "subject" || !strings.Contains(e.Hint, tt.hint) {
			t.Errorf("Subject(%q): field %q, hint %q, want one with %q", tt.give, e.Field, e.Hint, tt.hint)
		}
	}
}

func TestPath(t *testing.T) {
	for give, want := range map[string]string{
		"repository:druppie/drone-service": "repository:druppie/drone-service",
		"pull:druppie/drone-service#3":     "pull:druppie/drone-service%233",
		"spec:https://issues/1":            "spec:https:%2F%2Fissues%2F1",
		"spec:a/../b":                      "spec:a%2F..%2Fb",
		"spec:a/./b":                       "spec:a%2F.%2Fb",
		"spec:a/":                          "spec:a%2F",
	} {
		ref, err := why.Subject(give)
		if got := why.Path(ref); err != nil || got != want {
			t.Errorf("Path(%s) = %q, %v, want %q", give, got, err, want)
		}
	}
}

// FuzzSubject holds that whatever is pasted becomes a well-formed ref or an error.
func FuzzSubject(f *testing.F) {
	for _, s := range []string{"sha256:", "a/b", "https://x/y/z/commit/", "alg-", "pod:a/b", "@", "#", "a/b#1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		ref, err := why.Subject(s)
		if err == nil && ref.Check() != nil {
			t.Errorf("Subject(%q) = %s, which is none", s, ref)
		}
	})
}
