package conformance_test

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/druppie/druppie-up/conformance"
)

func oscal(t *testing.T, rep conformance.Report) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := rep.OSCAL(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestOSCALFitsItsSchema wants NIST's oscal_complete_schema.json of OSCAL 1.1.2, a file of NIST's releases that no
// Go module carries.
func TestOSCALFitsItsSchema(t *testing.T) {
	file := os.Getenv("OSCAL_SCHEMA")
	if file == "" {
		t.Skip("OSCAL_SCHEMA names no copy of NIST's schema")
	}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	schema, err := compiler.Compile(file)
	if err != nil {
		t.Fatal(err)
	}
	for name, rep := range reports(t) {
		t.Run(name, func(t *testing.T) {
			doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(oscal(t, rep)))
			if err != nil {
				t.Fatal(err)
			}
			if err := schema.Validate(doc); err != nil {
				t.Error(err)
			}
			delete(doc.(map[string]any)["assessment-results"].(map[string]any), "import-ap")
			if err := schema.Validate(doc); err == nil {
				t.Error("control: without an assessment plan it fits too")
			}
		})
	}
}

// Whatever the document refers to is in it, under identifiers that are the same for the same report.
func TestOSCALRefersToWhatItHolds(t *testing.T) {
	for name, rep := range reports(t) {
		t.Run(name, func(t *testing.T) {
			raw := oscal(t, rep)
			if !bytes.Equal(raw, oscal(t, rep)) {
				t.Error("written again it is another document")
			}
			var doc any
			if err := json.Unmarshal(raw, &doc); err != nil {
				t.Fatal(err)
			}
			held, referred := map[string]bool{}, map[string]bool{}
			walk(doc, func(key, value string) {
				switch {
				case key == "uuid" && held[value]:
					t.Errorf("%s is held twice", value)
				case key == "uuid" || key == "id":
					held[value] = true
				case strings.HasSuffix(key, "-uuid") || key == "target-id":
					referred[value] = true
				case key == "href":
					referred[strings.TrimPrefix(value, "#")] = true
				}
			})
			if len(referred) == 0 {
				t.Error("it refers to nothing")
			}
			for id := range referred {
				if !held[id] {
					t.Errorf("%s isn't there", id)
				}
			}
		})
	}
	if all := reports(t); bytes.Equal(oscal(t, all["check"])[:80], oscal(t, all["mutate"])[:80]) {
		t.Error("two reports have the same identifier")
	}
}

func walk(v any, found func(key, value string)) {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			walk(e, found)
		}
	case map[string]any:
		for key, e := range v {
			if s, ok := e.(string); ok {
				found(key, s)
			}
			walk(e, found)
		}
	}
}

// An auditor's tool must not take for satisfied what is enforced in part, isn't there, or wasn't tried.
func TestOSCALFindings(t *testing.T) {
	all := reports(t)
	tests := []struct{ report, want, remarks string }{
		{"check", "C3 not-satisfied fail: refused: it was admitted; C5 not-satisfied other: What is enforced of it holds. network; C2 not-satisfied other: scanner", ""},
		{"interrupted check", "C5 not-satisfied other: What is enforced of it holds. network; C2 not-satisfied other: scanner",
			"Not everything was tried: interrupted.\n\nControl C3 was not run: 1 of its 2 scenarios ran."},
		{"all enforced", "C3 satisfied pass: ", ""},
		{"mutate", "", ""},
	}
	enforced := all["check"]
	enforced.Controls = enforced.Controls[:1]
	enforced.Controls[0].Verdict, enforced.Controls[0].Why = conformance.Holds, ""
	all["check"], all["all enforced"] = reports(t)["check"], enforced
	for _, tt := range tests {
		t.Run(tt.report, func(t *testing.T) {
			var doc struct {
				Results struct {
					Results []struct {
						Remarks  string
						Findings []struct {
							Title  string
							Target struct {
								Status struct{ State, Reason, Remarks string }
							}
						}
					}
				} `json:"assessment-results"`
			}
			if err := json.Unmarshal(oscal(t, all[tt.report]), &doc); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range doc.Results.Results[0].Findings {
				got = append(got, f.Title+" "+f.Target.Status.State+" "+f.Target.Status.Reason+": "+f.Target.Status.Remarks)
			}
			if diff := cmp.Diff(tt.want, strings.Join(got, "; ")); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(tt.remarks, doc.Results.Results[0].Remarks); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// OSCAL's texts are Markdown, so what a report says must not become a link or a picture there.
func TestOSCALKeepsTextText(t *testing.T) {
	rep := reports(t)["check"]
	rep.Scenarios[0].Passed, rep.Scenarios[0].Why = false, "![x](https://example.test/x)\n<script>\x1b]0;x"
	if raw := oscal(t, rep); bytes.Contains(raw, []byte("![x](")) || bytes.Contains(raw, []byte(`"<script>`)) || bytes.Contains(raw, []byte(`\u001b`)) {
		t.Errorf("%s", raw)
	}
}
