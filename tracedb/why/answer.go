package why

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/druppie/druppie-up/internal/text"
	"github.com/druppie/druppie-up/tracedb"
)

// answer is one paragraph that says why what was asked about runs, or why it doesn't: how it stands,
// who asked, who wrote, who approved, what was tested, which vulnerabilities were known, who signed,
// under which entry of the register, and who let it in.
func (s *story) answer() text.Text {
	if !s.service() {
		return s.unbuilt()
	}
	sentences := []text.Text{s.stands(), s.askedFor(), s.written(), s.approved(), s.tested(), s.vulnerable(), s.signed(), s.registered(), s.promoted(), s.admitted(), s.troubled(), s.also(), s.astray()}
	return text.Join(sentences...)
}

// service says whether the records are about something that is built and run at all.
func (s *story) service() bool {
	return s.image != "" || slices.ContainsFunc(s.all, func(t told) bool {
		return len(values(t.Refs, tracedb.RefCommit)) > 0 || len(values(t.Refs, tracedb.RefRepository)) > 0
	})
}

// unbuilt is the answer where there is no service to tell of.
func (s *story) unbuilt() text.Text {
	return text.Of("The log holds {records} about {subject}, none of them about something that was built.", "Het logboek bevat {records} over {subject}, waarvan geen over iets dat gebouwd is.").Fill(lines{"records": count(len(s.all)), "subject": s.name()}.get)
}

func count(n int) text.Text {
	if n == 1 {
		return text.Of("1 record", "1 record")
	}
	return text.Same(strconv.Itoa(n) + " records")
}

// lines are a sentence's values.
type lines map[string]text.Text

func (l lines) get(name string) text.Text { return l[name] }

func say(en, nl string, l lines) text.Text { return text.Of(en, nl).Fill(l.get) }

// name is what the story is about.
func (s *story) name() text.Text {
	if s.image == "" {
		words := map[tracedb.RefType]text.Text{
			tracedb.RefCommit: text.Of("commit", "commit"), tracedb.RefRevision: text.Of("revision", "revisie"), tracedb.RefPull: text.Of("pull request", "pull request"),
			tracedb.RefRun: text.Of("pipeline run", "pijplijnrun"), tracedb.RefSession: text.Of("session", "sessie"), tracedb.RefSpec: text.Of("spec", "spec"),
			tracedb.RefPod: text.Of("pod", "pod"), tracedb.RefNamespace: text.Of("namespace", "namespace"), tracedb.RefKey: text.Of("key", "sleutel"), tracedb.RefRecord: text.Of("record", "record"),
		}
		value := clean(brief(s.subject.Value), maxQuote)
		w := words[s.subject.Type]
		return text.Of(strings.TrimSpace(w.EN+" "+value), strings.TrimSpace(w.NL+" "+value))
	}
	return say("image {image}[ of {repository}]", "image {image}[ van {repository}]", lines{"image": text.Same(brief(s.image)), "repository": text.Same(s.repository)})
}

// stands says how things are now.
func (s *story) stands() text.Text {
	l := lines{"name": s.name()}
	if s.image == "" {
		return say("{name} led to no image that the log knows of.", "{name} leidde tot geen image dat het logboek kent.", l).Sentence()
	}
	var running, gone []told
	for _, t := range s.pods(s.image) {
		if t.Outcome == tracedb.Running {
			running = append(running, t)
		} else {
			gone = append(gone, t)
		}
	}
	refusal, refused := s.standing()
	var out text.Text
	switch {
	case len(running) > 0:
		oldest := slices.MinFunc(running, earlier)
		l["where"], l["pods"], l["since"] = different(running, "namespace"), pods(running), text.Same(when(oldest.At))
		out = say("{name} runs[ in {where}][ ({pods})] since {since}.", "{name} draait[ in {where}][ ({pods})] sinds {since}.", l)
	case len(gone) > 0:
		l["where"], l["until"] = different(gone, "namespace"), text.Same(when(slices.MaxFunc(gone, earlier).At))
		out = say("{name} ran[ in {where}] and doesn't any more since {until}.", "{name} draaide[ in {where}] en doet dat sinds {until} niet meer.", l)
	case !refused:
		out = say("{name} isn't known to run or to have run.", "van {name} is niet bekend dat het draait of draaide.", l)
	}
	if refused {
		no := s.refusal(refusal)
		if out.EN == "" {
			l["no"] = no
			out = say("{name} {no}", "{name} {no}", l)
		} else {
			out = text.Of(out.EN+" It "+no.EN, out.NL+" Het "+no.NL)
		}
	}
	return out.Sentence()
}

// earlier compares by when something happened, which the log may have heard of in another order.
func earlier(a, b told) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Seq, b.Seq)) }

