package why_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/why/whytest"
)

// TestMostImportantRefusalComesFirst has several versions refused, by hand and through the fleet: the answer
// begins with what the fleet asked for, whatever was tried after it.
func TestMostImportantRefusalComesFirst(t *testing.T) {
	l := filled(t)
	s := &scribe{t: t, log: l}
	version := func(n int) string { return "sha256:" + strings.Repeat(fmt.Sprint(n), 64) }
	for n := 1; n <= 3; n++ {
		s.add(tracedb.KindImage, "", tracedb.Image{Digest: version(n), Repository: whytest.Repository, Commit: whytest.Commit2}, "image", version(n), "repository", whytest.Repository, "commit", whytest.Commit2)
	}
	s.add(tracedb.KindDeployment, tracedb.Running, tracedb.Deployment{Namespace: whytest.Tenant, Object: "Pod/drone-service-3", Images: []string{version(3)}},
		"image", version(3), "namespace", whytest.Tenant, "pod", whytest.Tenant+"/drone-service-3")
	flux := func(image, policy string) {
		s.add(tracedb.KindAdmission, tracedb.Denied, tracedb.Admission{Namespace: whytest.Tenant, Resource: "Deployment/drone-service", Images: []string{image}, Policy: policy, Reason: "no"},
			"image", image, "namespace", whytest.Tenant, "revision", whytest.Revision)
	}
	flux(version(1), "by-the-fleet")
	s.decides(tracedb.Denied, whytest.Tenant, "Pod/by-hand", version(1), whytest.Algorithm)
	s.decides(tracedb.Denied, whytest.Tenant, "Pod/by-hand", version(2), whytest.Algorithm)
	answer := ask(t, l, whytest.Commit2).Answer
	first, second := strings.Index(answer, "by by-the-fleet"), strings.Index(answer, "sha256:222222222222 of")
	if first < 0 || second < 0 || first > second {
		t.Errorf("what the fleet asked for is at %d, and what was tried by hand at %d: %s", first, second, answer)
	}
	if got := ask(t, l, version(1)).Answer; !strings.Contains(got, "by by-the-fleet") || strings.Contains(got, "as the register says") {
		t.Errorf("of one version, what was tried last is told: %s", got)
	}
}

// TestRefusedPodIsFound asks about a pod that was refused with an image of the service under another's id: it is
// no part of the service's history, but all of its own.
func TestRefusedPodIsFound(t *testing.T) {
	l := filled(t)
	pod := whytest.Tenant + "/by-hand"
	seq := (&scribe{t: t, log: l}).add(tracedb.KindAdmission, tracedb.Denied,
		tracedb.Admission{Namespace: whytest.Tenant, Resource: "Pod/by-hand", Images: []string{whytest.Image}, Algorithm: whytest.OtherID, Policy: "register", Reason: "not its id"},
		"image", whytest.Image, "namespace", whytest.Tenant, "algorithm", whytest.OtherID, "pod", pod)
	c := ask(t, l, pod)
	if !has(c, seq) || !strings.Contains(c.Answer, "not its id") {
		t.Errorf("the refusal (record %d) isn't told: %s", seq, c.Answer)
	}
}

// TestRefusalOfWhatNobodyBuilt has the answer say the refusal, and nobody say that evidence is complete.
func TestRefusalOfWhatNobodyBuilt(t *testing.T) {
	l := filled(t)
	pod := whytest.Tenant + "/stray"
	(&scribe{t: t, log: l}).add(tracedb.KindAdmission, tracedb.Denied,
		tracedb.Admission{Namespace: whytest.Tenant, Resource: "Pod/stray", Policy: "foundry-image", Reason: "not from the foundry"}, "namespace", whytest.Tenant, "pod", pod)
	c := ask(t, l, pod)
	if !strings.Contains(c.Answer, "not from the foundry") || !strings.Contains(c.AnswerNL, "geweigerd") {
		t.Errorf("the refusal isn't in the answer: %s\n%s", c.Answer, c.AnswerNL)
	}
	if c.Complete() {
		t.Error("evidence of something that was never built is called complete")
	}
}

