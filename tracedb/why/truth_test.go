package why_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/log"
	"github.com/druppie/druppie-up/tracedb/log/logtest"
	"github.com/druppie/druppie-up/tracedb/why/whytest"
)

// TestSince has the log hear of the pods in another order than they began and ended in.
func TestSince(t *testing.T) {
	l := logtest.New(t)
	s := &scribe{t: t, log: l}
	hear := func(outcome tracedb.Outcome, hours ...int) {
		for i, hour := range hours {
			s.n = hour
			if _, err := l.Append(t.Context(), "more", []log.Prepared{s.pod(i, outcome)}); err != nil {
				t.Fatal(err)
			}
		}
	}
	hear(tracedb.Running, 5, 2, 9)
	if c := ask(t, l, made); !strings.Contains(c.Answer, "since 2026-02-02 12:00:00 UTC") {
		t.Errorf("the pods run since the third hour: %s", c.Answer)
	}
	hear(tracedb.Gone, 15, 19, 12)
	if c := ask(t, l, made); !strings.Contains(c.Answer, "doesn't any more since 2026-02-03 05:00:00 UTC") {
		t.Errorf("the last pod ended in the twentieth hour: %s", c.Answer)
	}
}

// TestAnothersDrift holds that what Flux put back of another service in the same revision isn't told
// as a change to this one.
func TestAnothersDrift(t *testing.T) {
	l := filled(t)
	s := &scribe{t: t, log: l}
	undone := func(object string) {
		s.add(tracedb.KindDrift, tracedb.Undone, tracedb.Drift{Namespace: whytest.Tenant, Object: object, Want: "as in Git", Got: "otherwise", Revision: whytest.Revision},
			"namespace", whytest.Tenant, "revision", whytest.Revision)
	}
	undone("Deployment/pump-service")
	if c := ask(t, l, whytest.Image); strings.Contains(c.Answer, "By hand") {
		t.Errorf("another service was changed: %s", c.Answer)
	}
	undone("Deployment/drone-service")
	if c := ask(t, l, whytest.Image); !strings.Contains(c.Answer, "By hand it was changed") {
		t.Errorf("its own workload was changed: %s", c.Answer)
	}
}

// TestClaimedAlgorithm holds that an image isn't told under an id that somebody only claimed for it.
func TestClaimedAlgorithm(t *testing.T) {
	l := filled(t)
	s := &scribe{t: t, log: l}
	s.add(tracedb.KindRegister, "", tracedb.RegisterEntry{Repository: whytest.Other, Commit: whytest.Head, Source: whytest.Source(whytest.OtherID, "In gebruik")},
		"repository", whytest.Other, "commit", whytest.Head, "algorithm", whytest.OtherID)
	s.add(tracedb.KindAdmission, tracedb.Denied, tracedb.Admission{Namespace: whytest.Tenant, Resource: "Pod/x", Images: []string{whytest.Image}, Algorithm: whytest.OtherID, Policy: "register", Reason: "not yours"},
		"image", whytest.Image, "namespace", whytest.Tenant, "algorithm", whytest.OtherID)
	c := ask(t, l, whytest.Image)
	if c.Algorithm != whytest.Algorithm || !strings.Contains(c.Answer, "The register had it as "+whytest.Algorithm) {
		t.Errorf("told as %s: %s", c.Algorithm, c.Answer)
	}
	if strings.Contains(c.Answer, "not yours") {
		t.Errorf("what was asked under another's id is told: %s", c.Answer)
	}
}

// TestNotApplied holds that what Flux couldn't apply doesn't count as applied.
func TestNotApplied(t *testing.T) {
	l := logtest.New(t)
	s := &scribe{t: t, log: l}
	revision := strings.Repeat("f", 40)
	s.add(tracedb.KindPromotion, "", tracedb.Promotion{Digest: made, Repository: service, Commit: landed, Fleet: whytest.Fleet, Revision: revision, Tenant: whytest.Tenant},
		"image", made, "repository", service, "commit", landed, "revision", revision, "namespace", whytest.Tenant)
	s.add(tracedb.KindDeployment, tracedb.Failed, tracedb.Deployment{Namespace: "flux-system", Object: "Kustomization/fleet", Revision: revision, Reason: "BuildFailed"}, "revision", revision)
	if got := gaps(ask(t, l, made), "F5"); got == "" {
		t.Error("no gap, though nothing was applied")
	}
	s.add(tracedb.KindDeployment, tracedb.Passed, tracedb.Deployment{Namespace: "flux-system", Object: "Kustomization/fleet", Revision: revision}, "revision", revision)
	if got := gaps(ask(t, l, made), "F5"); got != "" {
		t.Errorf("gap %q, though it was applied", got)
	}
}

