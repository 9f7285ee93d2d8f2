package why

import (
	"slices"

	"github.com/druppie/druppie-up/internal/text"
	"github.com/druppie/druppie-up/tracedb"
)

// wanted is evidence that a whole story has.
type wanted struct {
	step string
	gap  func(*story) text.Text // what is to be said where there is none; empty where there is
}

// evidence lists what is looked for, in the order of the flow.
var evidence = []wanted{
	{"F0", unless(func(s *story) bool { return s.has(tracedb.KindSpec) || s.has(tracedb.KindSession) },
		text.Of("no record of what was asked for, nor of an agent's session", "niet vastgelegd wat er gevraagd is, en geen sessie van een agent"))},
	{"F1", unless(func(s *story) bool { return len(s.code(tracedb.KindCommit)) > 0 },
		text.Of("no record of a push: who wrote it isn't known", "geen push vastgelegd: wie het schreef is niet bekend"))},
	{"F1", func(s *story) text.Text {
		if j := s.judgedCode(); len(j.approvals) == 0 {
			return j.lacking()
		}
		return text.Text{}
	}},
	{"F2", result(tracedb.KindRun, text.Of("no pipeline run", "geen pijplijnrun"))},
	{"F3b", result(tracedb.KindTestResult, text.Of("no test result", "geen testresultaat"))},
	{"F3b", result(tracedb.KindVulns, text.Of("no scan for vulnerabilities", "geen scan op kwetsbaarheden"))},
	{"F3b", result(tracedb.KindSARIF, text.Of("no static analysis", "geen statische analyse"))},
	{"F3b", result(tracedb.KindSBOM, text.Of("no list of the image's parts", "geen lijst van onderdelen van het image"))},
	{"F3a", result(tracedb.KindProvenance, text.Of("no provenance: from which source it was built isn't proven", "geen herkomst: uit welke bron het gebouwd is, is niet bewezen"))},
	{"F3a", result(tracedb.KindSignature, text.Of("no record of a signature", "geen handtekening vastgelegd"))},
	{"F3c", unless(func(s *story) bool { return s.has(tracedb.KindRegister) }, text.Of("no entry in the register", "geen vermelding in het register"))},
	{"F4", unless(func(s *story) bool { return s.has(tracedb.KindPromotion) }, text.Of("no promotion to the fleet", "geen promotie naar de vloot"))},
	{"F5", unless(func(s *story) bool {
		_, ok := s.last(tracedb.KindDeployment, tracedb.Passed)
		return ok
	}, text.Of("nothing says that Flux applied it", "nergens blijkt dat Flux het toepaste"))},
	{"F6", unless(func(s *story) bool { return s.has(tracedb.KindAdmission) }, text.Of("no decision of the gatekeeper", "geen besluit van de poortwachter"))},
	{"F7a", unless(func(s *story) bool { return len(s.pods(s.image)) > 0 || s.refused() },
		text.Of("nothing says that it runs or ever ran", "nergens blijkt dat het draait of ooit draaide"))},
}

func unless(there func(*story) bool, gap text.Text) func(*story) text.Text {
	return func(s *story) text.Text {
		if there(s) {
			return text.Text{}
		}
		return gap
	}
}

// result wants what was found about the image itself: what is known of its commit alone leaves the gap,
// and is told in it.
func result(kind tracedb.Kind, gap text.Text) func(*story) text.Text {
	return func(s *story) text.Text {
		_, alone, ok := s.result(kind)
		switch {
		case ok && alone:
			return text.Of(gap.EN+"; there is one "+byCommit.EN, gap.NL+"; er is er een "+byCommit.NL)
		case ok:
			return text.Text{}
		}
		return gap
	}
}

func (s *story) has(kind tracedb.Kind) bool { return len(s.of(kind)) > 0 }

// refused says whether the last word about the image at the door was no.
func (s *story) refused() bool {
	t, ok := s.last(tracedb.KindAdmission)
	return ok && t.Outcome == tracedb.Denied
}

// gaps are the steps that nothing is evidence of. A key, or a service that the log knows only by
// name, has no story that could have any.
func (s *story) gaps() []Gap {
	out := []Gap{}
	if s.image == "" && !slices.ContainsFunc(s.all, func(t told) bool { return len(values(t.Refs, tracedb.RefCommit)) > 0 }) {
		return out
	}
	for _, w := range evidence {
		if g := w.gap(s); g.EN != "" {
			out = append(out, Gap{Step: w.step, What: g.EN, WhatNL: g.NL})
		}
	}
	return out
}
