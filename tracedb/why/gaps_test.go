package why_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/why"
	"github.com/druppie/druppie-up/tracedb/why/whytest"
)

// admissionGap is what the chain says is missing of admission; empty: nothing.
func admissionGap(c *why.Chain) string {
	i := slices.IndexFunc(c.Gaps, func(g why.Gap) bool { return g.Step == "F6" })
	if i < 0 {
		return ""
	}
	return c.Gaps[i].What + " | " + c.Gaps[i].WhatNL
}

// TestAPodThatNobodyLetInIsAGap: a pod that came past admission runs the service's own image, of which another pod
// was let in. Nothing but a decision that let in this very pod, with this image, closes the gap.
func TestAPodThatNobodyLetInIsAGap(t *testing.T) {
	const past, uid = whytest.Tenant + "/drone-service-past", "0b5e7f36-5a39-4b0f-a2b4-3f1f0c3a9d11"
	decision := func(s *scribe, outcome tracedb.Outcome, pod, uid, image string) {
		_, name, _ := strings.Cut(pod, "/")
		s.add(tracedb.KindAdmission, outcome, tracedb.Admission{
			Namespace: whytest.Tenant, Resource: "Pod/" + name, Images: []string{image}, Algorithm: whytest.Algorithm, Policy: "register", Reason: "so", UID: uid,
		}, "image", image, "namespace", whytest.Tenant, "algorithm", whytest.Algorithm, "pod", pod)
	}
	for _, tt := range []struct {
		name   string
		decide func(*scribe)
		closed bool
	}{
		{"nobody decided", func(*scribe) {}, false},
		{"it was refused", func(s *scribe) { decision(s, tracedb.Denied, past, uid, whytest.Image) }, false},
		{"another of its name was let in", func(s *scribe) { decision(s, tracedb.Allowed, past, "another", whytest.Image) }, false},
		{"another pod was let in", func(s *scribe) {
			decision(s, tracedb.Allowed, whytest.Tenant+"/drone-service-other", "another", whytest.Image)
		}, false},
		{"it was let in with another image", func(s *scribe) { decision(s, tracedb.Allowed, past, uid, whytest.Refused) }, false},
		{"it was let in", func(s *scribe) { decision(s, tracedb.Allowed, past, uid, whytest.Image) }, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := filled(t)
			if gap := admissionGap(ask(t, l, whytest.Image)); gap != "" {
				t.Fatalf("before: %s", gap)
			}
			s := &scribe{t: t, log: l}
			s.id = "pod/" + uid + "/running/1"
			s.add(tracedb.KindDeployment, tracedb.Running, tracedb.Deployment{
				Namespace: whytest.Tenant, Object: "Pod/drone-service-past", Images: []string{whytest.Image}, Algorithm: whytest.Algorithm,
			}, "image", whytest.Image, "namespace", whytest.Tenant, "pod", past, "algorithm", whytest.Algorithm)
			tt.decide(s)
			for _, subject := range []string{whytest.Image, past, whytest.Repository} {
				gap := admissionGap(ask(t, l, subject))
				if want := "no decision of the gatekeeper let in " + past + " | geen besluit van de poortwachter liet dit toe: " + past; !tt.closed && gap != want || tt.closed && gap != "" {
					t.Errorf("%s: %q", subject, gap)
				}
			}
		})
	}
}
