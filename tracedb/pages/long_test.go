package pages

import (
	"fmt"
	"html"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/druppie/druppie-up/internal/text"
	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/why/whytest"
)

// longWorld is the story, and what a week adds to it: the same refusal again and again, releases whose
// tests fail, and pods that come and go.
func longWorld(t testing.TB) *world {
	t.Helper()
	w := newWorld(t, story(t)...)
	about := []string{"image", whytest.Refused, "namespace", whytest.Tenant}
	for i := range 25 {
		w.tell("tracedb", tracedb.KindAdmission, "kyverno", tracedb.Denied, tracedb.Admission{
			Namespace: whytest.Tenant, Resource: fmt.Sprintf("Pod/scenario-%05d", 10007*i), Images: []string{whytest.Refused}, Algorithm: whytest.Algorithm, Policy: "register",
			Reason: "the register says that alg-d1jk3vl8 is out of use", Remedy: "set register.status to In gebruik, or ask the CISO for an exception",
		}, append(about, "algorithm", whytest.Algorithm, "repository", whytest.Repository)...)
	}
	for i := range 8 {
		revision := strings.Repeat(fmt.Sprint(i), 40)
		w.tell("collector:flux", tracedb.KindAdmission, "kyverno", tracedb.Denied, tracedb.Admission{
			Namespace: whytest.Tenant, Resource: "Deployment/drone-service", Images: []string{whytest.Refused}, Policy: "foundry-signature",
			Reason: "[C3/F6] an image here has no signature by the foundry: registry.foundry.svc.cluster.local:5000/drone-service@" + whytest.Refused,
		}, append(about, "revision", revision)...)
	}
	for i := range 6 {
		run := fmt.Sprintf("foundry/release-drone-service-%05d", 10007*i)
		w.tell("collector:tekton", tracedb.KindRun, "system:serviceaccount:foundry:pipeline", tracedb.Failed, tracedb.Run{
			Run: run, Pipeline: "release", Repository: whytest.Repository, Commit: whytest.Commit2, Reason: "Failed", Tasks: []tracedb.Task{{Name: "test", Outcome: tracedb.Failed, Message: "2 tests failed"}},
		}, "run", run, "repository", whytest.Repository, "commit", whytest.Commit2)
	}
	for i := range 10 {
		pod := fmt.Sprintf("drone-service-6d5f7c9b8-%05d", 10007*i)
		for _, outcome := range []tracedb.Outcome{tracedb.Running, tracedb.Gone} {
			w.tell("collector:pods", tracedb.KindDeployment, "kubelet", outcome, tracedb.Deployment{
				Namespace: whytest.Tenant, Object: "Pod/" + pod, Images: []string{whytest.Image}, Algorithm: whytest.Algorithm,
			}, "image", whytest.Image, "namespace", whytest.Tenant, "algorithm", whytest.Algorithm, "pod", whytest.Tenant+"/"+pod)
		}
	}
	return w
}

// TestEveryRecordOfAStepIsFound pages through a step that has more records than the story shows.
func TestEveryRecordOfAStepIsFound(t *testing.T) {
	w := longWorld(t)
	story := w.get(auditor, "/service/"+whytest.Repository, "Accept-Language", text.English).Body.String()
	all := regexp.MustCompile(`href="([^"]*step=F7b)">And ([0-9]+) more`).FindStringSubmatch(story)
	if all == nil {
		t.Fatal("the story doesn't lead to the rest of its refusals")
	}
	records := map[string]bool{}
	pages := 0
	for next := all[1]; next != ""; pages++ {
		page := w.get(auditor, html.UnescapeString(next), "Accept-Language", text.English)
		if page.Code != http.StatusOK {
			t.Fatalf("%s: %d", next, page.Code)
		}
		for _, m := range regexp.MustCompile(`href="(/record/[0-9]+)"`).FindAllStringSubmatch(page.Body.String(), -1) {
			records[m[1]] = true
		}
		next = ""
		if m := regexp.MustCompile(`href="([^"]*)" rel="next"`).FindStringSubmatch(page.Body.String()); m != nil {
			next = m[1]
		}
	}
	if len(records) != 35 || pages != 2 {
		t.Errorf("%d refusals on %d pages, want 35 on 2", len(records), pages)
	}
	for _, bad := range []string{"step=F9", "step=F7b&page=0", "step=F7b&page=3", "step=F7b&page=x"} {
		if got := w.get(auditor, "/service/"+whytest.Repository+"?"+bad); got.Code != http.StatusBadRequest {
			t.Errorf("%s: %d", bad, got.Code)
		}
	}
}

// TestServicePageStaysShort measures the page of a service that was refused again and again.
func TestServicePageStaysShort(t *testing.T) {
	w := longWorld(t)
	ctx := browse(t)
	url := w.serve(auditor)
	for _, l := range []look{{"desktop-light-en", 1280, false, text.English, true}, {"narrow-dark-nl", 320, true, text.Dutch, true}} {
		t.Run(l.name, func(t *testing.T) {
			var height int
			if err := chromedp.Run(ctx, l.set(), chromedp.Navigate(url+"/service/"+whytest.Repository+"?lang="+l.lang), chromedp.Evaluate(`document.documentElement.scrollHeight`, &height)); err != nil {
				t.Fatal(err)
			}
			screenshot(t, ctx, "long-"+l.name)
			if most := map[int64]int{1280: 7000, 320: 18000}[l.width]; height > most {
				t.Errorf("the page is %d pixels high, want at most %d", height, most)
			}
			for _, wrong := range audited(t, ctx) {
				t.Error(wrong)
			}
		})
	}
}
