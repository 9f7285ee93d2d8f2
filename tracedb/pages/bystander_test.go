package pages

import (
	"strings"
	"testing"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/catalog"
	"github.com/druppie/druppie-up/tracedb/why/whytest"
)

// TestBystanderChangesNoPage has somebody ask for the service's image in a namespace of their own, dry
// and in earnest, and make the same image from a repository of theirs: the service's page, its card on
// the start page and its entry in the register say what they said before.
func TestBystanderChangesNoPage(t *testing.T) {
	w := newWorld(t, story(t)...)
	w.tell("tracedb", tracedb.KindAdmission, "kyverno", tracedb.Allowed, tracedb.Admission{
		Namespace: whytest.Tenant, Resource: "Pod/drone-service-2", Images: []string{whytest.Image}, Algorithm: whytest.Algorithm, Policy: "register", Reason: "in use",
	}, "image", whytest.Image, "namespace", whytest.Tenant, "algorithm", whytest.Algorithm)
	w.tell("collector:pods", tracedb.KindDeployment, "kubelet", tracedb.Running, tracedb.Deployment{
		Namespace: whytest.Tenant, Object: "Pod/drone-service-2", Images: []string{whytest.Image}, Algorithm: whytest.Algorithm,
	}, "image", whytest.Image, "namespace", whytest.Tenant, "algorithm", whytest.Algorithm, "pod", whytest.Tenant+"/drone-service-2")
	const verdict = `<span class="badge ok">Runs</span>`
	service := func() string {
		return w.get(auditor, "/service/"+whytest.Repository, "Accept-Language", "en").Body.String()
	}
	if !strings.Contains(service(), verdict) {
		t.Fatal("the service doesn't run before anybody else does anything")
	}
	before := w.get(auditor, "/", "Accept-Language", "en").Body.String()
	card := before[strings.Index(before, `class="card`):strings.Index(before, `id="latest-h"`)]

	w.tell("collector:kyverno", tracedb.KindAdmission, "kyverno", tracedb.Denied, tracedb.Admission{
		Namespace: "playground", Resource: "Pod/copy", Images: []string{whytest.Image}, Policy: "foundry-image", Reason: "evil.example/copy@" + whytest.Image + " isn't from the foundry",
	}, "image", whytest.Image, "namespace", "playground", "pod", "playground/copy")
	w.tell("tracedb", tracedb.KindAdmission, "kyverno", tracedb.Denied, tracedb.Admission{
		Namespace: "playground", Resource: "Pod/copy", Images: []string{whytest.Refused}, Algorithm: whytest.Algorithm, Policy: "register", Reason: "out of use",
	}, "image", whytest.Refused, "namespace", "playground", "algorithm", whytest.Algorithm, "repository", whytest.Repository)
	if got := service(); !strings.Contains(got, verdict) || strings.Contains(got, "playground") {
		t.Error("the service's page tells what a bystander was refused")
	}
	if home := w.get(auditor, "/", "Accept-Language", "en").Body.String(); !strings.Contains(home, card) {
		t.Error("the service's card tells what a bystander was refused")
	}

	w.catalog.Apply(tracedb.Fact{Table: catalog.TableImage, Key: whytest.Image, Seq: 1, Value: []byte(`{"repository":"` + whytest.Repository + `"}`)})
	w.catalog.Apply(tracedb.Fact{Table: catalog.TableImage, Key: whytest.Image, Seq: 1000, Value: []byte(`{"repository":"mallory/copy"}`)})
	if entry := w.get(auditor, "/register/"+whytest.Algorithm).Body.String(); !strings.Contains(entry, whytest.Image) {
		t.Error("who makes the same image takes it from the register's entry")
	}
}

// TestAPodThatNobodyLetInIsShown: beside the decisions about other pods its page says which one nobody let in.
func TestAPodThatNobodyLetInIsShown(t *testing.T) {
	w := newWorld(t, story(t)...)
	page := func(lang string) string {
		return w.get(auditor, "/service/"+whytest.Repository, "Accept-Language", lang).Body.String()
	}
	const gap, gapNL = "no record of a decision that let in drones/past-1", "geen besluit vastgelegd dat dit toeliet: drones/past-1"
	if strings.Contains(page("en"), "no record of a decision that let in") {
		t.Fatal("it is there before")
	}
	w.add(part(t, "pod/past-uid/running/1", "collector:pods", tracedb.KindDeployment, "kubelet", tracedb.Running, tracedb.Deployment{
		Namespace: "drones", Object: "Pod/past-1", Images: []string{whytest.Image}, Algorithm: whytest.Algorithm,
	}, "image", whytest.Image, "namespace", "drones", "pod", "drones/past-1", "algorithm", whytest.Algorithm))
	if !strings.Contains(page("en"), gap) || !strings.Contains(page("nl"), gapNL) {
		t.Error("the service's page doesn't say so")
	}
}
