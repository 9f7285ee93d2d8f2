package pages

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/druppie/druppie-up/internal/text"
	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/why/whytest"
)

// listen gathers what the browser complains of: errors of scripts, and what the policy refused.
func listen(t testing.TB, ctx context.Context) func() []string {
	t.Helper()
	var mu sync.Mutex
	var heard []string
	say := func(s string) { mu.Lock(); heard = append(heard, s); mu.Unlock() }
	chromedp.ListenTarget(ctx, func(ev any) {
		switch ev := ev.(type) {
		case *runtime.EventExceptionThrown:
			say("exception: " + ev.ExceptionDetails.Error())
		case *cdplog.EventEntryAdded:
			// A page that says 404 is one that loaded with it.
			if ev.Entry.Source != cdplog.SourceNetwork {
				say(string(ev.Entry.Source) + ": " + ev.Entry.Text)
			}
		}
	})
	if err := chromedp.Run(ctx, runtime.Enable(), cdplog.Enable()); err != nil {
		t.Fatal(err)
	}
	return func() []string { mu.Lock(); defer mu.Unlock(); return slices.Clone(heard) }
}

// eventually waits until an expression of the page is true.
func eventually(t testing.TB, ctx context.Context, what, expression string) {
	t.Helper()
	if err := chromedp.Run(ctx, chromedp.Poll(expression, nil, chromedp.WithPollingTimeout(time.Minute), chromedp.WithPollingInterval(100*time.Millisecond))); err != nil {
		t.Fatalf("%s: never came: %v", what, err)
	}
}

// TestHostileInBrowser opens every page of the attackers' story.
func TestHostileInBrowser(t *testing.T) {
	w := newWorld(t, hostile(t)...)
	ctx := browse(t)
	heard := listen(t, ctx)
	url := w.serve(auditor)
	for i, path := range hostilePaths(w) {
		var owned, wide bool
		var title string
		err := chromedp.Run(ctx, look{width: 1280, script: true}.set(), chromedp.Navigate(url+path),
			// Everything that can be unfolded or pointed at is, as a reader may.
			chromedp.Evaluate(`for (const d of document.querySelectorAll("details")) d.open = true; document.querySelectorAll("main *").forEach((e) => e.dispatchEvent(new MouseEvent("mouseover", { bubbles: true })))`, nil),
			chromedp.Evaluate(`"owned" in window`, &owned), chromedp.Title(&title),
			chromedp.Evaluate(`document.documentElement.scrollWidth > document.documentElement.clientWidth`, &wide))
		if err != nil {
			t.Fatalf("%.60s: %v", path, err)
		}
		if owned || title == "owned" {
			t.Errorf("%.60s: the attack ran", path)
		}
		if i < 4 {
			screenshot(t, ctx, fmt.Sprintf("hostile-%d", i))
		}
		if wide {
			t.Errorf("%.60s: the attack's text is wider than the window", path)
		}
	}
	if h := heard(); len(h) > 0 {
		t.Errorf("the browser complains: %s", h)
	}
	// Control: what the page's own script may not do is refused, and heard.
	var ran bool
	if err := chromedp.Run(ctx, chromedp.Evaluate(`{ const s = document.createElement("div"); try { s.innerHTML = "<img src=x onerror='window.owned=1'>"; document.body.append(s); } catch {} } "owned" in window`, &ran)); err != nil {
		t.Fatal(err)
	}
	if ran || len(heard()) == 0 {
		t.Errorf("markup made of text passes the policy unheard: %v, %s", ran, heard())
	}
}

// lights reads how the steps of the diagram that can be seen are lit.
const lights = `Object.fromEntries([...document.querySelectorAll("svg.flow a.node")].filter((a) => a.checkVisibility())
	.map((a) => [a.querySelector(".id").textContent, a.getAttribute("class").replace("node ", "")]))`

