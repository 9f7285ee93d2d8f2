package attest

import (
	"encoding/json"
	"fmt"
)

// BOM is a CycloneDX document, as far as the log reads it.
type BOM struct {
	Format       string      `json:"bomFormat"`
	SpecVersion  string      `json:"specVersion"`
	SerialNumber string      `json:"serialNumber,omitempty"`
	Components   []Component `json:"components"`
}

// Component is a part of the image.
type Component struct {
	Type    string `json:"type"`
	Name    string `json:"name"`
	Version string `json:"version,omitempty"`
	PURL    string `json:"purl,omitempty"`
}

// SBOM is a CycloneDX document, as it is.
func SBOM(a About, bom json.RawMessage) Statement {
	return Statement{Type: StatementType, Subject: a.all(), PredicateType: "https://cyclonedx.org/bom", Predicate: bom}
}

// bom reads what the image is made of.
func (r *Reading) bom(st Statement) error {
	var p BOM
	if err := st.decode(&p); err != nil {
		return err
	}
	if p.Format != "CycloneDX" {
		return refuse("predicate.bomFormat", "want CycloneDX")
	}
	if !bomVersion.MatchString(p.SpecVersion) {
		return refuse("predicate.specVersion", "want a version of CycloneDX 1")
	}
	r.Summary = fmt.Sprintf("CycloneDX %s with %d components", p.SpecVersion, len(p.Components))
	r.SummaryNL = fmt.Sprintf("CycloneDX %s met %d onderdelen", p.SpecVersion, len(p.Components))
	r.Detail = &p
	return nil
}
