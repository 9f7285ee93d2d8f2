package conformance

import (
	"fmt"
	"io"
	"strings"
)

// Markdown writes the controls for people: what each promises, what enforces, proves and weakens it, and the
// norms that it answers to.
func (s Suite) Markdown(w io.Writer) error {
	var b strings.Builder
	b.WriteString(`# Controls

What the platform promises, by the ids of its design: steps F0 to F8 of a flight, controls C1 to C6. Made by
` + "`druppie-up conformance list -o markdown`" + ` from policies/controls.yaml, the first lines of the scenarios and the
mutations beside them. BIO2 is numbered as NEN-EN-ISO/IEC 27002:2022 is; the AI Act is Regulation (EU) 2024/1689.

| control | what it promises | belofte | enforced by | state | proven by scenario | weakened by mutation | norms |
|---|---|---|---|---|---|---|---|
`)
	for _, c := range s.Controls {
		state := string(c.State)
		if lacks := c.Lacks.EN; lacks != "" {
			state += ": " + lacks
		}
		var norms []string
		for _, n := range c.Norms {
			norms = append(norms, n.Norm+" "+n.Clause)
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s | %s |\n", c.ID, cell(c.Statement.EN), cell(c.Statement.NL), cell(c.EnforcedBy),
			cell(state), strings.Join(s.Proving(c.ID), ", "), strings.Join(s.Weakening(c.ID), ", "), strings.Join(norms, ", "))
	}
	b.WriteString(`
## Mutations

What ` + "`druppie-up conformance --mutate`" + ` changes on the running platform, one at a time, and who must notice.

| mutation | control | what is changed | wat er verandert | at | by | must turn red: scenario, phase |
|---|---|---|---|---|---|---|
`)
	for _, m := range s.Mutations {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s, %s |\n", m.Name, m.Control, cell(m.What.EN), cell(m.What.NL), cell(m.Layer),
			cell(m.By), m.Red.Scenario, cell(m.Red.Phase))
	}
	_, err := io.WriteString(w, b.String())
	return err
}
