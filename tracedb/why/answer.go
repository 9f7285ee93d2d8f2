package why

import (
	"cmp"
	"slices"
	"strconv"

	"github.com/druppie/druppie-up/internal/text"
	"github.com/druppie/druppie-up/tracedb"
)

// answer is one paragraph that says why what was asked about runs, or why it doesn't: how it stands,
// who asked, who wrote, who approved, what was tested, which vulnerabilities were known, who signed,
// under which entry of the register, and who admitted it.
func (h *history) answer() text.Text {
	if h.image == "" && !slices.ContainsFunc(h.all, func(r record) bool { return isBuilt(r.Entry) }) {
		out := say("The log holds {records} about {subject}, none of them about something that was built.",
			"Het logboek bevat {records} over {subject}, waarvan geen over iets dat gebouwd is.",
			words{"records": count(len(h.all)), "subject": h.name()})
		if refusal, ok := h.refusal(); ok {
			no := refusal.describeRefusal()
			out = text.Join(out, text.Of("It "+no.EN, "Het "+no.NL).Sentence())
		}
		return out
	}
	return text.Join(h.state(), h.requestedBy(), h.written(), h.approved(), h.tested(), h.vulnerable(), h.signed(), h.registered(),
		h.promoted(), h.admitted(), h.incidents(), h.otherImages(), h.outsideTenants())
}

// isBuilt says whether a record is about something that a pipeline makes, or is to make.
func isBuilt(e tracedb.Entry) bool {
	return slices.ContainsFunc(e.Refs, func(r tracedb.Ref) bool {
		return r.Type == tracedb.RefImage || r.Type == tracedb.RefCommit || r.Type == tracedb.RefRepository
	})
}

func count(n int) text.Text {
	if n == 1 {
		return text.Of("1 record", "1 record")
	}
	return text.Same(strconv.Itoa(n) + " records")
}

// words are a sentence's values.
type words map[string]text.Text

func say(en, nl string, w words) text.Text { return record{}.say(en, nl, w) }

// say is a sentence about the record: its names are among the words, or are fields of the record.
func (r record) say(en, nl string, w words) text.Text {
	return text.Of(en, nl).Fill(func(name string) text.Text {
		if word, ok := w[name]; ok {
			return word
		}
		return r.get(name)
	})
}

// name is what the history is about.
func (h *history) name() text.Text {
	if h.image == "" {
		types := map[tracedb.RefType]text.Text{
			tracedb.RefCommit: text.Of("commit", "commit"), tracedb.RefRevision: text.Of("revision", "revisie"), tracedb.RefPull: text.Of("pull request", "pull request"),
			tracedb.RefRun: text.Of("pipeline run", "pijplijnrun"), tracedb.RefSession: text.Of("session", "sessie"), tracedb.RefSpec: text.Of("spec", "spec"),
			tracedb.RefPod: text.Of("pod", "pod"), tracedb.RefNamespace: text.Of("namespace", "namespace"), tracedb.RefKey: text.Of("key", "sleutel"), tracedb.RefRecord: text.Of("record", "record"),
		}
		value := text.Same(singleLine(abbreviate(h.subject.Value), maxQuote))
		return say("[{type}] {value}", "[{type}] {value}", words{"type": types[h.subject.Type], "value": value})
	}
	return say("image {image}[ of {repository}]", "image {image}[ van {repository}]",
		words{"image": text.Same(abbreviate(h.image)), "repository": text.Same(h.repository)})
}

// state says how things are now.
func (h *history) state() text.Text {
	w := words{"name": h.name()}
	if h.image == "" {
		return say("{name} led to no image that the log knows of.", "{name} leidde tot geen image dat het logboek kent.", w).Sentence()
	}
	var running, gone []record
	for _, r := range h.pods(h.image) {
		if r.Outcome == tracedb.Running {
			running = append(running, r)
		} else {
			gone = append(gone, r)
		}
	}
	refusal, refused := h.refusal()
	var out text.Text
	switch {
	case len(running) > 0:
		w["where"], w["pods"] = different(running, "namespace"), pods(running)
		out = slices.MinFunc(running, earlier).say("{name} runs[ in {where}][ ({pods})] since {when}.", "{name} draait[ in {where}][ ({pods})] sinds {when}.", w)
	case len(gone) > 0:
		w["where"] = different(gone, "namespace")
		out = slices.MaxFunc(gone, earlier).say("{name} ran[ in {where}] and doesn't any more since {when}.", "{name} draaide[ in {where}] en doet dat sinds {when} niet meer.", w)
	case !refused:
		out = say("{name} isn't known to run or to have run.", "van {name} is niet bekend dat het draait of draaide.", w)
	}
	if refused && out.EN == "" {
		return h.refused(refusal)
	}
	if refused {
		no := refusal.describeRefusal()
		out = text.Of(out.EN+" It "+no.EN, out.NL+" Het "+no.NL)
	}
	return out.Sentence()
}

// earlier compares by when something happened, which may have been recorded in another order.
func earlier(a, b record) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Seq, b.Seq)) }

