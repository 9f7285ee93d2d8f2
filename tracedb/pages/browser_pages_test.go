package pages

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/druppie/druppie-up/internal/text"
	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/why/whytest"
)

// audit is run in each page and gives what is wrong with it: a part of WCAG 2.1 AA that a program can
// judge, and what must not be there.
const audit = `(() => {
  const wrong = [];
  const say = (what, el) => wrong.push(what + (el ? ": " + el.outerHTML.slice(0, 140) : ""));
  const seen = (el) => el.checkVisibility({ checkOpacity: true, checkVisibilityCSS: true }) && !el.closest(".hidden, .skip");
  const doc = document.documentElement;

  // 1.4.10 Reflow
  if (doc.scrollWidth > doc.clientWidth) {
    say("wider than the window: " + doc.scrollWidth + " > " + doc.clientWidth);
    for (const el of document.body.querySelectorAll("*"))
      if (seen(el) && el.getBoundingClientRect().right > doc.clientWidth + 0.5 && !el.closest("pre")) say("sticks out", el);
  }

  // 1.4.3 Contrast, of every text against the ground that is painted below it
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data].map((v, i) => i === 3 ? v / 255 : v);
  };
  const over = (a, b) => a.slice(0, 3).map((v, i) => v * a[3] + b[i] * (1 - a[3])).concat(1);
  const shape = (el) => el.closest("svg") && el.parentElement.closest("svg")
    ? [...(el.closest(".node, .lane") || el).querySelectorAll(".box, .lane rect")] : [];
  const ground = (el) => {
    const layers = shape(el).map((s) => rgba(getComputedStyle(s).fill));
    for (let e = el; e; e = e.parentElement) layers.push(rgba(getComputedStyle(e).backgroundColor));
    layers.push(rgba(getComputedStyle(doc).colorScheme.includes("dark") && matchMedia("(prefers-color-scheme: dark)").matches ? "#121212" : "#fff"));
    return layers.reduceRight((below, layer) => over(layer, below));
  };
  const light = (c) => {
    const [r, g, b] = c.map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ratio = (a, b) => { const [x, y] = [light(a), light(b)].sort((p, q) => q - p); return (x + 0.05) / (y + 0.05); };
  let measured = 0;
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const done = new Set();
  while (walker.nextNode()) {
    const el = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || done.has(el) || !seen(el)) continue;
    done.add(el);
    const style = getComputedStyle(el);
    const below = ground(el);
    const ink = over(rgba(el instanceof SVGElement ? style.fill : style.color), below);
    const big = parseFloat(style.fontSize) >= 24 || parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 700;
    measured++;
    if (ratio(ink, below) < (big ? 3 : 4.5)) say("contrast " + ratio(ink, below).toFixed(2), el);
  }
  if (measured < 15) say("only " + measured + " texts were measured");

  // 1.3.1, 2.4.1, 2.4.2, 2.4.6, 3.1.1, 4.1.2
  if (!["nl", "en"].includes(doc.lang)) say("no language");
  if (!document.title.trim()) say("no title");
  for (const tag of ["main", "h1"]) if (document.querySelectorAll(tag).length !== 1) say(document.querySelectorAll(tag).length + " " + tag);
  if (!document.querySelector("a.skip[href='#main']")) say("no way past the menu");
  let level = 0;
  for (const h of document.querySelectorAll("h1, h2, h3, h4, h5, h6")) {
    if (+h.tagName[1] > level + 1) say("skips a level of headings", h);
    if (!h.textContent.trim()) say("an empty heading", h);
    level = +h.tagName[1];
  }
  const ids = new Set();
  for (const el of document.querySelectorAll("[id]")) { if (ids.has(el.id)) say("the same id twice", el); ids.add(el.id); }
  for (const el of document.querySelectorAll("[aria-labelledby], [aria-describedby]"))
    for (const id of ((el.getAttribute("aria-labelledby") || "") + " " + (el.getAttribute("aria-describedby") || "")).trim().split(/\s+/))
      if (!ids.has(id)) say("refers to " + id + ", which isn't there", el);
  for (const el of document.querySelectorAll("input:not([type=hidden]), select, textarea")) if (!el.labels || !el.labels.length) say("a field without a label", el);
  for (const el of document.querySelectorAll("a[href], button, summary"))
    if (!(el.textContent.trim() || el.getAttribute("aria-label"))) say("nothing to read it by", el);
  // 2.5.3 Label in name: who speaks to their machine says what they see
  const words = (s) => s.toLowerCase().replace(/[\p{P}\p{S}]/gu, " ").replace(/\s+/g, " ").trim();
  for (const el of document.querySelectorAll("a[href][aria-label], button[aria-label], summary[aria-label]")) {
    const copy = el.cloneNode(true);
    for (const no of copy.querySelectorAll("[aria-hidden=true], .hidden, title")) no.remove();
    if (!words(el.getAttribute("aria-label")).includes(words(copy.textContent))) say("read by another name than it shows", el);
  }
  for (const el of document.querySelectorAll("nav")) if (!el.getAttribute("aria-label")) say("a menu without a name", el);
  for (const a of document.querySelectorAll("a[href^='#']")) if (!ids.has(decodeURIComponent(a.getAttribute("href").slice(1)))) say("leads nowhere", a);

  // Names are shown as they are: who copies one copies how it looks.
  for (const el of document.querySelectorAll(".line-title, .link h3, .link h4"))
    if (getComputedStyle(el, "::first-letter").textTransform !== "none") say("a name in other letters", el);

  // Times are written the same way by the page and by its script.
  if (/\d [AP]M\b/.test(document.body.innerText)) say("a time of twelve hours");

  // A list of tiles fills its last row.
  for (const el of document.querySelectorAll(".totals"))
    if (el.lastElementChild.getBoundingClientRect().right < el.getBoundingClientRect().right - 2) say("ends in an empty tile", el);

  // 2.5.8 Target size (of WCAG 2.2): 24 by 24, but for links within text
  for (const el of document.querySelectorAll("button, .button, summary, nav a, input:not([type=hidden]), select")) {
    const box = el.getBoundingClientRect();
    if (seen(el) && (box.width < 24 || box.height < 24) && !el.closest(".crumbs")) say("too small to hit: " + box.width + " by " + box.height, el);
  }

  // 2.4.7 Focus visible
  for (const el of [...document.querySelectorAll("a[href], button, input:not([type=hidden]), select, summary")].filter(seen).slice(0, 25)) {
    el.focus({ focusVisible: true, preventScroll: true });
    const look = (e) => { const s = getComputedStyle(e); return s.outlineStyle + s.outlineWidth + s.stroke + s.strokeWidth; };
    const inner = el.querySelector(".box");
    const on = look(inner || el);
    el.blur();
    if (on === look(inner || el)) say("focus can't be seen", el);
  }
  return JSON.stringify(wrong);
})()`

