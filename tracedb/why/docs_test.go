package why_test

import (
	"os"
	"strings"
	"testing"

	"github.com/druppie/druppie-up/tracedb"
)

// TestDataModel holds docs/trace/data-model.md against the code: every kind with its step, controls,
// attestation and term, and every type of ref.
func TestDataModel(t *testing.T) {
	raw, err := os.ReadFile("../../docs/trace/data-model.md")
	if err != nil {
		t.Fatal(err)
	}
	rows, kinds := map[string][]string{}, map[string][]string{} // by the first cell
	for line := range strings.Lines(string(raw)) {
		if cells := strings.Split(strings.TrimSpace(line), "|"); len(cells) > 3 {
			for i := range cells {
				cells[i] = strings.TrimSpace(cells[i])
			}
			for _, first := range strings.Split(cells[1], ", ") {
				rows[strings.Trim(first, "`")] = cells[1:]
				if len(cells) == 9 {
					kinds[strings.Trim(first, "`")] = cells[1:]
				}
			}
		}
	}
	for _, info := range tracedb.Kinds() {
		row, ok := kinds[string(info.Kind)]
		if !ok {
			t.Errorf("the kind %s isn't in the table", info.Kind)
			continue
		}
		kept := "for ever"
		if info.Term == tracedb.Term {
			kept = "7 years"
		}
		if row[1] != info.Step || row[2] != strings.Join(info.Controls, " ") || row[5] != kept {
			t.Errorf("%s is told as step %q, controls %q, kept %q", info.Kind, row[1], row[2], row[5])
		}
		if attested := row[4] != ""; attested != (len(info.Predicate) > 0) || attested && !strings.Contains(row[4], info.Predicate[0]) {
			t.Errorf("%s is told with the attestation %q, not %q", info.Kind, row[4], info.Predicate)
		}
		if own := row[6] == "the service itself"; own != info.Internal {
			t.Errorf("%s is told as written by %q", info.Kind, row[6])
		}
	}
	for _, r := range tracedb.RefTypes() {
		if _, ok := rows[string(r)]; !ok {
			t.Errorf("the ref type %s isn't in the table", r)
		}
	}
}
