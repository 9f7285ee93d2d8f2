package conformance

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/druppie/druppie-up/scenarios"
)

// What an OSCAL document says of itself. Names of ours in it stand in oscalNamespace.
const (
	oscalVersion   = "1.1.2"
	oscalNamespace = "https://" + Schema
)

// The parts of OSCAL's assessment results (NIST) that a report fills.
type (
	oscalDocument struct {
		Results oscalResults `json:"assessment-results"`
	}
	oscalResults struct {
		UUID     string        `json:"uuid"`
		Metadata oscalMetadata `json:"metadata"`
		Plan     struct {
			Href string `json:"href"`
		} `json:"import-ap"`
		Local  *oscalObjectives `json:"local-definitions,omitempty"`
		All    []oscalResult    `json:"results"`
		Matter struct {
			Resources []oscalPart `json:"resources"`
		} `json:"back-matter"`
	}
	oscalMetadata struct {
		Title    string      `json:"title"`
		Modified time.Time   `json:"last-modified"`
		Version  string      `json:"version"`
		OSCAL    string      `json:"oscal-version"`
		Props    []oscalProp `json:"props,omitempty"`
	}
	oscalObjectives struct {
		Objectives []oscalObjective `json:"objectives-and-methods"`
	}
	oscalObjective struct {
		Control string `json:"control-id"`
		Parts   []struct {
			ID    string `json:"id"`
			Name  string `json:"name"`
			Prose string `json:"prose"`
		} `json:"parts"`
	}
	oscalResult struct {
		UUID         string             `json:"uuid"`
		Title        string             `json:"title"`
		Description  string             `json:"description"`
		Start        time.Time          `json:"start"`
		End          time.Time          `json:"end"`
		Props        []oscalProp        `json:"props,omitempty"`
		Local        oscalLocal         `json:"local-definitions"`
		Reviewed     oscalReviewed      `json:"reviewed-controls"`
		Observations []oscalObservation `json:"observations,omitempty"`
		Findings     []oscalFinding     `json:"findings,omitempty"`
		Remarks      string             `json:"remarks,omitempty"`
	}
	oscalLocal struct {
		Components []oscalPart `json:"components"`
		Assets     struct {
			Components []oscalPart     `json:"components"`
			Platforms  []oscalPlatform `json:"assessment-platforms"`
		} `json:"assessment-assets"`
	}
	oscalPlatform struct {
		UUID  string      `json:"uuid"`
		Title string      `json:"title"`
		Props []oscalProp `json:"props,omitempty"`
		Uses  []struct {
			Component string `json:"component-uuid"`
		} `json:"uses-components"`
	}
	// oscalPart is a component, or a resource of the back matter, which has neither type nor status.
	oscalPart struct {
		UUID        string       `json:"uuid"`
		Type        string       `json:"type,omitempty"`
		Title       string       `json:"title"`
		Description string       `json:"description"`
		Props       []oscalProp  `json:"props,omitempty"`
		Status      *oscalStatus `json:"status,omitempty"`
	}
	oscalReviewed struct {
		Selections []oscalSelection `json:"control-selections"`
	}
	oscalSelection struct {
		Include []oscalControl `json:"include-controls,omitempty"`
	}
	oscalControl struct {
		ID string `json:"control-id"`
	}
	oscalObservation struct {
		UUID        string         `json:"uuid"`
		Title       string         `json:"title"`
		Description string         `json:"description"`
		Props       []oscalProp    `json:"props,omitempty"`
		Methods     []string       `json:"methods"`
		Types       []string       `json:"types"`
		Origins     []oscalOrigin  `json:"origins"`
		Subjects    []oscalSubject `json:"subjects"`
		Collected   time.Time      `json:"collected"`
		Remarks     string         `json:"remarks,omitempty"`
	}
	oscalOrigin struct {
		Actors []oscalActor `json:"actors"`
	}
	oscalActor struct {
		Type string `json:"type"`
		UUID string `json:"actor-uuid"`
	}
	oscalSubject struct {
		UUID string `json:"subject-uuid"`
		Type string `json:"type"`
	}
	oscalFinding struct {
		UUID        string          `json:"uuid"`
		Title       string          `json:"title"`
		Description string          `json:"description"`
		Props       []oscalProp     `json:"props,omitempty"`
		Target      oscalTarget     `json:"target"`
		Related     []oscalObserved `json:"related-observations,omitempty"`
	}
	oscalObserved struct {
		UUID string `json:"observation-uuid"`
	}
	oscalTarget struct {
		Type           string      `json:"type"`
		ID             string      `json:"target-id"`
		Status         oscalStatus `json:"status"`
		Implementation oscalStatus `json:"implementation-status"`
	}
	oscalStatus struct {
		State   string `json:"state"`
		Reason  string `json:"reason,omitempty"`
		Remarks string `json:"remarks,omitempty"`
	}
	oscalProp struct {
		Name  string `json:"name"`
		NS    string `json:"ns,omitempty"`
		Value string `json:"value"`
	}
)

