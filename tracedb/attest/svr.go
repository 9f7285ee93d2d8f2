package attest

import (
	"cmp"
	"time"

	"github.com/druppie/druppie-up/tracedb"
)

// Gate is what a verifier decided.
type Gate struct {
	Verifier string // URI
	Created  time.Time
	Passed   []string // properties that hold: FOUNDRY_TESTS, FOUNDRY_SCAN
	Failed   []string // properties that don't; none: the verdict is PASSED
}

// SVR is the predicate of https://in-toto.io/attestation/svr/v0.1. It knows only what holds; what
// doesn't is an extension of ours, since a gate that refused is evidence, too.
type SVR struct {
	Verifier struct {
		ID string `json:"id"`
	} `json:"verifier"`
	TimeCreated time.Time `json:"timeCreated,omitzero"`
	Properties  []string  `json:"properties"`
	Failed      []string  `json:"https://druppie.io/attestation/failed,omitempty"`
}

// Verdict is an in-toto simple verification result v0.1.
func Verdict(a About, g Gate) Statement {
	p := SVR{TimeCreated: tracedb.Instant(g.Created), Properties: g.Passed, Failed: g.Failed}
	p.Verifier.ID = g.Verifier
	if p.Properties == nil {
		p.Properties = []string{}
	}
	return statement(a.all(), "https://in-toto.io/attestation/svr/v0.1", p)
}

// verdict reads what a gate decided: passed if something was verified and nothing failed.
func (r *Reading) verdict(st Statement) error {
	var p SVR
	if err := st.decode(&p); err != nil {
		return err
	}
	if err := cmp.Or(want("verifier.id", p.Verifier.ID), wantTime("timeCreated", p.TimeCreated)); err != nil {
		return err
	}
	if p.Properties == nil {
		return refuse("predicate.properties", "want a list of what was verified")
	}
	r.Outcome = tracedb.Failed
	if len(p.Properties) > 0 && len(p.Failed) == 0 {
		r.Outcome = tracedb.Passed
	}
	r.Summary, r.SummaryNL = "nothing was verified", "niets is bevestigd"
	if len(p.Properties) > 0 {
		r.Summary, r.SummaryNL = "verified: "+some(p.Properties), "bevestigd: "+some(p.Properties)
	}
	if len(p.Failed) > 0 {
		r.Summary += "; failed: " + some(p.Failed)
		r.SummaryNL += "; niet voldaan: " + some(p.Failed)
	}
	r.Detail = &p
	return nil
}