// refusal tells how the door stayed shut.
func (s *story) refusal(t told) text.Text {
	return say("was refused[ at the door of {where}] on {when}[ by {policy}][: “{reason}”].[ What to do: “{remedy}”.]",
		"werd[ aan de deur van {where}] geweigerd op {when}[ door {policy}][: “{reason}”].[ Wat te doen: “{remedy}”.]",
		lines{"where": t.get("namespace"), "when": text.Same(when(t.At)), "policy": t.get("policy"), "reason": t.get("reason"), "remedy": t.get("remedy")})
}

func (s *story) askedFor() text.Text {
	if t, ok := s.last(tracedb.KindSpec); ok {
		return say("It was asked for[ by {who}] in spec {spec}[, “{title}”].", "Er is om gevraagd[ door {who}] in spec {spec}[, “{title}”].",
			lines{"who": t.get("requested_by"), "spec": t.get("spec"), "title": t.get("title")})
	}
	if t, ok := s.last(tracedb.KindSession); ok {
		return say("It was asked for[ by {who}] in session {session}; no spec is recorded.", "Er is om gevraagd[ door {who}] in sessie {session}; een spec is niet vastgelegd.", lines{"who": t.get("asked_by"), "session": t.get("session")})
	}
	return text.Of("Who asked for it isn't recorded.", "Wie erom vroeg is niet vastgelegd.")
}

func (s *story) signed() text.Text {
	key, named := s.key()
	if t, ok := s.last(tracedb.KindSignature); ok {
		return say("{who} signed it with key {key}[ “{name}”].", "{who} ondertekende het met sleutel {key}[ “{name}”].",
			lines{"who": t.get("actor"), "key": t.get("key"), "name": named})
	}
	if key.EN != "" {
		return say("Its evidence is signed with key {key}[ “{name}”]; no signature of the image itself is recorded.",
			"Het bewijs is ondertekend met sleutel {key}[ “{name}”]; een handtekening van het image zelf is niet vastgelegd.", lines{"key": key, "name": named})
	}
	return text.Of("No signature is recorded.", "Er is geen handtekening vastgelegd.")
}

// key is the key of the story's image and its name in the keyring.
func (s *story) key() (print, name text.Text) {
	for _, kind := range []tracedb.Kind{tracedb.KindSignature, tracedb.KindProvenance} {
		if t, ok := s.last(kind); ok && print.EN == "" {
			print = t.get("key")
		}
	}
	for _, t := range s.of(tracedb.KindKey) {
		if t.get("key") == print {
			name = t.get("name")
		}
	}
	return print, name
}

// registered tells under which version of the entry: the one that stood at the last decision, or
// else the newest.
func (s *story) registered() text.Text {
	versions := s.of(tracedb.KindRegister)
	if len(versions) == 0 {
		return text.Of("It has no entry in the register.", "Het staat niet in het register.")
	}
	t := versions[len(versions)-1]
	if decision, ok := s.last(tracedb.KindAdmission); ok {
		for _, v := range versions {
			if v.Seq < decision.Seq {
				t = v
			}
		}
	}
	l := lines{"id": t.get("algorithm"), "name": t.get("name"), "status": t.get("status"), "type": t.get("type"), "risk": t.get("risk")}
	if newest := versions[len(versions)-1]; newest.said["status"] != t.said["status"] {
		l["now"], l["since"] = newest.get("status"), text.Same(when(newest.At))
	}
	return say("The register had it as {id}[, “{name}”][, status “{status}”][, {type}][, {risk}][; since {since} its status is “{now}”].",
		"Het register kende het als {id}[, “{name}”][, status “{status}”][, {type}][, {risk}][; sinds {since} is de status “{now}”].", l)
}

func (s *story) promoted() text.Text {
	t, ok := s.last(tracedb.KindPromotion)
	if !ok {
		return text.Text{}
	}
	l := lines{"where": t.get("tenant"), "pull": t.get("pull")}
	var revision string
	if of := values(t.Refs, tracedb.RefRevision); len(of) > 0 {
		revision = of[0]
	}
	j := s.judged(revision, revision != "", inFleet)
	if l["pull"].EN == "" {
		l["pull"] = j.merge.get("pull")
	}
	if n := len(j.approvals); n > 0 {
		l["who"] = j.approvals[n-1].get("reviewer")
	}
	return say("It came into the fleet[ for {where}][ through {pull}][, approved by {who}].", "Het kwam in de vloot[ voor {where}][ via {pull}][, goedgekeurd door {who}].", l)
}

