package register

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	"go.yaml.in/yaml/v3"
)

// verdict is why something may not run, and what to do about it.
type verdict struct{ reason, remedy, reasonNL, remedyNL string }

// admit holds the entry against the rules of admission, the gravest first.
func (d Document) admit() (verdict, bool) {
	status := quote(d.Register.Status)
	switch {
	case d.AIActProfile.RiskGroup == RiskForbidden:
		return verdict{
			"ai_act_profile.risk_group is " + quote(RiskForbidden) + ": a prohibited practice (AI Act, article 5) never runs",
			"take it out of use, or correct the profile if it is wrong",
			"ai_act_profile.risk_group is " + quote(RiskForbidden) + ": een verboden praktijk (AI-verordening, artikel 5) draait nooit",
			"neem het buiten gebruik, of verbeter het profiel als dat niet klopt",
		}, false
	case d.Register.Status == OutOfUse:
		return verdict{
			"register.status is " + quote(OutOfUse),
			"remove the workload, or set the status to " + quote(InUse) + " in " + File + " and let the pipeline register it",
			"register.status is " + quote(OutOfUse),
			"verwijder de dienst, of zet de status in " + File + " op " + quote(InUse) + " en laat de pijplijn dat registreren",
		}, false
	case !slices.Contains([]string{InDevelopment, InUse}, d.Register.Status):
		return verdict{
			"register.status is " + status + ", which isn't a status of the register",
			"set the status in " + File + " and let the pipeline register it",
			"register.status is " + status + ", wat geen status van het register is",
			"zet de status in " + File + " en laat de pijplijn dat registreren",
		}, false
	}
	return verdict{}, true
}

// Deliver writes the entry as the body that the Algoritmeregister's delivery API 1.0 takes: for a new
// entry POST /organizations/{organisation}/algorithms, for one that the register knows PUT
// …/algorithms/{lars}. The platform's id goes along as source_id; lars is in the address, not in the
// body. A document that isn't valid isn't delivered: the error is its Violations. What the AI Act makes of
// it is no part of the body, and no reason.
func Deliver(d Document) ([]byte, error) {
	var root yaml.Node
	if err := root.Encode(d); err != nil {
		return nil, fmt.Errorf("deliver %s: %w", d.ID, err)
	}
	r := newReader()
	if r.content(&root); len(r.out) > 0 && !r.out.Prohibited() {
		return nil, fmt.Errorf("deliver %s: %w", d.ID, r.out.told())
	}
	body := struct {
		Fields
		SourceID string `json:"source_id"`
	}{d.Register, d.ID}
	body.StandardVersion, body.Lars = "1.0", ""
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(body); err != nil {
		return nil, fmt.Errorf("deliver %s: %w", d.ID, err)
	}
	return b.Bytes(), nil
}