// audited runs the audit in the tab.
func audited(t testing.TB, ctx context.Context) []string {
	t.Helper()
	var raw string
	if err := chromedp.Run(ctx, chromedp.Evaluate(audit, &raw)); err != nil {
		t.Fatalf("audit: %v", err)
	}
	var wrong []string
	if err := json.Unmarshal([]byte(raw), &wrong); err != nil {
		t.Fatal(err)
	}
	return wrong
}

// TestScreens looks at every page in both languages and themes, wide and as narrow as WCAG 1.4.10 asks,
// judges what a program can judge, and keeps pictures for people.
func TestScreens(t *testing.T) {
	w := newWorld(t, story(t)...)
	ctx := browse(t)
	inside, outside := w.serve(auditor), w.serve(tracedb.Identity{})
	pages := []struct{ name, base, path string }{
		{"home", inside, "/"}, {"home-public", outside, "/"}, {"service", inside, "/service/" + whytest.Repository}, {"step", inside, "/service/" + whytest.Repository + "?step=F3b"},
		{"refused", inside, "/why?q=" + whytest.Refused}, {"why", inside, "/why"}, {"why-unknown", inside, "/why?q=nothing"},
		{"register", outside, "/register"}, {"entry", outside, "/register/" + whytest.Algorithm}, {"entry-auditor", inside, "/register/" + whytest.Algorithm},
		{"refusals", inside, "/refusals"}, {"search", inside, "/search"}, {"search-wrong", inside, "/search?from=x&about=%3F&kind=run"},
		{"verify", inside, "/verify?seq=7"}, {"record", inside, "/record/9"}, {"record-denied", inside, fmt.Sprintf("/record/%d", w.denied())},
		{"error", inside, "/nothing"}, {"login", outside, "/search"},
	}
	for _, l := range []look{
		{"desktop-light-nl", 1280, false, text.Dutch, true},
		{"desktop-dark-en", 1280, true, text.English, true},
		{"tablet-light-en", 800, false, text.English, true},
		{"narrow-light-en", 320, false, text.English, true},
		{"narrow-dark-nl", 320, true, text.Dutch, true},
		{"narrow-light-nl-plain", 320, false, text.Dutch, false},
	} {
		t.Run(l.name, func(t *testing.T) {
			for _, p := range pages {
				choose := p.base + "/register?lang=" + l.lang
				if err := chromedp.Run(ctx, l.set(), chromedp.Navigate(choose), chromedp.Navigate(p.base+p.path)); err != nil {
					t.Fatalf("%s: %v", p.name, err)
				}
				screenshot(t, ctx, p.name+"-"+l.name)
				for _, wrong := range audited(t, ctx) {
					t.Errorf("%s: %s", p.name, wrong)
				}
			}
		})
	}
}

