package register

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

// entry is testdata/full.yaml as a tree that tests break.
type entry map[string]any

func full(t *testing.T) entry {
	t.Helper()
	raw, err := os.ReadFile("testdata/full.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var e map[string]any
	if err := yaml.Unmarshal(raw, &e); err != nil {
		t.Fatal(err)
	}
	return e
}

var step = regexp.MustCompile(`[^.\[\]]+`)

// set puts a value at a path, owners[0].email; nil takes the field away.
func (e entry) set(t *testing.T, path string, value any) entry {
	t.Helper()
	steps := step.FindAllString(path, -1)
	var at any = map[string]any(e)
	for i, s := range steps {
		last := i == len(steps)-1
		switch here := at.(type) {
		case map[string]any:
			if last && value == nil {
				delete(here, s)
			} else if last {
				here[s] = value
			} else {
				at = here[s]
			}
		case []any:
			n, err := strconv.Atoi(s)
			if err != nil {
				t.Fatal(err)
			}
			if last {
				here[n] = value
			} else {
				at = here[n]
			}
		default:
			t.Fatalf("%s: nothing at %s", path, s)
		}
	}
	return e
}

func (e entry) get(path string) any {
	var at any = map[string]any(e)
	for _, s := range step.FindAllString(path, -1) {
		if n, err := strconv.Atoi(s); err == nil {
			at = at.([]any)[n]
		} else {
			at = at.(map[string]any)[s]
		}
	}
	return at
}

// broken validates the entry and gives what it breaks, as "path rule".
func (e entry) broken(t *testing.T) []string {
	t.Helper()
	raw, err := yaml.Marshal(map[string]any(e))
	if err != nil {
		t.Fatal(err)
	}
	_, violations := Validate(raw)
	out := []string{}
	for _, v := range violations {
		if v.Message == "" || v.Remedy == "" || v.Line == 0 || v.Column == 0 {
			t.Errorf("says too little: %#v", v)
		}
		if nl := v.Dutch(); strings.Contains(nl, "klopt niet") || strings.HasSuffix(nl, ": ") {
			t.Errorf("says too little in Dutch: %s", nl)
		}
		out = append(out, v.Path+" "+v.Rule)
	}
	return out
}

func TestFullIsValid(t *testing.T) {
	e := full(t)
	if got := e.broken(t); len(got) > 0 {
		t.Fatalf("testdata/full.yaml: %v", got)
	}
	// A field that full.yaml lacked would be broken by no test.
	for _, f := range fields {
		if f.tier != tierNever && e.get(strings.ReplaceAll(f.path, "[]", "[0]")) == nil {
			t.Errorf("testdata/full.yaml lacks %s", f.path)
		}
	}
}

// longer gives a text of that many characters that is written as the field's is.
func longer(s *shape, n int) string {
	const link = "https://x.example/"
	if s == nil {
		return strings.Repeat("ë", n) // two bytes each: characters are counted
	}
	return link + strings.Repeat("a", n-len(link))
}

// TestFieldRules breaks every rule of the table of fields, once, and sees that one violation alone.
func TestFieldRules(t *testing.T) {
	for _, r := range tableRules() {
		if r.When != "" {
			continue
		}
		t.Run(r.Path+"/"+r.Rule, func(t *testing.T) {
			path, f, e := strings.ReplaceAll(r.Path, "[]", "[0]"), fieldAt[r.Path], full(t)
			at := path
			switch r.Rule {
			case RuleRequired:
				e.set(t, path, nil)
			case RuleForbidden:
				e.set(t, path, "x")
			case RuleEnum:
				if f.kind == texts {
					at = path + "[0]"
				}
				e.set(t, at, "iets anders")
			case RuleMaxLength:
				e.set(t, path, longer(f.shape, r.Limit))
				if got := e.broken(t); len(got) > 0 {
					t.Errorf("at the limit: %v", got)
				}
				e.set(t, path, longer(f.shape, r.Limit+1))
			case RulePattern, RuleFormat:
				e.set(t, path, "X y")
			case RulePath:
				e.set(t, path, "../x")
			case RuleUnique:
				list := e.get(path).([]any)
				e.set(t, path, append(list, list[0]))
				at = fmt.Sprintf("%s[%d]", path, len(list))
			default:
				t.Fatal("no test breaks this rule")
			}
			if diff := cmp.Diff([]string{at + " " + r.Rule}, e.broken(t)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestRelations breaks every rule of the table of relations, and shows what the rule leaves alone.
func TestRelations(t *testing.T) {
	type change struct {
		path  string
		value any
	}
	const risk, category, end = "ai_act_profile.risk_group", "register.publication_category", "register.end_date"
	high := []change{{risk, RiskHigh}, {category, CategoryHighRisk}}
	tests := []struct {
		rule, path string
		breaks     []change
		fine       []change
	}{
		{RuleForbidden, risk, []change{{risk, RiskForbidden}}, []change{{risk, RiskException}}},
		{RuleImplies, category, []change{{risk, RiskHigh}}, high},
		{RuleImplies, risk, []change{{category, CategoryHighRisk}}, high},
		{RuleImplies, risk, []change{{category, CategoryHighRisk}, {risk, nil}, {"ai_act_profile.type", "geen algoritme"}}, high},
		{RuleRequired, risk, []change{{risk, nil}}, []change{{risk, nil}, {"ai_act_profile.type", "AI-model voor algemene doeleinden"}}},
		{RuleRequired, risk, []change{{risk, ""}}, []change{{risk, nil}, {"ai_act_profile.type", "impactvol algoritme"}}},
		{RuleRequired, risk, []change{{risk, nil}, {"ai_act_profile.type", "AI-systeem voor algemene doeleinden"}}, []change{{risk, RiskNotHigh}}},
		{RuleRequired, "eu_database", append([]change{{"eu_database", nil}}, high...), []change{{"eu_database", nil}}},
		{RuleRequired, "eu_database", append([]change{{"eu_database", map[string]any{}}}, high...), high},
		{RuleRequired, "eu_database", append([]change{{"eu_database", map[string]any{"provider": nil, "x": "", "y": map[string]any{"z": []any{" "}}}}}, high...), high},
		{RuleForbidden, end, []change{{"register.status", InUse}}, []change{{"register.status", InUse}, {end, nil}}},
		{RuleOrder, end, []change{{end, "2024-01"}}, []change{{end, "2024-02"}}},
	}
	for _, f := range fields {
		if f.tier == tierStrict {
			tests = append(tests, struct {
				rule, path string
				breaks     []change
				fine       []change
			}{RuleRequired, f.path, []change{{f.path, nil}}, []change{{f.path, nil}, {category, CategoryOther}}})
		}
	}
	seen := map[string]bool{}
	for _, tt := range tests {
		t.Run(tt.path+"/"+tt.rule, func(t *testing.T) {
			seen[tt.path+" "+tt.rule] = true
			broken, fine := full(t), full(t)
			for _, c := range tt.breaks {
				broken.set(t, c.path, c.value)
			}
			for _, c := range tt.fine {
				fine.set(t, c.path, c.value)
			}
			if diff := cmp.Diff([]string{tt.path + " " + tt.rule}, broken.broken(t)); diff != "" {
				t.Error(diff)
			}
			if got := fine.broken(t); len(got) > 0 {
				t.Errorf("the control breaks %v", got)
			}
		})
	}
	for _, r := range relations {
		if !seen[r.path+" "+r.rule] {
			t.Errorf("no test breaks %s of %s", r.rule, r.path)
		}
	}
}

// TestStrictTier holds the tier against the publication standard's mandatory set, in the delivery
// API's words, less what is required of every entry.
func TestStrictTier(t *testing.T) {
	mandatory := []string{"name", "description_short", "organization", "theme", "status", "start_date", "contact",
		"publication_category", "purpose_and_impact", "considerations", "human_intervention", "risk_management",
		"impact_assessments", "data", "technical_operation", "supplier", "language", "schema"}
	want := map[string]bool{}
	for _, name := range mandatory {
		path := "register." + name
		if ours, ok := otherNames[path]; ok {
			path = "register." + ours
		}
		want[path] = true
	}
	got := map[string]bool{}
	for _, f := range fields {
		if strings.HasPrefix(f.path, "register.") && !strings.Contains(f.path, "[]") && (f.tier == tierAlways || f.tier == tierStrict) {
			got[f.path] = true
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-standard +ours)\n%s", diff)
	}
}

func TestOtherNames(t *testing.T) {
	for theirs, ours := range otherNames {
		if _, ok := fieldAt["register."+ours]; !ok {
			t.Errorf("%s is said to be register.%s, which doesn't exist", theirs, ours)
		}
		if _, ok := fieldAt[theirs]; ok {
			t.Errorf("%s is a name of ours too", theirs)
		}
	}
}

// TestRulesGolden shows a change of any limit, value or source as what it is: a change of the rules.
func TestRulesGolden(t *testing.T) {
	var b strings.Builder
	for _, r := range tableRules() {
		fmt.Fprintf(&b, "%s\t%s\t%s\t%d\t%s\t%s\t%s\n", r.Path, r.Rule, r.Tier, r.Limit, strings.Join(r.Values, " | "), r.When, r.Source)
	}
	golden(t, "rules.tsv", b.String())
}

// tableRule is one rule of the tables.
type tableRule struct {
	Path   string // [] is every element of a list
	Title  string // the field's, in Dutch
	Rule   string
	Tier   tier     // of the field
	Limit  int      // characters
	Values []string // that exist, or that are wanted
	When   string   // condition: another field's value
	Source string
}

// tableRules lists every rule about fields and between them, in the order of the tables.
func tableRules() []tableRule {
	var out []tableRule
	for _, f := range fields {
		r := tableRule{Path: f.path, Title: f.title, Tier: f.tier, Source: f.source}
		add := func(rule string, limit int, values []string) {
			r.Rule, r.Limit, r.Values = rule, limit, values
			out = append(out, r)
		}
		if f.tier == tierAlways {
			add(RuleRequired, 0, nil)
		}
		if f.tier == tierNever {
			add(RuleForbidden, 0, nil)
		}
		if len(f.values) > 0 {
			add(RuleEnum, 0, slices.Clone(f.values))
		}
		if f.max > 0 {
			add(RuleMaxLength, f.max, nil)
		}
		if f.shape != nil {
			add(f.shape.rule, 0, nil)
		}
		if f.key != "" {
			add(RuleUnique, 0, nil)
		}
	}
	for _, rel := range relations {
		f := fieldAt[rel.path]
		out = append(out, tableRule{Path: rel.path, Title: f.title, Rule: rel.rule, Tier: f.tier,
			Values: slices.Clone(rel.want), When: rel.condition(), Source: rel.source})
	}
	return out
}
