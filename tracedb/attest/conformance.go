package attest

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/druppie/druppie-up/tracedb"
)

// Conformance is what is read of the predicate of https://druppie.io/attestation/conformance/v1: a report on the
// platform's controls, as `druppie-up conformance schema` describes it.
type Conformance struct {
	Schema   string    `json:"schema"`
	Kind     string    `json:"kind"` // check: do the controls hold; mutate: can their proofs fail
	Ended    time.Time `json:"ended"`
	Stopped  string    `json:"stopped"` // why it ended before its end, or tried less than it should
	Controls []struct {
		ID      string `json:"id"`
		Verdict string `json:"verdict"`
	} `json:"controls"`
	Mutations []struct {
		Name    string `json:"name"`
		Noticed bool   `json:"noticed"`
	} `json:"mutations"`
}

// The kinds and verdicts of a report, as its schema has them.
const (
	conformanceSchema = "druppie.io/conformance/v1"
	conformanceCheck  = "check"
	conformanceMutate = "mutate"
	verdictHolds      = "holds"
	verdictBroken     = "broken"
	verdictNotThere   = "not there"
	verdictNotRun     = "not run"
)

// ConformanceReport says of a commit of the platform's repository what a run of the conformance suite showed.
func ConformanceReport(a About, report json.RawMessage) Statement {
	return statement(a.all(), "https://druppie.io/attestation/conformance/v1", report)
}

// conformance reads what a run showed. It passed if it came to its end, something was tried, and all that was tried
// held: controls that nothing enforces yet are no failure, and no proof.
func (r *Reading) conformance(st Statement) error {
	var p Conformance
	if err := st.decode(&p); err != nil {
		return err
	}
	if p.Schema != conformanceSchema {
		return refuse("predicate.schema", "want %s", conformanceSchema)
	}
	if err := wantTime("ended", p.Ended); err != nil {
		return err
	}
	var good, bad []string
	switch p.Kind {
	case conformanceCheck:
		for i, c := range p.Controls {
			switch c.Verdict {
			case verdictHolds:
				good = append(good, c.ID)
			case verdictBroken, verdictNotRun:
				bad = append(bad, c.ID)
			case verdictNotThere:
			default:
				return refuse("verdict", "want holds, broken, not run or not there").At("predicate.controls[%d]", i)
			}
		}
		r.Summary, r.SummaryNL = fmt.Sprintf("%d controls hold", len(good)), fmt.Sprintf("%d beheersmaatregelen werken", len(good))
	case conformanceMutate:
		for _, m := range p.Mutations {
			if m.Noticed {
				good = append(good, m.Name)
			} else {
				bad = append(bad, m.Name)
			}
		}
		all := len(good) + len(bad)
		r.Summary, r.SummaryNL = fmt.Sprintf("%d of %d weakened controls noticed", len(good), all), fmt.Sprintf("%d van %d verzwakkingen opgemerkt", len(good), all)
	default:
		return refuse("predicate.kind", "want check or mutate")
	}
	if len(bad) > 0 {
		r.Summary += "; not: " + some(bad)
		r.SummaryNL += "; niet: " + some(bad)
	}
	r.Outcome = tracedb.Passed
	if len(bad) > 0 || len(good) == 0 || p.Stopped != "" {
		r.Outcome = tracedb.Failed
	}
	if p.Stopped != "" {
		r.Summary += "; stopped before its end"
		r.SummaryNL += "; voortijdig gestopt"
	}
	r.Detail = &p
	return nil
}
