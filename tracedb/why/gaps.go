package why

import (
	"fmt"
	"slices"
	"strings"

	"github.com/druppie/druppie-up/internal/text"
	"github.com/druppie/druppie-up/tracedb"
)

// evidence lists what a complete chain has, in the order of the flow, each with what to say where it is
// missing; empty where it is there.
var evidence = []struct {
	step string
	gap  func(*history) text.Text
}{
	{"F0", unless(hasKind(tracedb.KindSpec, tracedb.KindSession),
		text.Of("no record of what was asked for, nor of an agent's session", "niet vastgelegd wat er gevraagd is, en geen sessie van een agent"))},
	{"F1", unless(func(h *history) bool { return len(h.code(tracedb.KindCommit)) > 0 },
		text.Of("no record of a push: who wrote it isn't known", "geen push vastgelegd: wie het schreef is niet bekend"))},
	{"F1", func(h *history) text.Text {
		if s := h.codeReviews(); len(s.approvals) == 0 {
			return s.gap()
		}
		return text.Text{}
	}},
	{"F2", resultOf(tracedb.KindRun, text.Of("no pipeline run", "geen pijplijnrun"))},
	{"F3b", resultOf(tracedb.KindTestResult, text.Of("no test result", "geen testresultaat"))},
	{"F3b", resultOf(tracedb.KindVulns, text.Of("no scan for vulnerabilities", "geen scan op kwetsbaarheden"))},
	{"F3b", resultOf(tracedb.KindSARIF, text.Of("no static analysis", "geen statische analyse"))},
	{"F3b", resultOf(tracedb.KindSBOM, text.Of("no list of the image's parts", "geen lijst van onderdelen van het image"))},
	{"F3a", resultOf(tracedb.KindProvenance, text.Of("no provenance: from which source it was built isn't proven", "geen herkomst: uit welke bron het gebouwd is, is niet bewezen"))},
	{"F3a", resultOf(tracedb.KindSignature, text.Of("no record of a signature", "geen handtekening vastgelegd"))},
	{"F3c", unless(hasKind(tracedb.KindRegister), text.Of("no entry in the register", "geen vermelding in het register"))},
	{"F4", unless(hasKind(tracedb.KindPromotion), text.Of("no promotion to the fleet", "geen promotie naar de vloot"))},
	{"F5", unless(func(h *history) bool {
		_, ok := h.last(tracedb.KindDeployment, tracedb.Passed)
		return ok
	}, text.Of("nothing says that Flux applied it", "nergens blijkt dat Flux het toepaste"))},
	{"F6", (*history).undecided},
	{"F7a", unless(func(h *history) bool {
		_, refused := h.refusal()
		return refused || len(h.pods(h.image)) > 0
	}, text.Of("nothing says that it runs or ever ran", "nergens blijkt dat het draait of ooit draaide"))},
}

