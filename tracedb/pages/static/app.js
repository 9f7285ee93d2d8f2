// What pages can do better with a script: the reader's own time, copy buttons, and new records as they
// come. Every page says the same without it. Nothing here makes markup out of text: a fresh page is
// parsed by the browser without running scripts, and its parts are moved over.
"use strict";
(() => {
  const said = document.body.dataset;
  // English as the pages write it: the day before the month, and no AM or PM.
  const lang = document.documentElement.lang === "en" ? "en-GB" : document.documentElement.lang;

  // Times, in the reader's own zone; UTC stays readable as the title.
  const format = new Intl.DateTimeFormat(lang, { dateStyle: "medium", timeStyle: "medium" });
  const zone = new Intl.DateTimeFormat(lang, { timeZoneName: "short" });
  const localTimes = (root) => {
    for (const time of root.querySelectorAll("time[datetime]")) {
      const at = new Date(time.dateTime);
      if (isNaN(at)) continue;
      time.title = time.textContent;
      const name = zone.formatToParts(at).find((part) => part.type === "timeZoneName");
      time.textContent = format.format(at) + (name ? " " + name.value : "");
    }
  };

  // Copy buttons beside hashes and commands.
  const copyButtons = (root) => {
    if (!navigator.clipboard) return;
    for (const code of root.querySelectorAll("[data-copy-text]")) {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "copy";
      // What it is called begins with what it shows.
      const show = (word) => {
        button.textContent = word;
        button.setAttribute("aria-label", word + " " + code.dataset.copyText.slice(0, 24));
      };
      show(said.copy);
      button.addEventListener("click", async () => {
        try {
          await navigator.clipboard.writeText(code.dataset.copyText);
          show(said.copied);
          setTimeout(() => show(said.copy), 2000);
        } catch { code.focus(); }
      });
      (code.closest("pre") || code).after(button);
    }
  };

  const enhance = (root) => { localTimes(root); copyButtons(root); };
  // Parts of the page as the server wrote them, to compare with what it writes later.
  const partsOf = (doc) => new Map([...doc.querySelectorAll("[data-part]")].map((part) => [part.dataset.part, part]));
  const written = new Map([...partsOf(document)].map(([name, part]) => [name, part.outerHTML]));
  enhance(document);

  // What is folded is printed too.
  let folded = [];
  addEventListener("beforeprint", () => {
    folded = [...document.querySelectorAll("details:not([open])")];
    for (const d of folded) d.open = true;
  });
  addEventListener("afterprint", () => { for (const d of folded) d.open = false; });

  // New records: the page is fetched again and the parts that differ are exchanged, so that the server
  // alone writes pages.
  if (!said.events || !window.EventSource) return;
  const status = document.querySelector("[data-status]");
  const about = new Set((said.subjects || "").split(" ").filter(Boolean));
  // Reads are records as well: a page that its own reading renews would never rest.
  const quiet = new Set(["read", "key", "disposal"]);
  const concerns = (entry) => !quiet.has(entry.kind) &&
    (about.size === 0 || (entry.refs || []).some((ref) => about.has(ref.type + ":" + ref.value)));

  const say = (text, lost = false) => {
    if (!status) return;
    status.textContent = text;
    status.classList.toggle("lost", lost);
  };

  // exchange puts a fresh part in the place of an old one, and keeps what the reader had unfolded and
  // where they were.
  const exchange = (old, fresh) => {
    const part = document.importNode(fresh, true);
    const folds = [...old.querySelectorAll("details[id]")].map((d) => [d.id, d.open]);
    const known = new Set([...old.querySelectorAll("li[id]")].map((li) => li.id));
    const focus = old.contains(document.activeElement) ? document.activeElement : null;
    const place = focus && (focus.id ? "#" + CSS.escape(focus.id)
      : focus.getAttribute("href") ? "[href=" + CSS.escape(focus.getAttribute("href")) + "]"
        : focus.closest("details[id]") ? "#" + CSS.escape(focus.closest("details[id]").id) + " > summary" : "");
    old.replaceWith(part);
    for (const [id, open] of folds) {
      const d = document.getElementById(id);
      if (d) d.open = open;
    }
    for (const li of part.querySelectorAll("li.link[id]")) if (!known.has(li.id)) li.dataset.fresh = "";
    enhance(part);
    if (place) part.querySelector(place)?.focus({ preventScroll: true });
  };

  const refresh = () => {
    const request = new XMLHttpRequest();
    request.open("GET", location.href.split("#")[0]);
    request.responseType = "document";
    request.onload = () => {
      const fresh = request.response;
      if (request.status !== 200 || !fresh) return;
      for (const ref of (fresh.body.dataset.subjects || "").split(" ").filter(Boolean)) about.add(ref);
      const parts = partsOf(fresh);
      for (const [name, old] of partsOf(document)) {
        const part = parts.get(name);
        if (!part || part.outerHTML === written.get(name)) continue;
        written.set(name, part.outerHTML);
        exchange(old, part);
      }
      say(said.updated + " " + new Intl.DateTimeFormat(lang, { timeStyle: "medium" }).format(new Date()));
    };
    request.send();
  };

  // One renewal for what comes together, and no more than one every few seconds.
  const rest = 3000;
  let waiting = 0, renewed = 0;
  const renew = () => {
    if (waiting) return;
    waiting = setTimeout(() => { waiting = 0; renewed = Date.now(); refresh(); }, Math.max(300, renewed + rest - Date.now()));
  };
  const events = new EventSource(said.events);
  const heard = (event) => {
    let entry;
    try { entry = JSON.parse(event.data); } catch { return; }
    if (concerns(entry)) renew();
  };
  events.addEventListener("message", heard);
  events.addEventListener("record", heard);
  events.addEventListener("open", () => say(said.live));
  events.addEventListener("error", () => say(said.lost, true));
  // A page that is kept for going back holds no connection.
  addEventListener("pagehide", () => events.close());
  addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
})();
