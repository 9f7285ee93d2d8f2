package why_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/druppie/druppie-up/internal/names"
	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/log"
	"github.com/druppie/druppie-up/tracedb/why"
	"github.com/druppie/druppie-up/tracedb/why/whytest"
)

const elsewhere = "playground"

// event is a refusal as the collector hears of it from Kyverno, who doesn't say whether it was a dry run.
func (s *scribe) event(namespace, resource string, at time.Time) int64 {
	s.t.Helper()
	p := s.draft(tracedb.KindAdmission, tracedb.Denied,
		tracedb.Admission{Namespace: namespace, Resource: resource, Images: []string{whytest.Image}, Policy: "foundry-image", Reason: "evil.example/copy@" + whytest.Image + " isn't from the foundry"},
		"image", whytest.Image, "namespace", namespace)
	p.ID, p.At = "kyverno/foundry-image/"+p.ID+"/1", at
	receipts, err := s.log.Append(s.t.Context(), "collector:kyverno", []log.Prepared{p})
	if err != nil {
		s.t.Fatal(err)
	}
	return receipts[0].Seq
}

// asked has the API server's audit log say that it refused what somebody asked for.
func (s *scribe) asked(namespace, resource string) int64 {
	s.t.Helper()
	s.by = names.AuditAccount
	return s.add(tracedb.KindAdmission, tracedb.Denied,
		tracedb.Admission{Namespace: namespace, Resource: resource, Images: []string{whytest.Image}, User: "somebody", Policy: "register-id", Reason: "as the register says"},
		"image", whytest.Image, "namespace", namespace)
}

// decides has the register asked, which leaves no record of a dry run.
func (s *scribe) decides(outcome tracedb.Outcome, namespace, resource, image, algorithm string) int64 {
	s.t.Helper()
	return s.add(tracedb.KindAdmission, outcome,
		tracedb.Admission{Namespace: namespace, Resource: resource, Images: []string{image}, Algorithm: algorithm, Policy: "register", Reason: "as the register says"},
		"image", image, "namespace", namespace, "algorithm", algorithm, "repository", whytest.Repository)
}

