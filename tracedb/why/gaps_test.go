package why_test

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/log"
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
// was let in. Nothing but the decision by which this very pod was made closes the gap, with what it was asked about.
func TestAPodThatNobodyLetInIsAGap(t *testing.T) {
	const past, uid = whytest.Tenant + "/drone-service-past", "0b5e7f36-5a39-4b0f-a2b4-3f1f0c3a9d11"
	decision := func(s *scribe, id string, outcome tracedb.Outcome, pod, image string) {
		_, name, _ := strings.Cut(pod, "/")
		resource, about := "Pod/"+name, []string{"image", image, "namespace", whytest.Tenant, "algorithm", whytest.Algorithm, "pod", pod}
		if pod == "" {
			resource, about = "Deployment/drone-service", about[:6]
		}
		s.id, s.by = id, cmp.Or(s.by, "tracedb")
		s.add(tracedb.KindAdmission, outcome, tracedb.Admission{
			Namespace: whytest.Tenant, Resource: resource, Images: []string{image}, Algorithm: whytest.Algorithm, Policy: "register", Reason: "so",
		}, about...)
	}
	runs := func(s *scribe, uid, image string) {
		s.id = "pod/" + uid + "/running/" + image
		s.add(tracedb.KindDeployment, tracedb.Running, tracedb.Deployment{
			Namespace: whytest.Tenant, Object: "Pod/drone-service-past", Images: []string{image}, Algorithm: whytest.Algorithm,
		}, "image", image, "namespace", whytest.Tenant, "pod", past, "algorithm", whytest.Algorithm)
	}
	made := "admission/" + uid
	for _, tt := range []struct {
		name   string
		decide func(*scribe)
		closed bool
	}{
		{"nobody decided", func(*scribe) {}, false},
		{"it was refused", func(s *scribe) { decision(s, made, tracedb.Denied, past, whytest.Image) }, false},
		{"another pod was let in", func(s *scribe) {
			decision(s, "admission/another", tracedb.Allowed, whytest.Tenant+"/drone-service-other", whytest.Image)
		}, false},
		{"another of its name was let in", func(s *scribe) { decision(s, "admission/another", tracedb.Allowed, past, whytest.Image) }, false},
		{"another of its name was let in, and runs now", func(s *scribe) {
			decision(s, "admission/another", tracedb.Allowed, past, whytest.Image)
			runs(s, "another", whytest.Image)
		}, false},
		{"a debug container was let in later", func(s *scribe) { decision(s, made+"/later", tracedb.Allowed, past, whytest.Image) }, false},
		{"somebody wrote of it who decides nothing", func(s *scribe) {
			s.by = "collector:kyverno"
			decision(s, made, tracedb.Allowed, past, whytest.Image)
		}, false},
		{"a template with its uid was let in", func(s *scribe) { decision(s, made, tracedb.Allowed, "", whytest.Image) }, false},
		{"it was let in with another image", func(s *scribe) { decision(s, made, tracedb.Allowed, past, whytest.Refused) }, false},
		{"it was let in with another image, and got this one by a decision", func(s *scribe) {
			decision(s, made, tracedb.Allowed, past, whytest.Refused)
			decision(s, made+"/later", tracedb.Allowed, past, whytest.Image)
		}, true},
		{"it was let in", func(s *scribe) { decision(s, made, tracedb.Allowed, past, whytest.Image) }, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := filled(t)
			if gap := admissionGap(ask(t, l, whytest.Image)); gap != "" {
				t.Fatalf("before: %s", gap)
			}
			s := &scribe{t: t, log: l}
			runs(s, uid, whytest.Image)
			tt.decide(s)
			for _, subject := range []string{whytest.Image, past, whytest.Repository} {
				gap := admissionGap(ask(t, l, subject))
				want := "no record of a decision that let in " + past + " | geen besluit vastgelegd dat dit toeliet: " + past
				if !tt.closed && gap != want || tt.closed && gap != "" {
					t.Errorf("%s: %q", subject, gap)
				}
			}
		})
	}
}

