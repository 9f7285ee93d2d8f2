package why

import (
	"cmp"
	"slices"

	"github.com/druppie/druppie-up/internal/text"
	"github.com/druppie/druppie-up/tracedb"
)

// The steps of the flow that kinds of record don't name themselves.
const (
	stepPull    = "F4"  // Flux pulls
	stepRuns    = "F7a" // the pod runs
	stepRefused = "F7b" // the update was refused, and Flux says so
)

// steps name the steps of the flow. What has none is about the log itself: keys, refusals, disposals.
var steps = map[string]text.Text{
	"F0":  text.Of("Specify", "Opdracht"),
	"F1":  text.Of("Code committed and reviewed", "Code vastgelegd en beoordeeld"),
	"F2":  text.Of("Build triggered", "Bouw gestart"),
	"F3a": text.Of("Built and signed", "Gebouwd en ondertekend"),
	"F3b": text.Of("Tested and scanned", "Getest en gescand"),
	"F3c": text.Of("Recorded in the register", "Vastgelegd in het register"),
	"F4":  text.Of("Promoted to the cluster", "Klaargezet voor het cluster"),
	"F5":  text.Of("Applied to the cluster", "Toegepast op het cluster"),
	"F6":  text.Of("Validated at admission", "Getoetst bij toelating"),
	"F7a": text.Of("Allowed and started", "Toegelaten en gestart"),
	"F7b": text.Of("Denied", "Geweigerd"),
	"F8":  text.Of("Observed", "Waargenomen"),
	"":    text.Of("The log itself", "Het logboek zelf"),
}

// StepName is a step of the flow in words, in English and Dutch.
func StepName(step string) (en, nl string) { return steps[step].EN, steps[step].NL }

// OutcomeName is an outcome in words, in English and Dutch; empty for none.
func OutcomeName(o tracedb.Outcome) (en, nl string) { return outcomes[o].EN, outcomes[o].NL }

// NewChain makes a chain of records, from nothing but them: the same records make the same chain years later
// and elsewhere. Their order doesn't matter. The caller adds what proves them.
func NewChain(subject tracedb.Ref, records []tracedb.Record) *Chain {
	c := &Chain{Subject: subject, Links: make([]Link, 0, len(records)), Gaps: []Gap{}}
	all := make([]record, 0, len(records))
	for _, r := range records {
		info, _ := r.Kind.Info()
		one := record{Entry: r.Entry, fields: fieldsOf(r.Entry, r.Payload)}
		l := Link{Entry: r.Entry, Step: step(r.Entry), Controls: info.Controls, Disposed: r.Disposed}
		l.Title, l.TitleNL, l.Details = describe(one)
		c.Links = append(c.Links, l)
		all = append(all, one)
	}
	slices.SortFunc(c.Links, func(a, b Link) int {
		return cmp.Or(cmp.Compare(order(a.Step), order(b.Step)), a.At.Compare(b.At), cmp.Compare(a.Seq, b.Seq))
	})
	h := newHistory(subject, all)
	c.Repository, c.Algorithm = h.repository, h.algorithm
	c.Gaps, c.Verdict = h.gaps(), h.verdict()
	answer := h.answer()
	c.Answer, c.AnswerNL = answer.EN, answer.NL
	return c
}

// step is where in the flow a record belongs. That its kind is usually evidence of one step doesn't
// settle it: a review in the fleet is part of the promotion, and a pod that runs is the flow's end.
func step(e tracedb.Entry) string {
	info, _ := e.Kind.Info()
	switch e.Kind {
	case tracedb.KindCommit, tracedb.KindReview, tracedb.KindMerge:
		// Only what the fleet and the platform hold are revisions.
		if e.First(tracedb.RefRevision) != "" {
			return stepPull
		}
	case tracedb.KindDeployment:
		switch e.Outcome {
		case tracedb.Running, tracedb.Gone:
			return stepRuns
		case tracedb.Failed:
			return stepRefused
		}
	}
	return info.Step
}

// order is the place of a step in the chain. The parts of F3 and of F7 happen side by side: within them only
// time counts.
func order(step string) int {
	if len(step) < 2 {
		return 10
	}
	return int(step[1] - '0')
}