// OSCAL writes the report as NIST's OSCAL assessment results. A control is satisfied only if all of it is enforced
// and holds; one that is enforced in part isn't, and one that wasn't run has no finding at all. The same report gives
// the same identifiers.
func (r Report) OSCAL(w io.Writer) error {
	data, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("write oscal: %w", err)
	}
	o := oscalWriter{r, uuid.NewSHA1(uuid.NewSHA1(uuid.NameSpaceURL, []byte(oscalNamespace)), data)}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(oscalDocument{o.document()}); err != nil {
		return fmt.Errorf("write oscal: %w", err)
	}
	return nil
}

type oscalWriter struct {
	Report
	space uuid.UUID // of the identifiers of this report
}

func (o oscalWriter) id(format string, args ...any) string {
	return uuid.NewSHA1(o.space, fmt.Appendf(nil, format, args...)).String()
}

func (o oscalWriter) document() oscalResults {
	doc := oscalResults{UUID: o.space.String(), Metadata: oscalMetadata{
		Title: "Conformance of platform " + plain(o.Platform), Modified: o.Ended, Version: o.Ended.Format(time.RFC3339), OSCAL: oscalVersion,
	}}
	suite := oscalPart{
		UUID: o.id("suite"), Title: "The suite of druppie-up conformance", Description: "Controls in policies/controls.yaml, each with the scenarios that prove it and the mutations that weaken it.",
		Props: props("revision", o.Tool.Revision),
	}
	doc.Plan.Href = "#" + suite.UUID
	doc.Matter.Resources = []oscalPart{suite}
	result := oscalResult{
		UUID: o.id("result"), Title: "druppie-up conformance", Description: plain(o.Summary()), Start: o.Began, End: o.Ended, Local: o.local(),
		Props: props("kind", string(o.Kind), "seed", seed(o.Seed)),
	}
	var objectives []oscalObjective
	var selection oscalSelection
	var remarks []string
	if o.Stopped != "" {
		remarks = append(remarks, "Not everything was tried: "+plain(o.Stopped)+".")
	}
	for _, c := range o.Controls {
		selection.Include = append(selection.Include, oscalControl{c.ID})
		objective := oscalObjective{Control: c.ID}
		objective.Parts = append(objective.Parts, struct {
			ID    string `json:"id"`
			Name  string `json:"name"`
			Prose string `json:"prose"`
		}{objectiveID(c), "assessment-objective", plain(c.Statement.EN)})
		objectives = append(objectives, objective)
		if c.Verdict == NotRun {
			remarks = append(remarks, fmt.Sprintf("Control %s was not run: %s.", c.ID, plain(c.Why)))
			continue
		}
		result.Findings = append(result.Findings, o.finding(c))
	}
	for i, s := range o.Scenarios {
		result.Observations = append(result.Observations, o.observeRun(i, s))
	}
	for _, m := range o.Mutations {
		if !slices.Contains(selection.Include, oscalControl{m.Control}) {
			selection.Include = append(selection.Include, oscalControl{m.Control})
		}
		result.Observations = append(result.Observations, o.observeMutation(m))
	}
	if len(objectives) > 0 {
		doc.Local = &oscalObjectives{objectives}
	}
	result.Reviewed.Selections = []oscalSelection{selection}
	result.Remarks = strings.Join(remarks, "\n\n")
	doc.All = []oscalResult{result}
	return doc
}

func objectiveID(c ControlResult) string { return c.ID + "_obj" }

func seed(n uint64) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprint(n)
}

// local are the platform, what ran on it, and what tested it.
func (o oscalWriter) local() oscalLocal {
	operational := &oscalStatus{State: "operational"}
	local := oscalLocal{Components: []oscalPart{{
		UUID: o.id("platform"), Type: "this-system", Title: "Platform " + plain(o.Platform), Description: "Kubernetes and what Flux has applied of Git.",
		Props: props("version", o.Tested.Kubernetes), Status: operational,
	}}}
	for _, rev := range o.Tested.Revisions {
		local.Components[0].Props = append(local.Components[0].Props, props("revision", rev.Name+" "+rev.Revision)...)
	}
	for _, n := range o.Tested.Nodes {
		local.Components = append(local.Components, oscalPart{
			UUID: o.id("node %s", n.Name), Type: "hardware", Title: "Node " + plain(n.Name), Description: plain(n.OS + ", kernel " + n.Kernel + ", " + n.Arch),
			Props: props("version", n.Kubelet, "runtime", n.Runtime), Status: operational,
		})
	}
	for _, img := range o.Tested.Images {
		local.Components = append(local.Components, oscalPart{
			UUID: o.id("image %s:%s@%s", img.Image, img.Tag, img.Digest), Type: "software", Title: plain(img.Image),
			Description: "Ran in " + plain(strings.Join(img.Namespaces, ", ")) + ".", Props: props("version", img.Tag, "digest", img.Digest), Status: operational,
		})
	}
	tool := oscalPart{
		UUID: o.id("tool"), Type: "software", Title: "druppie-up", Description: "The program that ran the scenarios and gave the verdicts.",
		Props: props("version", o.Tool.Version, "revision", o.Tool.Revision, "go", o.Tool.Go), Status: operational,
	}
	local.Assets.Components = []oscalPart{tool}
	machine := oscalPlatform{UUID: o.id("machine"), Title: "The machine that scenarios and platform shared", Props: props("cores", fmt.Sprint(o.Cores), "platform", o.Tool.Platform)}
	machine.Uses = append(machine.Uses, struct {
		Component string `json:"component-uuid"`
	}{tool.UUID})
	local.Assets.Platforms = []oscalPlatform{machine}
	return local
}