// admitted tells who let it in. A refusal was told at the start.
func (s *story) admitted() text.Text {
	t, ok := s.last(tracedb.KindAdmission, tracedb.Allowed)
	if !ok {
		if s.refused() {
			return text.Text{}
		}
		return text.Of("No decision to admit it is recorded.", "Er is geen besluit vastgelegd om het toe te laten.")
	}
	l := lines{"where": t.get("namespace"), "when": text.Same(when(t.At)), "policy": t.get("policy"), "reason": t.get("reason")}
	for _, x := range s.of(tracedb.KindException) {
		if t.said["exception"] == strconv.FormatInt(x.Seq, 10) {
			l["by"], l["until"], l["why"] = x.get("granted_by"), x.get("until"), x.get("reason")
		}
	}
	return say("The gatekeeper admitted it[ to {where}] on {when}[ by {policy}][: “{reason}”][, under an exception that {by} granted][ until {until}][: “{why}”].",
		"De poortwachter liet het toe[ in {where}] op {when}[ door {policy}][: “{reason}”][, onder een uitzondering die {by} verleende][ tot {until}][: “{why}”].", l)
}

// troubled tells of what went wrong since.
func (s *story) troubled() text.Text {
	var out []text.Text
	if t, ok := s.last(tracedb.KindDrift); ok {
		out = append(out, say("By hand it was changed in the cluster[ by {by}], last on {when}.", "Het is met de hand gewijzigd in het cluster[ door {by}], het laatst op {when}.",
			lines{"by": t.get("by"), "when": text.Same(when(t.At))}))
	}
	if t, ok := s.last(tracedb.KindIncident); ok {
		out = append(out, say("An incident is recorded[: “{summary}”].", "Er is een incident vastgelegd[: “{summary}”].", lines{"summary": t.get("summary")}))
	}
	if t, ok := s.last(tracedb.KindRepair); ok {
		out = append(out, say("A repair is recorded[: “{summary}”].", "Er is een reparatie vastgelegd[: “{summary}”].", lines{"summary": t.get("summary")}))
	}
	return text.Join(out...)
}

// standing is the refusal that holds, if the last word was no: of all since it was let in last, the most
// important one.
func (s *story) standing() (told, bool) {
	var since []told
	for _, t := range slices.Backward(s.of(tracedb.KindAdmission)) {
		if t.Outcome != tracedb.Denied {
			break
		}
		since = append(since, t)
	}
	if len(since) == 0 {
		return told{}, false
	}
	return slices.MinFunc(since, importance), true
}

// importance puts refusals in order: what the fleet asked for comes before what was tried besides, and
// the newest first.
func importance(a, b told) int {
	rank := func(t told) int {
		if len(values(t.Refs, tracedb.RefRevision)) > 0 {
			return 0
		}
		return 1
	}
	return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(b.Seq, a.Seq))
}

// also tells of the story's other images: those that were refused, the most important first, and those
// that run besides.
func (s *story) also() text.Text {
	type refused struct {
		story *story
		no    told
	}
	var out []text.Text
	var no []refused
	for _, image := range s.others {
		other := s.on(image)
		if t, ok := other.standing(); ok {
			no = append(no, refused{other, t})
		} else if len(out) < maxNow && slices.ContainsFunc(other.pods(image), func(t told) bool { return t.Outcome == tracedb.Running }) {
			out = append(out, say("{name} runs, too.", "{name} draait ook.", lines{"name": other.name()}).Sentence())
		}
	}
	slices.SortFunc(no, func(a, b refused) int { return importance(a.no, b.no) })
	var refusals []text.Text
	for _, r := range no[:min(maxNow, len(no))] {
		refusals = append(refusals, say("{name} {no}", "{name} {no}", lines{"name": r.story.name(), "no": r.story.refusal(r.no)}).Sentence())
	}
	return text.Join(append(refusals, out...)...)
}

// astray tells of pods that run where nothing promoted them.
func (s *story) astray() text.Text {
	strays := s.strays()
	if len(strays) == 0 {
		return text.Text{}
	}
	return say("It runs[ in {where}][ ({pods})], too, though nothing promoted it there.", "Het draait ook[ in {where}][ ({pods})], al is het daarheen niet gepromoveerd.",
		lines{"where": different(strays, "namespace"), "pods": pods(strays)})
}

// different are the values that a field of some records has.
func different(all []told, field string) text.Text {
	var words []string
	for _, t := range all {
		if w := t.get(field).EN; w != "" && !slices.Contains(words, w) {
			words = append(words, w)
		}
	}
	return text.List(words)
}

// pods names a few pods, and counts many.
func pods(all []told) text.Text {
	if len(all) > 2 {
		return text.Same(strconv.Itoa(len(all)) + " pods")
	}
	var names []string
	for _, t := range all {
		names = append(names, t.get("object").EN)
	}
	return text.List(names)
}
