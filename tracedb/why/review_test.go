package why_test

import (
	"strings"
	"testing"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/log/logtest"
	"github.com/druppie/druppie-up/tracedb/why"
)

func (s *scribe) push(who, branch, commit string, others ...string) {
	s.t.Helper()
	refs := []string{"repository", service, "commit", commit}
	for _, o := range others {
		refs = append(refs, "commit", o)
	}
	s.as(who).add(tracedb.KindCommit, "", tracedb.Commit{Repository: service, Branch: branch, Commit: commit, Author: who, Pusher: who, Others: others}, refs...)
}

func (s *scribe) review(who string, outcome tracedb.Outcome, commit string) int64 {
	s.t.Helper()
	return s.as(who).add(tracedb.KindReview, outcome, tracedb.Review{Repository: service, Pull: 5, Author: "bob", Reviewer: who, Commit: commit},
		"repository", service, "pull", service+"#5", "commit", commit)
}

func (s *scribe) merge(who, head, commit string) {
	s.t.Helper()
	s.as(who).add(tracedb.KindMerge, "", tracedb.Merge{Repository: service, Pull: 5, Author: "bob", MergedBy: who, Head: head, Commit: commit},
		"repository", service, "pull", service+"#5", "commit", head, "commit", commit)
}

// runs has the image built from the commit, and run.
func (s *scribe) runs(commit string) {
	s.t.Helper()
	s.add(tracedb.KindImage, "", tracedb.Image{Image: service, Digest: made, Repository: service, Commit: commit, Run: "foundry/x-1"},
		"repository", service, "commit", commit, "image", made, "run", "foundry/x-1")
	s.add(tracedb.KindDeployment, tracedb.Running, tracedb.Deployment{Namespace: "drones", Object: "Pod/x-1", Images: []string{made}},
		"image", made, "namespace", "drones", "pod", "drones/x-1")
}

func gaps(c *why.Chain, step string) string {
	var out []string
	for _, g := range c.Gaps {
		if g.Step == step {
			out = append(out, g.What+" / "+g.WhatNL)
		}
	}
	return strings.Join(out, "\n")
}

// TestApprovalOfWhatWasMerged holds that nobody is said to have approved what they didn't: another
// commit than the one that was merged, or one that they changed their mind about.
func TestApprovalOfWhatWasMerged(t *testing.T) {
	const earlier = "an earlier version was approved, not the one that was merged / een eerdere versie is goedgekeurd, niet degene die is samengevoegd"
	const nobody = "no approval by anybody but the author / geen goedkeuring door iemand anders dan de auteur"
	tests := []struct {
		name  string
		story func(*scribe)
		want  string // of the answer
		gap   string
	}{
		{"approved and merged", func(s *scribe) {
			s.review("alice", tracedb.Approved, second)
			s.merge("mallory", second, landed)
		}, "alice approved it; mallory merged it.", ""},
		{"rebased or fast-forwarded", func(s *scribe) {
			s.review("alice", tracedb.Approved, landed)
			s.merge("mallory", landed, landed)
		}, "alice approved it; mallory merged it.", ""},
		{"rejected what came after", func(s *scribe) {
			s.review("alice", tracedb.Approved, first)
			s.review("alice", tracedb.Rejected, second)
			s.merge("mallory", second, landed)
		}, "An earlier version was approved, not the one that was merged; alice asked for changes; mallory merged it.", earlier},
		{"said nothing about what came after", func(s *scribe) {
			s.review("alice", tracedb.Approved, first)
			s.merge("mallory", second, landed)
		}, "An earlier version was approved, not the one that was merged; mallory merged it.", earlier},
		{"taken back", func(s *scribe) {
			s.review("alice", tracedb.Approved, second)
			s.review("alice", tracedb.Rejected, second)
			s.merge("mallory", second, landed)
		}, "The approval was taken back: its reviewer asked for changes later; alice asked for changes; mallory merged it.",
			"the approval was taken back: its reviewer asked for changes later / de goedkeuring is ingetrokken: de beoordelaar keurde het later af"},
		{"satisfied at last", func(s *scribe) {
			s.review("alice", tracedb.Rejected, first)
			s.review("alice", tracedb.Approved, second)
			s.review("alice", tracedb.Commented, second)
			s.merge("mallory", second, landed)
		}, "alice approved it; mallory merged it.", ""},
		{"an old rejection heard of late", func(s *scribe) {
			n := s.n
			s.n = 500
			s.review("alice", tracedb.Approved, second)
			s.n = n
			s.review("alice", tracedb.Rejected, second)
			s.n = 501
			s.merge("mallory", second, landed)
		}, "alice approved it; mallory merged it.", ""},
		{"against another's wish", func(s *scribe) {
			s.review("alice", tracedb.Approved, second)
			s.review("carol", tracedb.Rejected, second)
			s.merge("mallory", second, landed)
		}, "alice approved it; carol asked for changes; mallory merged it.", ""},
		{"approved, and no merge recorded", func(s *scribe) {
			s.review("alice", tracedb.Approved, second)
		}, "Another commit was approved, and no merge of it is recorded.",
			"another commit was approved, and no merge of it is recorded / een andere commit is goedgekeurd, en een samenvoeging daarvan is niet vastgelegd"},
		{"by who pushed it to another's pull request", func(s *scribe) {
			s.push("mallory", "branch", strings.Repeat("3", 40))
			s.review("mallory", tracedb.Approved, strings.Repeat("3", 40))
			s.merge("mallory", strings.Repeat("3", 40), landed)
		}, "No approval by anybody but the author is recorded; mallory merged it.", nobody},
		{"of the pull request that it is built on", func(s *scribe) {
			s.as("alice").add(tracedb.KindReview, tracedb.Approved, tracedb.Review{Repository: service, Pull: 4, Author: "bob", Reviewer: "alice", Commit: first},
				"repository", service, "pull", service+"#4", "commit", first)
			s.as("alice").add(tracedb.KindMerge, "", tracedb.Merge{Repository: service, Pull: 4, Author: "bob", MergedBy: "alice", Head: first, Commit: strings.Repeat("b", 40)},
				"repository", service, "pull", service+"#4", "commit", first, "commit", strings.Repeat("b", 40))
			s.merge("mallory", second, landed)
		}, "No approval by anybody but the author is recorded; mallory merged it.", nobody},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := logtest.New(t)
			s := &scribe{t: t, log: l}
			s.push("bob", "branch", first)
			s.push("bob", "branch", second, first)
			tt.story(s)
			s.push("mallory", "main", landed, second, first, strings.Repeat("3", 40))
			s.runs(landed)
			c := ask(t, l, made)
			if !strings.Contains(c.Answer, tt.want) {
				t.Errorf("the answer lacks %q: %s", tt.want, c.Answer)
			}
			if got := gaps(c, "F1"); got != tt.gap {
				t.Errorf("gap %q, want %q", got, tt.gap)
			}
		})
	}
}