func (r record) describeRefusal() text.Text {
	unconfirmed := text.Text{}
	if r.unconfirmed {
		unconfirmed = text.Of("Only the gatekeeper says so: that the cluster was asked isn't confirmed.", "Alleen de poortwachter zegt dat: dat het cluster erom gevraagd is, is niet bevestigd.")
	}
	return text.Join(r.say("was refused[ admission to {namespace}] on {when}[ by {policy}][: “{reason}”].[ What to do: “{remedy}”.]",
		"werd[ bij toelating tot {namespace}] geweigerd op {when}[ door {policy}][: “{reason}”].[ Wat te doen: “{remedy}”.]", nil), unconfirmed)
}

// refused says of the image that it was refused.
func (h *history) refused(r record) text.Text {
	return say("{name} {refused}", "{name} {refused}", words{"name": h.name(), "refused": r.describeRefusal()}).Sentence()
}

func (h *history) requestedBy() text.Text {
	if r, ok := h.last(tracedb.KindSpec); ok {
		return r.say("It was asked for[ by {requested_by}] in spec {spec}[, “{title}”].", "Er is om gevraagd[ door {requested_by}] in spec {spec}[, “{title}”].", nil)
	}
	if r, ok := h.last(tracedb.KindSession); ok {
		return r.say("It was asked for[ by {asked_by}] in session {session}; no spec is recorded.", "Er is om gevraagd[ door {asked_by}] in sessie {session}; een spec is niet vastgelegd.", nil)
	}
	return text.Of("Who asked for it isn't recorded.", "Wie erom vroeg is niet vastgelegd.")
}

func (h *history) signed() text.Text {
	signature, ok := h.last(tracedb.KindSignature)
	provenance, _ := h.last(tracedb.KindProvenance)
	w := words{"key": cmp.Or(signature.get("key"), provenance.get("key"))}
	for _, r := range h.ofKind(tracedb.KindKey) {
		if r.get("key") == w["key"] {
			w["name"] = r.get("name")
		}
	}
	switch {
	case ok:
		return signature.say("{actor} signed it with key {key}[ “{name}”].", "{actor} ondertekende het met sleutel {key}[ “{name}”].", w)
	case w["key"].EN != "":
		return say("Its evidence is signed with key {key}[ “{name}”]; no signature of the image itself is recorded.",
			"Het bewijs is ondertekend met sleutel {key}[ “{name}”]; een handtekening van het image zelf is niet vastgelegd.", w)
	}
	return text.Of("No signature is recorded.", "Er is geen handtekening vastgelegd.")
}

// registered says under which version of the entry: the one that stood at the last decision, or else the newest.
func (h *history) registered() text.Text {
	versions := h.ofKind(tracedb.KindRegister)
	if len(versions) == 0 {
		return text.Of("It has no entry in the register.", "Het staat niet in het register.")
	}
	newest := versions[len(versions)-1]
	r := newest
	if decision, ok := h.last(tracedb.KindAdmission); ok {
		for _, v := range versions {
			if v.Seq < decision.Seq {
				r = v
			}
		}
	}
	w := words{}
	if newest.fields["status"] != r.fields["status"] {
		w["now"], w["since"] = newest.get("status"), newest.get("when")
	}
	return r.say("The register had it as {algorithm}[, “{name}”][, status “{status}”][, {type}][, {risk}][; since {since} its status is “{now}”].",
		"Het register kende het als {algorithm}[, “{name}”][, status “{status}”][, {type}][, {risk}][; sinds {since} is de status “{now}”].", w)
}

func (h *history) promoted() text.Text {
	r, ok := h.last(tracedb.KindPromotion)
	if !ok {
		return text.Text{}
	}
	revision := r.First(tracedb.RefRevision)
	reviews := h.reviews(revision, revision != "", inFleet)
	w := words{"pull": cmp.Or(r.get("pull"), reviews.merge.get("pull"))}
	if n := len(reviews.approvals); n > 0 {
		w["who"] = reviews.approvals[n-1].get("reviewer")
	}
	return r.say("It came into the fleet[ for {tenant}][ through {pull}][, approved by {who}].", "Het kwam in de vloot[ voor {tenant}][ via {pull}][, goedgekeurd door {who}].", w)
}

// admitted says who admitted it. The first sentence says that it was refused.
func (h *history) admitted() text.Text {
	r, ok := h.decision()
	if !ok {
		if _, refused := h.refusal(); refused {
			return text.Text{}
		}
		return text.Of("No decision to admit it is recorded.", "Er is geen besluit vastgelegd om het toe te laten.")
	}
	w := words{}
	for _, x := range h.ofKind(tracedb.KindException) {
		if r.fields["exception"] == strconv.FormatInt(x.Seq, 10) {
			w["by"], w["until"], w["why"] = x.get("granted_by"), x.get("until"), x.get("reason")
		}
	}
	return r.say("The gatekeeper admitted it[ to {namespace}] on {when}[ by {policy}][: “{reason}”][, under an exception that {by} granted][ until {until}][: “{why}”].",
		"De poortwachter liet het toe[ in {namespace}] op {when}[ door {policy}][: “{reason}”][, onder een uitzondering die {by} verleende][ tot {until}][: “{why}”].", w)
}