// TestPodIsAnsweredWithItsOwnImage has somebody ask in vain for a debug container of a newer service in a pod: what
// is told of the pod is what it runs, and who reached into it.
func TestPodIsAnsweredWithItsOwnImage(t *testing.T) {
	l := filled(t)
	s := &scribe{t: t, log: l}
	pod, other := whytest.Tenant+"/asked-about", "sha256:"+strings.Repeat("5", 64)
	running := func(image, name string) {
		s.add(tracedb.KindDeployment, tracedb.Running, tracedb.Deployment{Namespace: whytest.Tenant, Object: "Pod/" + name, Images: []string{image}},
			"image", image, "namespace", whytest.Tenant, "pod", whytest.Tenant+"/"+name)
	}
	running(whytest.Image, "asked-about")
	running(other, "newer")
	s.add(tracedb.KindAdmission, tracedb.Denied,
		tracedb.Admission{Namespace: whytest.Tenant, Resource: "Pod/asked-about", Images: []string{other}, Policy: "register", Reason: "not its id"},
		"image", other, "namespace", whytest.Tenant, "pod", pod)
	s.add(tracedb.KindRequest, tracedb.Allowed,
		tracedb.Request{User: "kubernetes-admin", Verb: "create", Resource: "pods/exec", Namespace: whytest.Tenant, Name: "asked-about"},
		"namespace", whytest.Tenant, "pod", pod)
	answer := ask(t, l, "pod:"+pod).Answer
	for _, want := range []string{"Image sha256:" + whytest.Image[7:19], "Past the platform kubernetes-admin asked for create pods/exec", "not its id"} {
		if !strings.Contains(answer, want) {
			t.Errorf("%q isn't in the answer: %s", want, answer)
		}
	}
	if !strings.HasPrefix(answer, "Image sha256:"+whytest.Image[7:19]) {
		t.Errorf("another image is told of first: %s", answer)
	}
}

// TestRefusedConnectionIsTold has a pod refused a connection, and somebody reach into it, and another try in vain: each
// is told by its newest record, and none hides another.
func TestRefusedConnectionIsTold(t *testing.T) {
	l := filled(t)
	s := &scribe{t: t, log: l}
	record := func(r tracedb.Request, outcome tracedb.Outcome) {
		r.Namespace = whytest.Tenant
		s.add(tracedb.KindRequest, outcome, r, "namespace", whytest.Tenant, "pod", whytest.Pod)
	}
	record(tracedb.Request{User: "before", Verb: "create", Resource: "pods/exec"}, tracedb.Allowed)
	record(tracedb.Request{User: "in vain", Verb: "get", Resource: "pods/exec"}, tracedb.Denied)
	record(tracedb.Request{User: whytest.Pod, Verb: tracedb.VerbConnect, Resource: "gitea/old", Name: "port 1/TCP"}, tracedb.Denied)
	record(tracedb.Request{User: whytest.Pod, Verb: tracedb.VerbConnect, Resource: "kyverno/kyverno-1", Name: "port 9443/TCP"}, tracedb.Denied)
	c := ask(t, l, whytest.Image)
	for _, want := range []string{"Past the platform before asked for create pods/exec", "Past the platform in vain asked for get pods/exec", "refused a connection of " + whytest.Pod + " to kyverno/kyverno-1, port 9443/TCP, last on "} {
		if !strings.Contains(c.Answer, want) {
			t.Errorf("%q isn't in the answer: %s", want, c.Answer)
		}
	}
	if want := "weigerde een verbinding van " + whytest.Pod + " met kyverno/kyverno-1"; !strings.Contains(c.AnswerNL, want) {
		t.Errorf("%q isn't in the answer: %s", want, c.AnswerNL)
	}
	if strings.Contains(c.Answer, "gitea/old") {
		t.Errorf("an older one is told: %s", c.Answer)
	}
}
