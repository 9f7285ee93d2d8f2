package why

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/attest"
	"github.com/druppie/druppie-up/tracedb/register"
)

// attested reads the attestations of a kind. Nothing is verified here: the log took no envelope whose
// signature it hadn't checked, and export.Verify checks them anew.
func attested(kind tracedb.Kind) func(json.RawMessage, fields) error {
	return func(raw json.RawMessage, out fields) error {
		st, err := attest.Decode(kind, raw)
		if err != nil {
			return err
		}
		r, err := attest.Read(kind, st)
		if err != nil {
			return err
		}
		out["summary"], out["summary_nl"] = r.Summary, r.SummaryNL
		out["image"], out["repository"], out["commit"], out["run"] = commas(r.Images), r.Repository, r.Commit, r.Run
		switch p := r.Detail.(type) {
		case *attest.SLSA:
			out["builder"], out["build_type"] = p.RunDetails.Builder.ID, p.BuildDefinition.BuildType
			out["started"], out["finished"] = formatTime(p.RunDetails.Metadata.StartedOn), formatTime(p.RunDetails.Metadata.FinishedOn)
			out["materials"] = list(p.BuildDefinition.ResolvedDependencies, ", ", material)
		case *attest.TestRun:
			out["passed"], out["warned"], out["failed"] = commas(p.PassedTests), commas(p.WarnedTests), commas(p.FailedTests)
			if len(p.Configuration) > 0 {
				out["suite"] = p.Configuration[0].Name
			}
		case *attest.Vulnerabilities:
			vulnerabilities(p, out)
		case *attest.Analysis:
			out["tool"] = strings.TrimSpace(p.Tool + " " + p.Version)
			out["findings"] = list(p.Results, "; ", finding)
		case *attest.BOM:
			out["components"] = list(p.Components, ", ", component)
		case *attest.Conformance:
			conformance(p, out)
		case *attest.SVR:
			out["verifier"], out["passed"], out["failed"] = p.Verifier.ID, commas(p.Properties), commas(p.Failed)
		}
		return nil
	}
}

// conformance lists controls by verdict, and mutations by whether they were noticed.
func conformance(p *attest.Conformance, out fields) {
	by := map[string][]string{}
	for _, c := range p.Controls {
		field := map[string]string{"holds": "holds", "not there": "absent"}[c.Verdict]
		by[cmp.Or(field, "failed")] = append(by[cmp.Or(field, "failed")], c.ID)
	}
	for _, m := range p.Mutations {
		field := "failed"
		if m.Noticed {
			field = "holds"
		}
		by[field] = append(by[field], m.Name)
	}
	for field, names := range by {
		out[field] = commas(names)
	}
	out["stopped"] = p.Stopped
}

// The fields of a scan that list the known vulnerabilities by severity, worst first.
var severities = []string{"critical", "high", "medium", "low", "unknown"}

func vulnerabilities(p *attest.Vulnerabilities, out fields) {
	by := map[string][]string{}
	for _, v := range p.Scanner.Result {
		id := v.ID
		for _, a := range v.Annotations {
			if pkg, ok := a["package"].(string); ok {
				id += " (" + pkg + ")"
			}
		}
		by[v.Level()] = append(by[v.Level()], id)
	}
	for _, level := range severities {
		out[level] = commas(by[level])
	}
	out["scanner"] = strings.TrimSpace(p.Scanner.URI + " " + p.Scanner.Version)
	if t := p.Scanner.DB.LastUpdate; !t.IsZero() {
		out["database"] = formatTime(t)
	}
}

// list describes each of a list, with sep between.
func list[T any](all []T, sep string, describe func(T) string) string {
	words := make([]string, len(all))
	for i, one := range all {
		words[i] = strings.TrimSpace(describe(one))
	}
	return strings.Join(words, sep)
}

func material(d attest.Dependency) string {
	name := cmp.Or(d.Name, d.URI)
	for _, algorithm := range []string{"gitCommit", "sha256"} {
		if hash, ok := d.Digest[algorithm]; ok {
			name += "@" + hash
		}
	}
	return name
}

func finding(f attest.Finding) string {
	where := f.File
	if f.Line > 0 {
		where += ":" + strconv.Itoa(f.Line)
	}
	return fmt.Sprintf("%s %s %s: %s", f.Level, f.Rule, where, f.Message)
}

func component(c attest.Component) string { return c.Name + " " + c.Version }

// readRegister reads the version of an entry from the file that the record holds.
func readRegister(raw json.RawMessage, out fields) error {
	var r tracedb.RegisterEntry
	if err := json.Unmarshal(raw, &r); err != nil {
		return err
	}
	out["repository"], out["commit"] = r.Repository, r.Commit
	d, _ := register.Validate([]byte(r.Source)) // as much as can be read is enough to describe it
	out["algorithm"], out["name"], out["organization"] = d.ID, d.Register.Name, d.Register.Organization
	out["status"], out["category"] = d.Register.Status, d.Register.PublicationCategory
	out["type"], out["risk"] = d.AIActProfile.Type, d.AIActProfile.RiskGroup
	return nil
}

func commas(words []string) string { return strings.Join(words, ", ") }