func (o oscalWriter) finding(c ControlResult) oscalFinding {
	f := oscalFinding{
		UUID: o.id("finding %s", c.ID), Title: plain(c.ID), Description: plain(c.Statement.EN), Props: props("verdict", string(c.Verdict), "enforced-by", c.EnforcedBy),
		Target: oscalTarget{Type: "objective-id", ID: objectiveID(c), Status: oscalStatus{"not-satisfied", "other", plain(c.Why)}},
	}
	f.Target.Implementation.State = map[State]string{Enforced: "implemented", Partly: "partial", Absent: "planned"}[c.State]
	switch {
	case c.Verdict == Broken:
		f.Target.Status.Reason = "fail"
	case c.Verdict == Holds && c.State == Enforced:
		f.Target.Status.State, f.Target.Status.Reason = "satisfied", "pass"
	case c.Verdict == Holds:
		f.Target.Status.Remarks = "What is enforced of it holds. " + plain(c.Why)
	}
	for _, n := range c.Norms {
		f.Props = append(f.Props, props("norm", n.Norm+" "+n.Clause)...)
	}
	for i, s := range o.Scenarios {
		if slices.Contains(c.Scenarios, s.Name) {
			f.Related = append(f.Related, oscalObserved{o.runID(i, s)})
		}
	}
	return f
}

func (o oscalWriter) runID(i int, s scenarios.Result) string { return o.id("run %d %s", i, s.Name) }

func (o oscalWriter) observe(id, title, description, kind string, p []oscalProp, remarks string) oscalObservation {
	return oscalObservation{
		UUID: id, Title: plain(title), Description: plain(description), Props: p, Methods: []string{"TEST"}, Types: []string{kind},
		Origins:   []oscalOrigin{{[]oscalActor{{"tool", o.id("tool")}}}},
		Subjects:  []oscalSubject{{o.id("platform"), "component"}},
		Collected: o.Ended, Remarks: plain(remarks),
	}
}

func (o oscalWriter) observeRun(i int, s scenarios.Result) oscalObservation {
	outcome, description := "passed", fmt.Sprintf("Scenario %s passed.", s.Title())
	if !s.Passed {
		outcome, description = "failed", fmt.Sprintf("Scenario %s failed: %s", s.Title(), s.Why)
	}
	p := props("outcome", outcome, "seconds", seconds(s.Duration), "failed-in", s.Failed())
	var names []string
	for _, ph := range s.Phases {
		names = append(names, ph.Name+" "+seconds(ph.Duration)+" s")
	}
	return o.observe(o.runID(i, s), "Scenario "+s.Name, description, "control-objective", p, strings.Join(names, ", "))
}

func (o oscalWriter) observeMutation(m MutationResult) oscalObservation {
	outcome, description := "noticed", fmt.Sprintf("%s Scenario %s turned red in phase %q.", m.What.EN, m.Scenario, m.Phase)
	if !m.Noticed {
		outcome, description = "not-noticed", fmt.Sprintf("%s Scenario %s did not turn red where it should.", m.What.EN, m.Scenario)
	}
	p := props("outcome", outcome, "control", m.Control, "seconds", seconds(m.Took))
	return o.observe(o.id("mutation %s", m.Name), "Mutation "+m.Name, description, "mutation", p, m.Why)
}

// props are properties by name and value; those without a value are left out.
func props(pairs ...string) []oscalProp {
	var all []oscalProp
	for i := 0; i < len(pairs); i += 2 {
		if value := line(pairs[i+1]); value != "" {
			all = append(all, oscalProp{pairs[i], oscalNamespace, value})
		}
	}
	return all
}

// plain is text that stays text where Markdown is read, as OSCAL's readers do.
func plain(s string) string { return oscalMarkup.Replace(line(s)) }

var oscalMarkup = strings.NewReplacer("\\", "\\\\", "`", "\\`", "*", "\\*", "_", "\\_", "[", "\\[", "]", "\\]", "<", "\\<", ">", "\\>", "~", "\\~", "$", "\\$")
