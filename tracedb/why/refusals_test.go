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