// TestAuditControl shows that the audit sees what it should.
func TestAuditControl(t *testing.T) {
	w := newWorld(t, story(t)...)
	ctx := browse(t)
	url := w.serve(auditor)
	tests := []struct{ name, spoil, want string }{
		{"too wide", `document.querySelector("h1").style.width = "3000px"`, "wider than the window"},
		{"pale", `document.querySelector("h1").style.color = "#bbb"`, "contrast"},
		{"pale in the diagram", `document.querySelector(".flow.wide .name").style.fill = "#ccc"`, "contrast"},
		{"no label", `document.querySelector("label").remove()`, "without a label"},
		{"headings", `document.querySelectorAll("h2").forEach((h) => { const d = document.createElement("div"); h.replaceWith(d); })`, "skips a level"},
		{"same id", `document.querySelector("h1").id = "main"`, "same id twice"},
		{"no focus", `{ const s = new CSSStyleSheet(); s.replaceSync("* { outline: none !important }"); document.adoptedStyleSheets = [s]; }`, "focus can't be seen"},
		{"tiny", `document.querySelector(".ask button").style.cssText = "min-height:0;height:9px;padding:0"`, "too small to hit"},
		{"capitals", `{ const s = new CSSStyleSheet(); s.replaceSync(".line-title::first-letter { text-transform: uppercase }"); document.adoptedStyleSheets = [s]; }`, "a name in other letters"},
		{"twelve hours", `document.querySelector("h1").textContent = "9:41:00 AM"`, "a time of twelve hours"},
		{"empty tile", `document.querySelector(".totals").style.cssText = "display:grid;grid-template-columns:repeat(4,1fr)"`, "ends in an empty tile"},
		{"another name", `document.querySelector("a.brand").setAttribute("aria-label", "Home")`, "read by another name"},
		{"leads nowhere", `document.querySelector("#main").id = "other"`, "leads nowhere"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := chromedp.Run(ctx, look{width: 1280, script: true}.set(), chromedp.Navigate(url+"/"), chromedp.Evaluate(tt.spoil, nil)); err != nil {
				t.Fatal(err)
			}
			if wrong := audited(t, ctx); !slices.ContainsFunc(wrong, func(s string) bool { return strings.Contains(s, tt.want) }) {
				t.Errorf("the audit says %q, want %q", wrong, tt.want)
			}
		})
	}
}