// TestBystanderChangesNoStory has others do what has an image, a commit or a revision in common with the
// service, in every kind of record: its verdict, its answer and its records stay as they were.
func TestBystanderChangesNoStory(t *testing.T) {
	stranger := strings.Repeat("d", 40)
	otherImage := "sha256:" + strings.Repeat("d", 64)
	tests := []struct {
		name string
		does func(*scribe) int64
	}{
		{"a dry run in another namespace, under another name", func(s *scribe) int64 { return s.event(elsewhere, "Pod/copy", whytest.Start) }},
		{"a dry run in another namespace, under its name", func(s *scribe) int64 { return s.event(elsewhere, "Deployment/drone-service", whytest.Start) }},
		{"a dry run in its tenant, under another name", func(s *scribe) int64 { return s.event(whytest.Tenant, "Pod/copy", whytest.Start) }},
		{"a dry run in its tenant, under its name", func(s *scribe) int64 {
			return s.event(whytest.Tenant, "Deployment/drone-service", whytest.Start.AddDate(0, 0, 3))
		}},
		{"refused in another namespace, under its id", func(s *scribe) int64 {
			return s.decides(tracedb.Denied, elsewhere, "Pod/drone-service-1", whytest.Image, whytest.Algorithm)
		}},
		{"another image refused in another namespace, under its id", func(s *scribe) int64 {
			return s.decides(tracedb.Denied, elsewhere, "Pod/drone-service-1", otherImage, whytest.Algorithm)
		}},
		{"refused in its tenant, under another's id", func(s *scribe) int64 {
			return s.decides(tracedb.Denied, whytest.Tenant, "Pod/drone-service-1", whytest.Image, whytest.OtherID)
		}},
		{"let in in another namespace", func(s *scribe) int64 {
			return s.decides(tracedb.Allowed, elsewhere, "Pod/drone-service-1", whytest.Image, whytest.Algorithm)
		}},
		{"another service of its revision refused", func(s *scribe) int64 {
			return s.add(tracedb.KindAdmission, tracedb.Denied, tracedb.Admission{Namespace: whytest.Tenant, Resource: "Deployment/pump-service", Policy: "non-root", Reason: "root"},
				"namespace", whytest.Tenant, "revision", whytest.Revision)
		}},
		{"another tenant of its revision not applied", func(s *scribe) int64 {
			return s.add(tracedb.KindDeployment, tracedb.Failed, tracedb.Deployment{Namespace: "flux-system", Object: "Kustomization/tenant-playground", Revision: whytest.Revision},
				"namespace", elsewhere, "revision", whytest.Revision)
		}},
		{"changed by hand in another namespace", func(s *scribe) int64 {
			return s.add(tracedb.KindDrift, tracedb.Failed, tracedb.Drift{Namespace: elsewhere, Object: "Deployment/drone-service", By: "kubectl"}, "image", whytest.Image, "namespace", elsewhere)
		}},
		{"an incident in another namespace", func(s *scribe) int64 {
			return s.add(tracedb.KindIncident, "", tracedb.Incident{Namespace: elsewhere, Object: "Pod/copy-1", Images: []string{whytest.Image}, Summary: "it crashes"}, "image", whytest.Image, "namespace", elsewhere)
		}},
		{"the same commit approved in a fork", func(s *scribe) int64 {
			return s.add(tracedb.KindReview, tracedb.Rejected, tracedb.Review{Repository: "mallory/fork", Pull: 1, Author: "x", Reviewer: "mallory", Commit: whytest.Commit},
				"repository", "mallory/fork", "pull", "mallory/fork#1", "commit", whytest.Commit)
		}},
		{"the same commit merged in a fork", func(s *scribe) int64 {
			return s.add(tracedb.KindMerge, "", tracedb.Merge{Repository: "mallory/fork", Pull: 1, Author: "x", MergedBy: "mallory", Head: whytest.Head, Commit: whytest.Commit},
				"repository", "mallory/fork", "pull", "mallory/fork#1", "commit", whytest.Head, "commit", whytest.Commit)
		}},
		{"a run of a fork failed on the same commit", func(s *scribe) int64 {
			return s.add(tracedb.KindRun, tracedb.Failed, tracedb.Run{Run: "foundry/fork-1", Repository: "mallory/fork", Commit: whytest.Commit}, "run", "foundry/fork-1", "repository", "mallory/fork", "commit", whytest.Commit)
		}},
		{"the same image made from another repository", func(s *scribe) int64 {
			return s.add(tracedb.KindImage, "", tracedb.Image{Digest: whytest.Image, Repository: "mallory/copy", Commit: stranger}, "image", whytest.Image, "repository", "mallory/copy", "commit", stranger)
		}},
		{"the same image promoted from another repository", func(s *scribe) int64 {
			return s.add(tracedb.KindPromotion, "", tracedb.Promotion{Digest: whytest.Image, Repository: "mallory/copy", Commit: stranger, Fleet: whytest.Fleet, Revision: stranger, Tenant: elsewhere},
				"image", whytest.Image, "repository", "mallory/copy", "commit", stranger, "revision", stranger, "namespace", elsewhere)
		}},
	}
	subjects := []string{whytest.Repository, whytest.Algorithm, whytest.Image}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := filled(t)
			before := map[string]*why.Chain{}
			for _, subject := range subjects {
				before[subject] = ask(t, l, subject)
			}
			seq := tt.does(&scribe{t: t, log: l})
			for _, subject := range subjects {
				was, is := before[subject], ask(t, l, subject)
				if is.Verdict != was.Verdict || is.Answer != was.Answer {
					t.Errorf("%s: the verdict was %s and is %s; the answer was\n%s\nand is\n%s", subject, was.Verdict, is.Verdict, was.Answer, is.Answer)
				}
				if has(is, seq) {
					t.Errorf("%s: the bystander's record is told", subject)
				}
			}
			if c := ask(t, l, fmt.Sprint("record:", seq)); !has(c, seq) {
				t.Error("asked about itself, the bystander's record isn't there")
			}
		})
	}
}

// TestRefusalOfTheServiceIsTold is TestBystanderChangesNoStory's other half: what was asked for the
// service in its tenant changes the verdict.
func TestRefusalOfTheServiceIsTold(t *testing.T) {
	tests := []struct {
		name string
		does func(*scribe) int64
	}{
		{"the register, asked under its id", func(s *scribe) int64 {
			seq := s.decides(tracedb.Denied, whytest.Tenant, "Pod/drone-service-1", whytest.Image, whytest.Algorithm)
			s.asked(whytest.Tenant, "Pod/drone-service-1")
			return seq
		}},
		{"the register, asked for a controller that names its pods later", func(s *scribe) int64 {
			seq := s.decides(tracedb.Denied, whytest.Tenant, "Pod/drone-service-7c8d-x2x9z", whytest.Image, whytest.Algorithm)
			s.asked(whytest.Tenant, "ReplicaSet/drone-service-7c8d")
			return seq
		}},
		{"what the cluster alone says", func(s *scribe) int64 { return s.asked(whytest.Tenant, "Pod/drone-service-1") }},
		{"Flux, for the fleet", func(s *scribe) int64 {
			s.by = "collector:flux"
			return s.add(tracedb.KindAdmission, tracedb.Denied, tracedb.Admission{Namespace: whytest.Tenant, Resource: "Deployment/planner", Images: []string{whytest.Image}, Policy: "non-root", Reason: "root"},
				"namespace", whytest.Tenant, "revision", whytest.Revision, "image", whytest.Image)
		}},
		{"Flux, naming no image", func(s *scribe) int64 {
			s.by = "collector:flux"
			return s.add(tracedb.KindAdmission, tracedb.Denied, tracedb.Admission{Namespace: whytest.Tenant, Resource: "Deployment/drone-service", Policy: "non-root", Reason: "root"},
				"namespace", whytest.Tenant, "revision", whytest.Revision)
		}},
		{"an Event that the register's record confirms", func(s *scribe) int64 {
			s.decides(tracedb.Allowed, whytest.Tenant, "Deployment/drone-service", whytest.Image, whytest.Algorithm)
			return s.event(whytest.Tenant, "Deployment/drone-service", whytest.Start.Add(time.Duration(s.n)*time.Hour+time.Minute))
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := filled(t)
			s := &scribe{t: t, log: l}
			// The version that was refused in the story is let in at last.
			s.decides(tracedb.Allowed, whytest.Tenant, "Pod/drone-service-2", whytest.Refused, whytest.Algorithm)
			seq := tt.does(s)
			c := ask(t, l, whytest.Repository)
			if c.Verdict != why.RunsRefused || !has(c, seq) {
				t.Errorf("the verdict is %s, and that it was refused is told: %v", c.Verdict, has(c, seq))
			}
		})
	}
}

