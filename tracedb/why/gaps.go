package why

import (
	"slices"

	"github.com/druppie/druppie-up/tracedb"
)

// wanted is evidence that a whole story has.
type wanted struct {
	step string
	text
	there func(*story) bool
}

// evidence lists what is looked for, in the order of the flow.
var evidence = []wanted{
	{"F0", text{"no record of what was asked for, nor of an agent's session", "niet vastgelegd wat er gevraagd is, en geen sessie van een agent"},
		func(s *story) bool { return s.has(tracedb.KindSpec) || s.has(tracedb.KindSession) }},
	{"F1", text{"no record of a push: who wrote it isn't known", "geen push vastgelegd: wie het schreef is niet bekend"},
		func(s *story) bool { return len(s.code(tracedb.KindCommit)) > 0 }},
	{"F1", text{"no approval by anybody but the author", "geen goedkeuring door iemand anders dan de auteur"},
		func(s *story) bool { return len(s.approvals()) > 0 }},
	{"F2", text{"no pipeline run", "geen pijplijnrun"},
		func(s *story) bool { return s.has(tracedb.KindRun) }},
	{"F3b", text{"no test result", "geen testresultaat"},
		func(s *story) bool { return s.has(tracedb.KindTestResult) }},
	{"F3b", text{"no scan for vulnerabilities", "geen scan op kwetsbaarheden"},
		func(s *story) bool { return s.has(tracedb.KindVulns) }},
	{"F3b", text{"no static analysis", "geen statische analyse"},
		func(s *story) bool { return s.has(tracedb.KindSARIF) }},
	{"F3b", text{"no list of the image's parts", "geen lijst van onderdelen van het image"},
		func(s *story) bool { return s.has(tracedb.KindSBOM) }},
	{"F3a", text{"no provenance: from which source it was built isn't proven", "geen herkomst: uit welke bron het gebouwd is, is niet bewezen"},
		func(s *story) bool { return s.has(tracedb.KindProvenance) }},
	{"F3a", text{"no record of a signature", "geen handtekening vastgelegd"},
		func(s *story) bool { return s.has(tracedb.KindSignature) }},
	{"F3c", text{"no entry in the register", "geen vermelding in het register"},
		func(s *story) bool { return s.has(tracedb.KindRegister) }},
	{"F4", text{"no promotion to the fleet", "geen promotie naar de vloot"},
		func(s *story) bool { return s.has(tracedb.KindPromotion) }},
	{"F5", text{"nothing says that Flux applied it", "nergens blijkt dat Flux het toepaste"},
		func(s *story) bool {
			_, ok := s.last(tracedb.KindDeployment, tracedb.Passed, tracedb.Failed)
			return ok
		}},
	{"F6", text{"no decision of the gatekeeper", "geen besluit van de poortwachter"},
		func(s *story) bool { return s.has(tracedb.KindAdmission) }},
	{"F7a", text{"nothing says that it runs or ever ran", "nergens blijkt dat het draait of ooit draaide"},
		func(s *story) bool { return len(s.pods(s.image)) > 0 || s.refused() }},
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
		if !w.there(s) {
			out = append(out, Gap{Step: w.step, What: w.EN, WhatNL: w.NL})
		}
	}
	return out
}