// Of pods where nothing promoted the service its story says that they run there, and not how they got in; their own does.
func TestPodsElsewhereAreNoGap(t *testing.T) {
	l := filled(t)
	s := &scribe{t: t, log: l, id: "pod/copy-uid/running/1"}
	s.add(tracedb.KindDeployment, tracedb.Running, tracedb.Deployment{Namespace: elsewhere, Object: "Pod/copy-1", Images: []string{whytest.Image}, Algorithm: whytest.Algorithm},
		"image", whytest.Image, "namespace", elsewhere, "pod", elsewhere+"/copy-1", "algorithm", whytest.Algorithm)
	for _, subject := range []string{whytest.Image, whytest.Repository, whytest.Pod} {
		if gap := admissionGap(ask(t, l, subject)); gap != "" {
			t.Errorf("%s: %s", subject, gap)
		}
	}
	own := ask(t, l, elsewhere+"/copy-1")
	if gap := admissionGap(own); !strings.Contains(gap, elsewhere+"/copy-1") || !strings.Contains(own.Answer, "No decision to admit it is recorded.") {
		t.Errorf("its own: %q; %s", gap, own.Answer)
	}
}

// Where an image has more records than a story reads, the decision about a pod is still found.
func TestADecisionAmongManyIsFound(t *testing.T) {
	l := filled(t)
	var many []log.Prepared
	s := &scribe{t: t, log: l}
	for i := range 300 {
		pod := fmt.Sprintf("%s/drone-service-%d", whytest.Tenant, i)
		s.id = fmt.Sprintf("admission/uid-%d", i)
		many = append(many, s.draft(tracedb.KindAdmission, tracedb.Allowed, tracedb.Admission{
			Namespace: whytest.Tenant, Resource: fmt.Sprintf("Pod/drone-service-%d", i), Images: []string{whytest.Image}, Algorithm: whytest.Algorithm, Policy: "register", Reason: "so",
		}, "image", whytest.Image, "namespace", whytest.Tenant, "algorithm", whytest.Algorithm, "pod", pod))
		s.id = fmt.Sprintf("pod/uid-%d/running/1", i)
		many = append(many, s.draft(tracedb.KindDeployment, tracedb.Running, tracedb.Deployment{
			Namespace: whytest.Tenant, Object: fmt.Sprintf("Pod/drone-service-%d", i), Images: []string{whytest.Image}, Algorithm: whytest.Algorithm,
		}, "image", whytest.Image, "namespace", whytest.Tenant, "pod", pod, "algorithm", whytest.Algorithm))
	}
	if _, err := l.Append(t.Context(), "tracedb", many); err != nil {
		t.Fatal(err)
	}
	for _, subject := range []string{whytest.Tenant + "/drone-service-150", whytest.Tenant + "/drone-service-299", whytest.Pod} {
		if gap := admissionGap(ask(t, l, subject)); gap != "" {
			t.Errorf("%s: %s", subject, gap)
		}
	}
}

// Whoever has refusals recorded under the pod's name, before it came and after, doesn't hide it.
func TestRefusalsHideNoPod(t *testing.T) {
	l := filled(t)
	s := &scribe{t: t, log: l}
	const pod = elsewhere + "/flood"
	refused := func(n int) {
		var many []log.Prepared
		for i := range n {
			many = append(many, s.draft(tracedb.KindAdmission, tracedb.Denied, tracedb.Admission{
				Namespace: elsewhere, Resource: "Pod/flood", Images: []string{whytest.Foreign}, Policy: "register", Reason: fmt.Sprint("no ", i),
			}, "image", whytest.Foreign, "namespace", elsewhere, "pod", pod))
		}
		if _, err := l.Append(t.Context(), "tracedb", many); err != nil {
			t.Fatal(err)
		}
	}
	refused(100)
	s.id = "pod/flood-uid/running/1"
	s.add(tracedb.KindDeployment, tracedb.Running, tracedb.Deployment{Namespace: elsewhere, Object: "Pod/flood", Images: []string{whytest.Image}, Algorithm: whytest.Algorithm},
		"image", whytest.Image, "namespace", elsewhere, "pod", pod, "algorithm", whytest.Algorithm)
	refused(100)
	if c := ask(t, l, pod); !strings.Contains(admissionGap(c), pod) || !strings.Contains(c.Answer, elsewhere) {
		t.Errorf("%q: %s", admissionGap(c), c.Answer)
	}
}
