package tracedb

import (
	"strings"
	"testing"
)

func TestRefCheck(t *testing.T) {
	hash := strings.Repeat("0a", 20)
	digest := strings.Repeat("0a", 32)
	tests := []struct {
		name string
		ref  Ref
		want string // part of what is wrong; empty: nothing
	}{
		{"repository", Ref{RefRepository, "druppie/drone-service"}, ""},
		{"repository with a dot in front", Ref{RefRepository, "druppie/.profile"}, "owner/name"},
		{"repository upwards", Ref{RefRepository, "druppie/../x"}, "owner/name"},
		{"repository in markup", Ref{RefRepository, "<b>/x"}, "owner/name"},
		{"commit", Ref{RefCommit, hash}, ""},
		{"commit of sha-256", Ref{RefCommit, digest}, ""},
		{"short commit", Ref{RefCommit, hash[:12]}, "full commit hash"},
		{"upper-case commit", Ref{RefCommit, strings.ToUpper(hash)}, "lower-case"},
		{"revision", Ref{RefRevision, hash}, ""},
		{"pull", Ref{RefPull, "druppie/drone#12"}, ""},
		{"pull nought", Ref{RefPull, "druppie/drone#0"}, "number"},
		{"run", Ref{RefRun, "foundry/release-x7k"}, ""},
		{"run without a namespace", Ref{RefRun, "release-x7k"}, "namespace/name"},
		{"image", Ref{RefImage, "sha256:" + digest}, ""},
		{"image by tag", Ref{RefImage, "drone:1"}, "sha256"},
		{"image and a line", Ref{RefImage, "sha256:" + digest + "\n"}, "sha256"},
		{"algorithm", Ref{RefAlgorithm, "alg-7f3k2m9q"}, ""},
		{"algorithm too long", Ref{RefAlgorithm, "alg-7f3k2m9q0"}, "alg-"},
		{"session", Ref{RefSession, "s-1"}, ""},
		{"spec", Ref{RefSpec, "specs/12"}, ""},
		{"spec with a quote", Ref{RefSpec, "a'--"}, "at most 200"},
		{"pod", Ref{RefPod, "drones/drone-0"}, ""},
		{"namespace", Ref{RefNamespace, "drones"}, ""},
		{"record", Ref{RefRecord, "0"}, ""},
		{"record before the first", Ref{RefRecord, "-1"}, "decimal"},
		{"key", Ref{RefKey, "SHA256:" + digest}, ""},
		{"no such type", Ref{"planet", "mars"}, "no such type"},
		{"no value", Ref{RefCommit, ""}, "full commit hash"},
	}
	seen := map[RefType]bool{}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.ref.Check()
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("Check() = %v, want %q", err, tt.want)
			}
		})
		seen[tt.ref.Type] = seen[tt.ref.Type] || tt.want == ""
	}
	for _, typ := range RefTypes() {
		if !seen[typ] {
			t.Errorf("no test shows a good %s", typ)
		}
	}
}