// TestUnconfirmedRefusal has the gatekeeper told of a pod that nobody asked the cluster for: that is told as just that,
// and the verdict stays.
func TestUnconfirmedRefusal(t *testing.T) {
	l := filled(t)
	s := &scribe{t: t, log: l}
	s.decides(tracedb.Allowed, whytest.Tenant, "Pod/drone-service-2", whytest.Refused, whytest.Algorithm)
	seq := s.decides(tracedb.Denied, whytest.Tenant, "Pod/drone-service-1", whytest.Image, whytest.Algorithm)
	s.asked(whytest.Tenant, "Pod/another") // what was refused besides confirms nothing
	c := ask(t, l, whytest.Repository)
	if !has(c, seq) || c.Verdict != why.Runs {
		t.Errorf("the verdict is %s; the question is told: %v", c.Verdict, has(c, seq))
	}
	if !strings.Contains(c.Answer, "Only the gatekeeper says so: that the cluster was asked isn't confirmed.") || !strings.Contains(c.AnswerNL, "Alleen de poortwachter zegt dat") {
		t.Errorf("the answer is\n%s\n%s", c.Answer, c.AnswerNL)
	}
}

// TestFloodOfABystanderHidesNothing has somebody ask for the service's image elsewhere more often than a
// story has room for: what was decided in its tenant, before and in between, is told all the same.
func TestFloodOfABystanderHidesNothing(t *testing.T) {
	l := filled(t)
	s := &scribe{t: t, log: l}
	flood := func() {
		var many []log.Prepared
		for range 150 {
			many = append(many, s.draft(tracedb.KindAdmission, tracedb.Denied, tracedb.Admission{Namespace: elsewhere, Resource: "Pod/copy", Images: []string{whytest.Image}, Policy: "x", Reason: "no"},
				"image", whytest.Image, "namespace", elsewhere))
		}
		if _, err := l.Append(t.Context(), "collector:kyverno", many); err != nil {
			t.Fatal(err)
		}
	}
	flood()
	seq := s.asked(whytest.Tenant, "Pod/drone-service-9")
	flood()
	if c := ask(t, l, whytest.Image); !has(c, seq) || c.Verdict != why.RunsRefused {
		t.Errorf("the verdict is %s, and the refusal in between is told: %v", c.Verdict, has(c, seq))
	}
}

// TestRunsWhereNothingPromotedIt has somebody run the service's image in another namespace: the service's
// verdict and since when it runs stay, and the answer says where it runs besides.
func TestRunsWhereNothingPromotedIt(t *testing.T) {
	l := filled(t)
	before := ask(t, l, whytest.Repository)
	s := &scribe{t: t, log: l}
	s.add(tracedb.KindDeployment, tracedb.Running, tracedb.Deployment{Namespace: elsewhere, Object: "Pod/copy-1", Images: []string{whytest.Image}, Algorithm: whytest.Algorithm},
		"image", whytest.Image, "namespace", elsewhere, "pod", elsewhere+"/copy-1", "algorithm", whytest.Algorithm)
	c := ask(t, l, whytest.Repository)
	if want := before.Answer + " It runs in playground (Pod/copy-1), too, though nothing promoted it there."; c.Verdict != before.Verdict || c.Answer != want {
		t.Errorf("the verdict was %s and is %s; the answer is\n%s\nwant\n%s", before.Verdict, c.Verdict, c.Answer, want)
	}
	if c := ask(t, l, elsewhere+"/copy-1"); !strings.Contains(c.Answer, "runs in drones and playground") && !strings.Contains(c.Answer, "playground") {
		t.Errorf("asked about the pod itself: %s", c.Answer)
	}
}