// TestStory looks at the diagram and the timeline of a whole story, with scripts and without.
func TestStory(t *testing.T) {
	w := newWorld(t, story(t)...)
	ctx := browse(t)
	heard := listen(t, ctx)
	url := w.serve(auditor)
	for _, l := range []look{
		{"wide", 1280, false, text.Dutch, true}, {"narrow", 320, false, text.Dutch, true}, {"plain", 1280, true, text.English, false},
	} {
		t.Run(l.name, func(t *testing.T) {
			var got map[string]string
			var cards, folds int
			err := chromedp.Run(ctx, l.set(), chromedp.Navigate(url+"/register?lang="+l.lang), chromedp.Navigate(url+"/service/"+whytest.Repository),
				chromedp.Evaluate(lights, &got),
				chromedp.Evaluate(`document.querySelectorAll(".timeline .link").length`, &cards),
				chromedp.Evaluate(`[...document.querySelectorAll(".timeline .link")].filter((l) => l.querySelector("details")).length`, &folds))
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range steps {
				want := string(stateEvidence)
				if slices.Contains([]string{"F1", "F3b", "F6", "F7b"}, s.ID) {
					want = string(stateFailed)
				}
				if got[s.ID] != want {
					t.Errorf("%s is %q, want %q", s.ID, got[s.ID], want)
				}
			}
			if cards < 20 || folds != cards {
				t.Errorf("%d records in the timeline, %d that unfold", cards, folds)
			}
			// A step leads to its records.
			var hash string
			err = chromedp.Run(ctx, chromedp.Evaluate(`[...document.querySelectorAll("svg.flow a.node")].find((a) => a.checkVisibility() && a.getAttribute("href") === "#F4").dispatchEvent(new MouseEvent("click", { bubbles: true, cancelable: true }))`, nil),
				chromedp.Evaluate(`document.querySelector(":target")?.id || ""`, &hash))
			if err != nil || hash != "F4" {
				t.Errorf("the step leads to %q, %v", hash, err)
			}
			// Times and copy buttons are the script's; without it there is neither, and nothing is missing.
			var copies int
			var times string
			if err := chromedp.Run(ctx, chromedp.Evaluate(`document.querySelectorAll("button.copy").length`, &copies), chromedp.Evaluate(`document.querySelector(".timeline time").title`, &times)); err != nil {
				t.Fatal(err)
			}
			if l.script != (copies > 0) || l.script != strings.Contains(times, "UTC") {
				t.Errorf("%d copy buttons, time %q with script %v", copies, times, l.script)
			}
		})
	}
	if h := heard(); len(h) > 0 {
		t.Errorf("the browser complains: %s", h)
	}
}

// TestLocalTime looks that the script shows the reader's own time, and keeps UTC.
func TestLocalTime(t *testing.T) {
	w := newWorld(t, story(t)...)
	ctx := browse(t)
	url := w.serve(auditor)
	var shown, title string
	err := chromedp.Run(ctx, emulation.SetTimezoneOverride("Europe/Amsterdam"), chromedp.Navigate(url+"/record/9?lang=nl"),
		chromedp.Text("main time", &shown, chromedp.ByQuery), chromedp.AttributeValue("main time", "title", &title, nil, chromedp.ByQuery))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(shown, "10:10:00") || title != "2 feb 2026 09:10:00 UTC" {
		t.Errorf("shown %q, title %q", shown, title)
	}
}

// TestChoices presses the buttons of the page's head, without scripts.
func TestChoices(t *testing.T) {
	w := newWorld(t, story(t)...)
	ctx := browse(t)
	url := w.serve(auditor)
	at := url + "/why?q=" + whytest.Image
	ground := `getComputedStyle(document.body).backgroundColor`
	var light, dark, again, lang, heading, address string
	err := chromedp.Run(ctx, look{width: 1280, dark: false, script: false}.set(), chromedp.Navigate(at), chromedp.Evaluate(ground, &light),
		chromedp.Click(`.theme button[value="dark"]`, chromedp.ByQuery), chromedp.WaitVisible(`html[data-theme="dark"]`, chromedp.ByQuery),
		chromedp.Evaluate(ground, &dark), chromedp.Location(&address),
		chromedp.Click(`.langs a[lang="en"]`, chromedp.ByQuery), chromedp.WaitVisible(`html[lang="en"][data-theme="dark"]`, chromedp.ByQuery),
		chromedp.Text("#timeline-h", &heading, chromedp.ByQuery),
		chromedp.Navigate(url+"/refusals"), chromedp.Evaluate(`document.documentElement.lang`, &lang), chromedp.Evaluate(ground, &again))
	if err != nil {
		t.Fatal(err)
	}
	if light == dark || again != dark {
		t.Errorf("light %s, dark %s, on the next page %s", light, dark, again)
	}
	if lang != text.English || heading != "Timeline" {
		t.Errorf("language %q, heading %q", lang, heading)
	}
	if !strings.Contains(address, "q="+strings.ReplaceAll(whytest.Image, ":", "%3A")) {
		t.Errorf("the choice lost the question: %s", address)
	}
}

