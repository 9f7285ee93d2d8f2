package conformance_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/druppie/druppie-up/conformance"
)

func TestBadgeIsGreenOnlyIfAllHolds(t *testing.T) {
	all := reports(t)
	whole := all["check"]
	whole.Controls = []conformance.ControlResult{{Control: conformance.Control{ID: "C3", State: conformance.Enforced}, Verdict: conformance.Holds}}
	all["whole"] = whole
	partly := whole
	partly.Controls = []conformance.ControlResult{{Control: conformance.Control{ID: "C5", State: conformance.Partly}, Verdict: conformance.Holds}}
	all["partly"] = partly
	tests := []struct{ report, message, color string }{
		{"whole", "1 holds", "brightgreen"},
		{"partly", "1 holds", "yellow"},
		{"check", "1 holds, 1 broken, 1 not there", "red"},
		{"mutate", "1 of 2 mutations noticed", "red"},
		{"interrupted check", "not all was tried: 1 holds, 1 not run, 1 not there", "red"},
		{"refused mutate", "not all was tried", "lightgrey"},
	}
	for _, tt := range tests {
		t.Run(tt.report, func(t *testing.T) {
			var b bytes.Buffer
			if err := all[tt.report].Badge(&b); err != nil {
				t.Fatal(err)
			}
			var got map[string]any
			if err := json.Unmarshal(b.Bytes(), &got); err != nil {
				t.Fatal(err)
			}
			if got["schemaVersion"] != 1.0 || got["label"] != "conformance" || got["message"] != tt.message || got["color"] != tt.color {
				t.Errorf("got %s, want %s, %s", b.Bytes(), tt.message, tt.color)
			}
		})
	}
}