// What somebody asked of a pod past the platform.
const (
	past   = "Past the platform {user} asked[ for {verb} {resource}] of its pod[ {name}] on {when}: {outcome}."
	pastNL = "Buiten het platform om vroeg {user}[ om {verb} {resource}] van de pod[ {name}] op {when}: {outcome}."
)

// incidents says what went wrong since.
func (h *history) incidents() text.Text {
	var out []text.Text
	// Of what was granted and of what was refused each the last: nobody hides the one behind the other.
	var granted, refused, connections []record
	for _, r := range h.ofKind(tracedb.KindRequest) {
		switch {
		case r.fields["verb"] == tracedb.VerbConnect:
			connections = append(connections, r)
		case r.Outcome == tracedb.Allowed:
			granted = append(granted, r)
		default:
			refused = append(refused, r)
		}
	}
	for _, s := range []struct {
		all    []record
		en, nl string
	}{
		{h.ofKind(tracedb.KindDrift), "By hand it was changed in the cluster[ by {by}], last on {when}.", "Het is met de hand gewijzigd in het cluster[ door {by}], het laatst op {when}."},
		{granted, past, pastNL},
		{refused, past, pastNL},
		{connections, "A network policy of its pod refused a connection[ of {user}][ to {resource}][, {name}], last on {when}.",
			"Een netwerkpolicy van de pod weigerde een verbinding[ van {user}][ met {resource}][, {name}], het laatst op {when}."},
		{h.ofKind(tracedb.KindIncident), "An incident is recorded[: “{summary}”].", "Er is een incident vastgelegd[: “{summary}”]."},
		{h.ofKind(tracedb.KindRepair), "A repair is recorded[: “{summary}”].", "Er is een reparatie vastgelegd[: “{summary}”]."},
	} {
		if n := len(s.all); n > 0 {
			r := s.all[n-1]
			out = append(out, r.say(s.en, s.nl, words{"outcome": r.outcome()}))
		}
	}
	return text.Join(out...)
}

// refusal is the refusal that holds, if the newest decision was one: of all since the image was admitted last,
// the most important one.
func (h *history) refusal() (record, bool) {
	var since []record
	for _, r := range slices.Backward(h.ofKind(tracedb.KindAdmission)) {
		if h.subject.Type == tracedb.RefPod && !slices.Contains(r.Refs, h.subject) {
			continue // another pod's answers nothing about this one
		}
		if r.Outcome != tracedb.Denied {
			break
		}
		since = append(since, r)
	}
	if len(since) == 0 {
		return record{}, false
	}
	return slices.MinFunc(since, importance), true
}

// importance puts refusals in order: what is confirmed comes first, what the fleet asked for before what was tried
// besides, and the newest first.
func importance(a, b record) int {
	if a.unconfirmed != b.unconfirmed {
		if b.unconfirmed {
			return -1
		}
		return 1
	}
	if fleet := a.has(tracedb.RefRevision); fleet != b.has(tracedb.RefRevision) {
		if fleet {
			return -1
		}
		return 1
	}
	return cmp.Compare(b.Seq, a.Seq)
}

// otherImages says of the chain's other images which were refused, the most important first, and which run
// besides.
func (h *history) otherImages() text.Text {
	type refusedImage struct {
		*history
		refusal record
	}
	var out []text.Text
	var refused []refusedImage
	for _, image := range h.others {
		other := h.of(image)
		if r, ok := other.refusal(); ok {
			refused = append(refused, refusedImage{other, r})
		} else if len(out) < maxImages && slices.ContainsFunc(other.pods(image), func(r record) bool { return r.Outcome == tracedb.Running }) {
			out = append(out, say("{name} runs, too.", "{name} draait ook.", words{"name": other.name()}).Sentence())
		}
	}
	slices.SortFunc(refused, func(a, b refusedImage) int { return importance(a.refusal, b.refusal) })
	var refusals []text.Text
	for _, r := range refused[:min(maxImages, len(refused))] {
		refusals = append(refusals, r.refused(r.refusal))
	}
	return text.Join(append(refusals, out...)...)
}

// outsideTenants names the pods that run where nothing promoted them.
func (h *history) outsideTenants() text.Text {
	outside := h.podsOutside()
	if len(outside) == 0 {
		return text.Text{}
	}
	return say("It runs[ in {where}][ ({pods})], too, though nothing promoted it there.", "Het draait ook[ in {where}][ ({pods})], al is het daarheen niet gepromoveerd.",
		words{"where": different(outside, "namespace"), "pods": pods(outside)})
}

// different are the values that a field of some records has.
func different(all []record, field string) text.Text {
	var values []string
	for _, r := range all {
		if v := r.get(field).EN; v != "" {
			values = append(values, v)
		}
	}
	return text.List(firsts(values, len(values)))
}

// pods names a few pods, and counts many.
func pods(all []record) text.Text {
	if len(all) > 2 {
		return text.Same(strconv.Itoa(len(all)) + " pods")
	}
	var names []string
	for _, r := range all {
		names = append(names, r.get("object").EN)
	}
	return text.List(names)
}