// TestLive opens the story of a service that is being built, and watches it arrive.
func TestLive(t *testing.T) {
	parts := whytest.History(t)
	cut := slices.IndexFunc(parts, func(p whytest.Part) bool { return p.Drafts[0].Kind == tracedb.KindPromotion })
	end := slices.IndexFunc(parts[cut:], func(p whytest.Part) bool {
		return (tracedb.Entry{Refs: p.Drafts[0].Refs}).First(tracedb.RefRepository) == whytest.Other
	}) + cut
	if cut < 0 || end <= cut {
		t.Fatalf("the story has no delivery: %d to %d", cut, end)
	}
	w := newWorld(t, parts[:cut]...)
	ctx := browse(t)
	heard := listen(t, ctx)
	url := w.serve(auditor)
	var before map[string]string
	err := chromedp.Run(ctx, look{width: 1280, script: true}.set(), chromedp.Navigate(url+"/service/"+whytest.Repository+"?lang=en"), chromedp.Evaluate(lights, &before),
		// The reader unfolds something, and stands on it.
		chromedp.Evaluate(`{ const d = document.querySelector("#F0 details[id]"); d.open = true; d.querySelector("summary").focus(); window.stood = d.id; window.same = true; }`, nil))
	if err != nil {
		t.Fatal(err)
	}
	if before["F4"] != string(stateMissing) || before["F7a"] != string(stateMissing) || before["F3a"] != string(stateEvidence) {
		t.Errorf("before the delivery: %v", before)
	}
	eventually(t, ctx, "the connection", `document.querySelector("[data-status]").textContent.includes("by themselves")`)
	screenshot(t, ctx, "live-before")
	w.add(parts[cut:end]...)
	eventually(t, ctx, "the pod", `(`+lights+`).F7a === "lit"`)
	screenshot(t, ctx, "live-after")
	var same, open bool
	var focus, status string
	err = chromedp.Run(ctx, chromedp.Evaluate(`window.same === true`, &same), chromedp.Evaluate(`document.getElementById(window.stood).open`, &open),
		chromedp.Evaluate(`document.activeElement.closest("details")?.id || ""`, &focus), chromedp.Text("[data-status]", &status, chromedp.ByQuery))
	if err != nil {
		t.Fatal(err)
	}
	if !same || !open || !strings.HasPrefix(focus, "d") {
		t.Errorf("the page was loaded again: %v; still unfolded: %v; focus in %q", !same, open, focus)
	}
	if !strings.Contains(status, "Updated at") {
		t.Errorf("status = %q", status)
	}

	// The start page shows new records of every service, and isn't moved by reads.
	if err := chromedp.Run(ctx, chromedp.Navigate(url+"/")); err != nil {
		t.Fatal(err)
	}
	eventually(t, ctx, "the connection", `document.querySelector("[data-status]").textContent.includes("by themselves")`)
	w.tell("tracedb", tracedb.KindRead, "gitea:auditor", "", tracedb.Read{What: "page", Of: "/"})
	w.tell("collector:gitea", tracedb.KindReview, "second-reviewer", tracedb.Approved, tracedb.Review{Repository: whytest.Other, Pull: 1, Reviewer: "second-reviewer", Reason: "fine"}, "repository", whytest.Other)
	eventually(t, ctx, "the review", `document.querySelector("[data-part=latest]").textContent.includes("second-reviewer")`)
	if h := heard(); len(h) > 0 {
		t.Errorf("the browser complains: %s", h)
	}
}

// TestPrint looks that everything that is folded is printed, and nothing that is only for a screen.
func TestPrint(t *testing.T) {
	w := newWorld(t, story(t)...)
	ctx := browse(t)
	url := w.serve(auditor)
	var hidden, shown, unfolded bool
	err := chromedp.Run(ctx, look{width: 1000, script: false}.set(), chromedp.Navigate(url+"/why?q="+whytest.Refused), emulation.SetEmulatedMedia().WithMedia("print"),
		chromedp.Evaluate(`[...document.querySelectorAll("nav, form, .button")].every((e) => !e.checkVisibility())`, &hidden),
		chromedp.Evaluate(`document.querySelector(".timeline .link h4").checkVisibility() && document.querySelector("svg.flow.wide").checkVisibility()`, &shown),
		chromedp.Evaluate(`[...document.querySelectorAll(".timeline .link pre")].every((e) => e.checkVisibility({ contentVisibilityAuto: true }) && e.getBoundingClientRect().height > 0)`, &unfolded))
	if err != nil {
		t.Fatal(err)
	}
	if !hidden || !shown || !unfolded {
		t.Errorf("on paper: menus gone %v, story there %v, unfolded %v", hidden, shown, unfolded)
	}
	screenshot(t, ctx, "print")
}