// TestWhoseSession has somebody push onto what an agent wrote: the session isn't theirs.
func TestWhoseSession(t *testing.T) {
	l := logtest.New(t)
	s := &scribe{t: t, log: l}
	s.add(tracedb.KindSession, "", tracedb.Session{Session: "session-1", AskedBy: "anna", Tool: "builder-agent", Model: "m", Repository: service, Commit: first},
		"session", "session-1", "repository", service, "commit", first)
	s.push("builder", "branch", first)
	s.push("bob", "branch", second)
	s.merge("alice", second, landed)
	s.push("alice", "main", landed, second, first)
	s.runs(landed)
	want := "It was written by bob, commit 2222222222. A part of it was written in session session-1 of builder-agent with m."
	if c := ask(t, l, made); !strings.Contains(c.Answer, want) {
		t.Errorf("the answer lacks %q: %s", want, c.Answer)
	}
}

// TestOwnApprovalDisposed asks after the term, when only the entries say who did what.
func TestOwnApprovalDisposed(t *testing.T) {
	now := whytest.Start
	l := logtest.New(t, logtest.Now(func() time.Time { return now }))
	s := &scribe{t: t, log: l}
	s.push("bob", "branch", first)
	own := s.review("bob", tracedb.Approved, first)
	s.merge("alice", first, landed)
	s.push("alice", "main", landed, first)
	s.runs(landed)
	now = now.AddDate(8, 0, 0)
	s.add(tracedb.KindIncident, "", tracedb.Incident{Namespace: "drones", Object: "Deployment/x", Summary: "it coughs"}, "namespace", "drones")
	if _, err := l.Dispose(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Payload(t.Context(), own); !errors.Is(err, tracedb.ErrDisposed) {
		t.Fatalf("the review's payload: %v, want it disposed of", err)
	}
	if c := ask(t, l, made); strings.Contains(c.Answer, "bob approved") || gaps(c, "F1") == "" {
		t.Errorf("bob's own approval counts: %s", c.Answer)
	}
}

// TestFleetApproval holds that a version of the promotion that wasn't merged approves nothing.
func TestFleetApproval(t *testing.T) {
	l := filled(t)
	s := &scribe{t: t, log: l}
	old, head, revision := strings.Repeat("6", 40), strings.Repeat("7", 40), strings.Repeat("8", 40)
	const pull = whytest.Fleet + "#20"
	s.add(tracedb.KindReview, tracedb.Approved, tracedb.Review{Repository: whytest.Fleet, Pull: 20, Author: "promoter", Reviewer: "carol", Commit: old},
		"repository", whytest.Fleet, "pull", pull, "revision", old, "image", whytest.Image)
	s.add(tracedb.KindMerge, "", tracedb.Merge{Repository: whytest.Fleet, Pull: 20, Author: "promoter", MergedBy: "mallory", Head: head, Commit: revision},
		"repository", whytest.Fleet, "pull", pull, "revision", head, "revision", revision, "image", whytest.Image)
	s.add(tracedb.KindPromotion, "", tracedb.Promotion{Digest: whytest.Image, Repository: whytest.Repository, Commit: whytest.Commit, Fleet: whytest.Fleet, Revision: revision, Tenant: "dikes"},
		"image", whytest.Image, "repository", whytest.Repository, "commit", whytest.Commit, "revision", revision, "namespace", "dikes")
	if c := ask(t, l, whytest.Image); !strings.Contains(c.Answer, "It came into the fleet for dikes through "+pull+".") {
		t.Errorf("nobody approved what was merged there: %s", c.Answer)
	}
}