// undecided says which pods of the story run, or ran, without a decision by which they were made, or with an image that
// no decision about them names. Another pod's says nothing about them, nor one of the same name; what was decided about
// them later lets nothing in that was there; and a refusal doesn't either.
func (h *history) undecided() text.Text {
	var names []string
	pods := 0
	for _, r := range slices.Backward(h.all) {
		if !h.ranInStory(r) {
			continue
		}
		pods++
		if name := r.First(tracedb.RefPod); !h.letIn(r) && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	switch {
	case pods == 0:
		return unless(hasKind(tracedb.KindAdmission), text.Of("no decision of the gatekeeper", "geen besluit van de poortwachter"))(h)
	case len(names) == 0:
		return text.Text{}
	}
	more := text.Text{}
	if n := len(names) - maxNamed; n > 0 {
		names = names[:maxNamed]
		more = text.Of(fmt.Sprintf(" and %d more", n), fmt.Sprintf(" en nog %d", n))
	}
	list := strings.Join(names, ", ")
	return text.Of("no record of a decision that let in "+list, "geen besluit vastgelegd dat dit toeliet: "+list).Plus(more)
}

// maxNamed is how many pods a gap names.
const maxNamed = 3

// ranInStory says whether a record is of a pod that the story answers for: the pod that is asked about; else one with the
// image, where the service belongs and under its id. What was decided about others isn't part of the story either.
func (h *history) ranInStory(r record) bool {
	if r.Kind != tracedb.KindDeployment || !r.has(tracedb.RefPod) || r.Outcome != tracedb.Running && r.Outcome != tracedb.Gone {
		return false
	}
	if h.subject.Type == tracedb.RefPod {
		return slices.Contains(r.Refs, h.subject)
	}
	if h.image != "" && !hasRef(r.Entry, tracedb.RefImage, h.image) {
		return false
	}
	switch h.subject.Type {
	case tracedb.RefNamespace:
		return hasRef(r.Entry, tracedb.RefNamespace, h.subject.Value)
	case tracedb.RefRecord, tracedb.RefKey:
		return true
	}
	return InTenants(r.Entry, h.tenants) && (!r.has(tracedb.RefAlgorithm) || h.algorithm == "" || hasRef(r.Entry, tracedb.RefAlgorithm, h.algorithm))
}

// letIn says whether the pod that a record is about was made by a decision of the trace's own, and such decisions about
// it name the images that count: the story's, or all that it ran where the pod itself is asked about.
func (h *history) letIn(pod record) bool {
	uid := podUID(pod.Entry)
	images := []string{h.image}
	if h.subject.Type == tracedb.RefPod {
		images = pod.Values(tracedb.RefImage)
	}
	isMade, named := false, map[string]bool{"": true}
	for _, r := range h.all {
		if uid == "" || !decides(r.Entry, uid, pod.First(tracedb.RefPod)) {
			continue
		}
		isMade = isMade || r.ID == madeBy(uid)
		for _, image := range r.Values(tracedb.RefImage) {
			named[image] = true
		}
	}
	return isMade && len(images) > 0 && !slices.ContainsFunc(images, func(image string) bool { return !named[image] })
}

// decision is the newest by which the gatekeeper let the image in; where a pod is asked about, the one by which that was
// made.
func (h *history) decision() (record, bool) {
	if h.subject.Type == tracedb.RefPod {
		for _, pod := range slices.Backward(h.all) {
			if !h.ranInStory(pod) {
				continue
			}
			uid := podUID(pod.Entry)
			i := slices.IndexFunc(h.all, func(r record) bool { return r.ID == madeBy(uid) && decides(r.Entry, uid, h.subject.Value) })
			if i < 0 {
				return record{}, false
			}
			return h.all[i], true
		}
	}
	return h.last(tracedb.KindAdmission, tracedb.Allowed)
}

// decides says whether a record is a decision of the trace's own that lets in that pod, or something in it.
func decides(e tracedb.Entry, uid, pod string) bool {
	return e.Kind == tracedb.KindAdmission && e.Outcome == tracedb.Allowed && e.Writer == itself &&
		podUID(e) == uid && hasRef(e, tracedb.RefPod, pod)
}

// madeBy is the id of the decision by which a pod was made.
func madeBy(uid string) string { return "admission/" + uid }

// podUID is the uid of the pod that a record is about, from its id: pod/<uid>/…, admission/<uid>, admission/<uid>/…. Of
// another record it is something that no pod has.
func podUID(e tracedb.Entry) string {
	for _, prefix := range []string{"admission/", "pod/"} {
		if rest, ok := strings.CutPrefix(e.ID, prefix); ok {
			uid, _, _ := strings.Cut(rest, "/")
			return uid
		}
	}
	return ""
}

func unless(there func(*history) bool, gap text.Text) func(*history) text.Text {
	return func(h *history) text.Text {
		if there(h) {
			return text.Text{}
		}
		return gap
	}
}

func hasKind(kinds ...tracedb.Kind) func(*history) bool {
	return func(h *history) bool {
		return slices.ContainsFunc(kinds, func(k tracedb.Kind) bool { return len(h.ofKind(k)) > 0 })
	}
}

// resultOf wants what was found about the image itself: a result of its commit alone leaves the gap, and is
// mentioned in it.
func resultOf(kind tracedb.Kind, gap text.Text) func(*history) text.Text {
	return func(h *history) text.Text {
		switch r := h.result(kind); {
		case r.ofCommit:
			return gap.Plus(text.Of("; there is one ", "; er is er een ")).Plus(ofCommitAlone)
		case r.Kind != "":
			return text.Text{}
		}
		return gap
	}
}

// gaps are the steps that nothing is evidence of. A key, or a service that the log knows only by
// name, has no chain that could have any.
func (h *history) gaps() []Gap {
	out := []Gap{}
	if h.image == "" && !slices.ContainsFunc(h.all, h.ranInStory) && !slices.ContainsFunc(h.all, func(r record) bool { return r.has(tracedb.RefCommit) }) {
		return out
	}
	for _, e := range evidence {
		if g := e.gap(h); g.EN != "" {
			out = append(out, Gap{Step: e.step, What: g.EN, WhatNL: g.NL})
		}
	}
	return out
}
