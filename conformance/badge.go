package conformance

import (
	"encoding/json"
	"fmt"
	"io"
)

// badge is what shields.io's endpoint reads.
type badge struct {
	SchemaVersion int    `json:"schemaVersion"`
	Label         string `json:"label"`
	Message       string `json:"message"`
	Color         string `json:"color"`
	IsError       bool   `json:"isError,omitempty"`
}

// Badge writes the summary for a badge. It is green only if all that was tried is as it should be.
func (r Report) Badge(w io.Writer) error {
	b := badge{SchemaVersion: 1, Label: "conformance", Message: r.Summary(), Color: "brightgreen"}
	switch {
	case len(r.Failed())+len(r.Unnoticed()) > 0:
		b.Color, b.IsError = "red", true
	case r.Stopped != "" || len(r.Controls)+len(r.Mutations) == 0:
		b.Color, b.IsError = "lightgrey", true
	case r.incomplete():
		b.Color = "yellow"
	}
	if r.Stopped != "" {
		b.Message = "not all was tried"
		if s := r.Summary(); s != "" {
			b.Message += ": " + s
		}
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	if err := enc.Encode(b); err != nil {
		return fmt.Errorf("write badge: %w", err)
	}
	return nil
}

// incomplete says whether something of the design isn't enforced yet, or couldn't be tried there.
func (r Report) incomplete() bool {
	for _, c := range r.Controls {
		if c.State != Enforced || len(c.LeftOut) > 0 {
			return true
		}
	}
	return false
}
