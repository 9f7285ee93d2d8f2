package register

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/druppie/druppie-up/internal/text"
)

// MayRun says whether the platform may run what the entry is about, and if not, why and what to do; of
// several reasons the gravest. It trusts that the document is valid, except that a status it doesn't know
// never runs.
func (d Document) MayRun() (ok bool, reason, remedy text.Text) {
	status := quote(d.Register.Status)
	switch {
	case d.AIActProfile.RiskGroup == RiskForbidden:
		return false, text.Of("ai_act_profile.risk_group is "+quote(RiskForbidden)+": a prohibited practice (AI Act, article 5) never runs",
				"ai_act_profile.risk_group is "+quote(RiskForbidden)+": een verboden praktijk (AI-verordening, artikel 5) draait nooit"),
			text.Of("take it out of use, or correct the profile if it is wrong",
				"neem het buiten gebruik, of verbeter het profiel als dat niet klopt")
	case d.Register.Status == OutOfUse:
		return false, text.Of("register.status is "+quote(OutOfUse),
				"register.status is "+quote(OutOfUse)),
			text.Of("remove the workload, or set the status to "+quote(InUse)+" in "+File+" and let the pipeline register it",
				"verwijder de dienst, of zet de status in "+File+" op "+quote(InUse)+" en laat de pijplijn dat registreren")
	case !slices.Contains([]string{InDevelopment, InUse}, d.Register.Status):
		return false, text.Of("register.status is "+status+", which isn't a status of the register",
				"register.status is "+status+", wat geen status van het register is"),
			text.Of("set the status in "+File+" and let the pipeline register it",
				"zet de status in "+File+" en laat de pijplijn dat registreren")
	}
	return true, text.Text{}, text.Text{}
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
		return nil, fmt.Errorf("deliver %s: %w", d.ID, r.out.sorted())
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
