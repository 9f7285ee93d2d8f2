package register

import (
	"crypto/sha256"
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/druppie/druppie-up/internal/text"
	"github.com/druppie/druppie-up/tracedb/register/registertest"
)

var update = flag.Bool("update", false, "write the golden files anew")

// small is the least that is valid.
const small = registertest.Minimal

// with is small with one part written otherwise.
func with(old, new string) string {
	if strings.Count(small, old) != 1 {
		panic("not once in small: " + old)
	}
	return strings.Replace(small, old, new, 1)
}

func TestSample(t *testing.T) {
	dir := filepath.Join("..", "..", "scenarios", "drone-service")
	d, violations, err := ValidateTree(os.DirFS(dir))
	if err != nil || len(violations) > 0 {
		t.Fatalf("%v\n%s", err, violations.Error())
	}
	if ok, reason, _ := d.MayRun(); !ok {
		t.Error(reason)
	}
	if d.ID != "alg-d1jk3vl8" || len(d.Data) != 1 || len(d.Register.Category) != 1 || len(d.Measures) != 1 || d.Register.Provider != "Intern ontwikkeld" {
		t.Errorf("read as %+v", d)
	}
}

// TestViolations holds what is told about each kind of mistake to the letter.
func TestViolations(t *testing.T) {
	tests := []struct {
		name, file string
		want       Violations
	}{
		{"nothing wrong", small, nil},
		{"a byte order mark", "\ufeff" + small, nil},
		{"Windows line ends", strings.ReplaceAll(small, "\n", "\r\n"), nil},
		{"nothing said where nothing is asked", with("  lang: nld\n", "  lang: nld\n  website:\n  url: \"\"\n  tags: ' '\n  category: []\n  lars: ~\n"), nil},
		{"required", with("  name: Peilverwachting\n", ""), Violations{
			{"register.name", 3, 1, RuleRequired, "is missing", "write a text of at most 100 characters"}}},
		{"required, but blank", with("name: Peilverwachting", "name: ' '"), Violations{
			{"register.name", 3, 1, RuleRequired, "is missing", "write a text of at most 100 characters"}}},
		{"required by the strict tier", with("Overige algoritmes", "Impactvolle algoritmes"), strictlyMissing()},
		{"enum", with("In gebruik", "in gebruik"), Violations{
			{"register.status", 7, 11, RuleEnum, `"in gebruik" isn't a value of this field`, `write one of "In ontwikkeling", "In gebruik" or "Buiten gebruik"`}}},
		{"max-length", with("name: Peilverwachting", "name: "+strings.Repeat("x", 101)), Violations{
			{"register.name", 4, 9, RuleMaxLength, "has 101 characters", "write a text of at most 100 characters"}}},
		{"pattern", with("alg-0a1b2c3d", "alg-0A1B2C3D"), Violations{
			{"id", 2, 5, RulePattern, `"alg-0A1B2C3D" isn't written as it must be`, `write "alg-" and eight lower-case letters or digits`}}},
		{"format", with("    email: peilbeheer@waterschap.example", "    email: Peilbeheer <peilbeheer@waterschap.example>"), Violations{
			{"owners[0].email", 15, 12, RuleFormat, `"Peilbeheer <peilbeheer@waterschap.example>" isn't written as it must be`, "write an e-mail address"}}},
		{"characters", with("name: Peilverwachting", `name: "\e[2JPeil"`), Violations{
			{"register.name", 4, 9, RuleCharacters, "holds the character U+001B, which nobody sees", "write plain readable text on one line"}}},
		{"characters that turn the text", with("name: Peilverwachting", "name: Peil\u202egnithcawrev"), Violations{
			{"register.name", 4, 9, RuleCharacters, "holds the character U+202E, which nobody sees", "write plain readable text on one line"}}},
		{"a name that nobody sees", with("name: Peilverwachting", "name: \u3164"), Violations{
			{"register.name", 4, 9, RuleCharacters, "holds the character U+3164, which nobody sees", "write plain readable text on one line"}}},
		{"a value that nobody sees", with("status: In gebruik", "status: \u3164"), Violations{
			{"register.status", 7, 11, RuleCharacters, "holds the character U+3164, which nobody sees", "write plain readable text on one line"},
			{"register.status", 7, 11, RuleEnum, `"\u3164" isn't a value of this field`, fieldAt["register.status"].wants()[0]}}},
		{"a name on two lines", with("name: Peilverwachting", `name: "Peil\nverwachting"`), Violations{
			{"register.name", 4, 9, RuleCharacters, "holds the character U+000A, which nobody sees", "write plain readable text on one line"}}},
		{"a title on two lines", with("  lang: nld\n", "  lang: nld\n  source_data_grouping: [{title: \"a\\nb\", link: \"https://b.example\"}]\n"), Violations{
			{"register.source_data_grouping[0].title", 11, 34, RuleCharacters, "holds the character U+000A, which nobody sees", "write plain readable text on one line"}}},
		{"a path on two lines", small + "data: [{uri: \"a\\nb\", sha256: " + strings.Repeat("f", 64) + "}]\n", Violations{
			{"data[0].uri", 16, 14, RuleCharacters, "holds the character U+000A, which nobody sees", "write plain readable text on one line"}}},
		{"text on lines", with("  lang: nld\n", "  lang: nld\n  goal: |\n    Een.\n\n    Twee.\n") + "measures: [{urn: \"urn:nl:ak:mtr:imp-04\", state: done, value: \"a\\nb\"}]\n", nil},
		{"a text with a character that nobody sees", with("  lang: nld\n", "  lang: nld\n  goal: a\u00adb\n"), Violations{
			{"register.goal", 11, 9, RuleCharacters, "holds the character U+00AD, which nobody sees", "write plain readable text"}}},
		{"a name of its own that nobody sees", small + "eu_database: {\"a\\u200b\": b}\n", Violations{
			{`eu_database."a\u200b"`, 16, 15, RuleCharacters, "holds the character U+200B, which nobody sees", "write plain readable text on one line"}}},
		{"type: a number", with("name: Peilverwachting", "name: 1.0"), Violations{
			{"register.name", 4, 9, RuleType, "is a number, not a text", `put it in quotes: "1.0"`}}},
		{"type: a long number", with("name: Peilverwachting", "name: "+strings.Repeat("1", 99)), Violations{
			{"register.name", 4, 9, RuleType, "is a number, not a text", "put it in quotes"}}},
		{"type: a list", with("name: Peilverwachting", "name: [Peilverwachting]"), Violations{
			{"register.name", 4, 9, RuleType, "is a list", "write a text of at most 100 characters"}}},
		{"type: no list", with("  lang: nld", "  lang: nld\n  category: Verkeer"), Violations{
			{"register.category", 11, 13, RuleType, "is a single value", fieldAt["register.category"].wants()[0]}}},
		{"type: no object", with("  type: niet-impactvol algoritme", "  - geen algoritme"), Violations{
			{"ai_act_profile", 12, 3, RuleType, "is a list", "write the fields type, role, risk_group, transparency_obligations"}}},
		{"type: no object in a list", with("  - organization: Voorbeeldwaterschap\n    email: peilbeheer@waterschap.example\n", "  - Voorbeeldwaterschap\n"), Violations{
			{"owners[0]", 14, 5, RuleType, "is a single value", "write a list, each with the fields organization, email, role"}}},
		{"type: a name that is a list", with("  lang: nld", "  lang: nld\n  ? [a]\n  : b"), Violations{
			{"register", 11, 5, RuleType, "a name is a list", "write a field's name"}}},
		{"type: a number JSON doesn't know", small + "eu_database: {x: .nan}\n", Violations{
			{"eu_database.x", 16, 18, RuleType, "isn't a number that JSON knows", `put it in quotes: ".nan"`}}},
		{"unknown-field", with("  lang: nld", "  lang: nld\n  theme: Verkeer"), Violations{
			{"register.theme", 11, 3, RuleUnknownField, "isn't a field of druppie.io/algorithm/v1", "the register's delivery API calls this category"}}},
		{"unknown-field with a strange name", with("  type: niet", "  \"a\\nb\": 1\n  type: niet"), Violations{
			{`ai_act_profile."a\nb"`, 12, 3, RuleUnknownField, "isn't a field of druppie.io/algorithm/v1", "leave it out; the fields here are type, role, risk_group, transparency_obligations"}}},
		{"duplicate-key", with("  lang: nld", "  lang: nld\n  status: Buiten gebruik"), Violations{
			{"register.status", 11, 3, RuleDuplicateKey, "stands on line 7 already", "keep one of the two"}}},
		{"forbidden: what others fill in", with("  lang: nld", "  lang: nld\n  source_id: x"), Violations{
			{"register.source_id", 11, 3, RuleForbidden, "isn't for this file to say", "leave it out: delivery fills it with the id"}}},
		{"forbidden: a prohibited practice", with("type: niet-impactvol algoritme", "type: AI-systeem\n  risk_group: verboden AI"), Violations{
			{"ai_act_profile.risk_group", 13, 15, RuleForbidden, `is "verboden AI"`, "a prohibited practice (article 5) is never built or run"}}},
		{"forbidden: an end while in use", with("  lang: nld", "  lang: nld\n  end_date: 2026-01"), Violations{
			{"register.end_date", 11, 13, RuleForbidden, `is given, while register.status is "In gebruik"`, "leave it out: what is in use has no end"}}},
		{"forbidden: an anchor and its alias", with("organization: Voorbeeldwaterschap\n  status", "organization: &o Voorbeeldwaterschap\n  status") + "requirements: *o\n", Violations{
			{"register.organization", 6, 17, RuleForbidden, "anchors have no meaning here", "write the value itself"},
			{"requirements", 16, 15, RuleForbidden, "aliases aren't followed", "write the value itself"}}},
		{"forbidden: a tag", with("name: Peilverwachting", "name: !!binary eA=="), Violations{
			{"register.name", 4, 9, RuleForbidden, `tags such as "!!binary" have no meaning here`, "write the value itself"}}},
		{"forbidden: a merge", with("  lang: nld", "  lang: nld\n  <<: {tags: x}"), Violations{
			{`register."<<"`, 11, 3, RuleForbidden, "other fields can't be merged in", "write the fields out"}}},
		{"implies", with("Overige algoritmes", "Overige algoritmes") + "eu_database: {x: 1}\n", nil},
		{"implies: high risk of another category", with("type: niet-impactvol algoritme", "type: AI-systeem\n  risk_group: hoog-risico AI") + "eu_database: {x: 1}\n", Violations{
			{"register.publication_category", 8, 25, RuleImplies, `is "Overige algoritmes", while ai_act_profile.risk_group is "hoog-risico AI"`, `write "Hoog-risico AI-systeem", or correct ai_act_profile.risk_group`}}},
		{"order", strings.Replace(with("  lang: nld", "  lang: nld\n  begin_date: 2026-02\n  end_date: 2026-01"), InUse, OutOfUse, 1), Violations{
			{"register.end_date", 12, 13, RuleOrder, `"2026-01" comes before register.begin_date, which is "2026-02"`, `write a month from "2026-02" on`}}},
		{"unique", with("type: niet-impactvol algoritme", "type: niet-impactvol algoritme\n  role: [aanbieder, importeur, aanbieder]"), Violations{
			{"ai_act_profile.role[2]", 13, 32, RuleUnique, `"aanbieder" is in the list on line 13 already`, "name each only once"}}},
		{"required in a list", with("type: niet-impactvol algoritme", "type: niet-impactvol algoritme\n  role: ['']"), Violations{
			{"ai_act_profile.role[0]", 13, 10, RuleRequired, "is empty", `write one of "aanbieder", "gebruiksverantwoordelijke", "distributeur" or "importeur"`}}},
		{"path", small + "data:\n- uri: ../../etc/passwd\n  sha256: " + strings.Repeat("f", 64) + "\n", Violations{
			{"data[0].uri", 17, 8, RulePath, `"../../etc/passwd" isn't written as it must be`, "write " + shapeURI.is[0]}}},
		{"max-depth", small + "eu_database: {a: " + strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth) + "}\n", Violations{
			{"eu_database.a" + strings.Repeat("[0]", maxDepth-1), 16, 17 + maxDepth, RuleMaxDepth, "is nested too deep", "keep it within 16 levels"}}},
		{"syntax", "id: [alg\nregister: }", Violations{
			{"", 1, 1, RuleSyntax, "isn't YAML: did not find expected ',' or ']'", "mend the YAML here, or on the next line"}}},
		{"syntax: an alias to nothing", "id: *x", Violations{
			{"", 1, 1, RuleSyntax, "isn't YAML: unknown anchor 'x' referenced", "mend the YAML here, or on the next line"}}},
		{"syntax: not UTF-8", small + "data: \xff", Violations{
			{"", 16, 7, RuleSyntax, "isn't UTF-8", "save the file as UTF-8"}}},
		{"documents: none", "", Violations{{"", 1, 1, RuleDocuments, "is empty", topFields}}},
		{"documents: only a comment", "# later\n", Violations{{"", 1, 1, RuleDocuments, "is empty", topFields}}},
		{"documents: null", "~", Violations{{"", 1, 1, RuleDocuments, "is empty", topFields}}},
		{"documents: two", small + "---\nid: alg-1\n", Violations{
			{"", 16, 1, RuleDocuments, "holds another YAML document from here on", "keep one, without --- between"}}},
		{"documents: an empty one behind", small + "...\n---\n...\n", nil},
		{"documents: an empty one before", "---\n---\n" + small, nil},
		{"a directive and an end", "%YAML 1.1\n---\n" + small + "...\n", nil},
		{"YAML 1.2", "\ufeff# ours\n%YAML 1.2\n---\n" + small + "...\n", nil},
		{"YAML 1.2, and something wrong", "%YAML 1.2\n---\n" + with("In gebruik", "in gebruik"), Violations{
			{"register.status", 9, 11, RuleEnum, `"in gebruik" isn't a value of this field`, `write one of "In ontwikkeling", "In gebruik" or "Buiten gebruik"`}}},
		{"not an object", "- id: alg-0a1b2c3d\n", Violations{{"", 1, 1, RuleType, "is a list, not fields with values", topFields}}},
		{"max-size", small + "# " + strings.Repeat("x", MaxSize), Violations{
			{"", 1, 1, RuleMaxSize, fmt.Sprintf("has %d bytes", MaxSize+len(small)+2), "keep it within 262144 bytes"}}},
	}
	rules := map[string]bool{RuleMissingFile: true, RuleSHA256: true, RuleMore: true} // below
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, got := Validate([]byte(tt.file))
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			for _, v := range got {
				rules[v.Rule] = true
			}
		})
	}
	for rule := range dutch {
		if !rules[rule] {
			t.Errorf("no test breaks the rule %s", rule)
		}
	}
}

const topFields = "write the fields schema, id, register, ai_act_profile, owners, requirements, measures, data, eu_database"

func strictlyMissing() (out Violations) {
	for _, r := range []struct{ path, remedy string }{
		{"begin_date", `write a year and month, such as "2026-01"`},
		{"category", fieldAt["register.category"].wants()[0]},
		{"goal", "write a text of at most 2500 characters"},
		{"human_intervention", "write a text of at most 2500 characters"},
		{"impacttoetsen", "write a text of at most 2500 characters"},
		{"methods_and_models", "write a text of at most 5000 characters"},
		{"proportionality", "write a text of at most 2500 characters"},
		{"provider", "write a text of at most 200 characters"},
		{"risks", "write a text of at most 2500 characters"},
		{"source_data", "write a text of at most 2500 characters"},
		{"standard_version", `write "1.0"`},
	} {
		out = append(out, Violation{"register." + r.path, 3, 1, RuleRequired, `is missing, while register.publication_category isn't "Overige algoritmes"`, r.remedy})
	}
	return out
}

// TestAliasBomb sees that aliases are refused, not followed.
func TestAliasBomb(t *testing.T) {
	var b strings.Builder
	b.WriteString("eu_database:\n  a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n")
	for i := 1; i < 12; i++ {
		fmt.Fprintf(&b, "  a%d: &a%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 10), ", "))
	}
	d, got := Validate([]byte(small + b.String()))
	if want := 12 + 11*10; len(got) != want {
		t.Errorf("%d violations, want one for each of the %d anchors and aliases", len(got), want)
	}
	if raw, err := json.Marshal(d); err != nil || len(raw) > 2000 {
		t.Errorf("%d bytes, %v", len(raw), err)
	}
}

func TestMoreThanAnybodyReads(t *testing.T) {
	var b strings.Builder
	for i := range 3 * maxListed {
		fmt.Fprintf(&b, "x%d: 1\n", i)
	}
	_, got := Validate([]byte(small + b.String()))
	want := Violation{"", 16 + maxListed, 1, RuleMore, "1000 more violations from here on aren't told", "mend these first"}
	if len(got) != maxListed+1 || got[maxListed] != want {
		t.Errorf("%d violations, the last %+v", len(got), got[len(got)-1])
	}
}

// TestTold holds both languages' output for one file with many mistakes.
func TestTold(t *testing.T) {
	file, err := os.ReadFile("testdata/broken.yaml")
	if err != nil {
		t.Fatal(err)
	}
	_, violations := Validate(file)
	golden(t, "broken.en.txt", violations.Error()+"\n")
	var nl strings.Builder
	for _, v := range violations {
		nl.WriteString(v.Dutch() + "\n")
	}
	golden(t, "broken.nl.txt", nl.String())
	raw, err := json.Marshal(violations)
	if err != nil {
		t.Fatal(err)
	}
	var back Violations
	if err := json.Unmarshal(raw, &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(violations, back); diff != "" {
		t.Errorf("as JSON: %s", diff)
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (run with -update if this is meant):\n%s", file, diff)
	}
}

func TestMayRun(t *testing.T) {
	tests := []struct {
		name, status, risk string
		want               bool
		reason             string
	}{
		{"in use", InUse, RiskNotHigh, true, ""},
		{"in development", InDevelopment, "", true, ""},
		{"high risk", InUse, RiskHigh, true, ""},
		{"out of use", OutOfUse, RiskNotHigh, false, `register.status is "Buiten gebruik"`},
		{"prohibited", InUse, RiskForbidden, false, `"verboden AI"`},
		{"prohibited and out of use", OutOfUse, RiskForbidden, false, `"verboden AI"`},
		{"no entry at all", "", "", false, `register.status is ""`},
		{"a status that doesn't exist", "in gebruik", "", false, `"in gebruik"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var d Document
			d.Register.Status, d.AIActProfile.RiskGroup = tt.status, tt.risk
			ok, reason, remedy := d.MayRun()
			for _, lang := range []string{text.English, text.Dutch} {
				why, what := reason.In(lang), remedy.In(lang)
				if ok != tt.want || !strings.Contains(why, tt.reason) || ok != (why == "" && what == "") {
					t.Errorf("in %s: %v, %q, %q", lang, ok, why, what)
				}
			}
		})
	}
}

func TestDeliver(t *testing.T) {
	raw, err := os.ReadFile("testdata/full.yaml")
	if err != nil {
		t.Fatal(err)
	}
	d, violations := Validate(raw)
	if len(violations) > 0 {
		t.Fatal(violations)
	}
	got, err := Deliver(d)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "full.delivery.json", string(got))

	d, violations = Validate([]byte(small))
	if len(violations) > 0 {
		t.Fatal(violations)
	}
	if got, err = Deliver(d); err != nil {
		t.Fatal(err)
	}
	golden(t, "small.delivery.json", string(got))

	d.Register.Name = strings.Repeat("x", 101)
	if got, err = Deliver(d); err == nil || !strings.Contains(err.Error(), "algorithm.yaml: register.name: has 101 characters") {
		t.Errorf("delivered what the register refuses: %s, %v", got, err)
	}
	if got, err = Deliver(Document{}); err == nil {
		t.Errorf("delivered nothing at all: %s", got)
	}
}

func TestValidateTree(t *testing.T) {
	const hello = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824" // sha256 of "hello"
	data := func(lines ...string) []byte {
		return []byte(small + "data:\n" + strings.Join(lines, "\n") + "\n")
	}
	file := func(line string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(line)} }
	link := func(to string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(to), Mode: fs.ModeSymlink} }
	item := func(uri string) string { return "- {uri: '" + uri + "', sha256: " + hello + "}" }
	tests := []struct {
		name string
		yaml []byte
		tree fstest.MapFS
		want []string // path rule
	}{
		{"as declared", data(item("a/b.txt")), fstest.MapFS{"a/b.txt": file("hello")}, nil},
		{"changed", data(item("a/b.txt")), fstest.MapFS{"a/b.txt": file("hello!")}, []string{"data[0].sha256 sha256"}},
		{"empty", data(item("a/b.txt")), fstest.MapFS{"a/b.txt": file("")}, []string{"data[0].sha256 sha256"}},
		{"the second", data(item("a"), item("b")), fstest.MapFS{"a": file("hello"), "b": file("")}, []string{"data[1].sha256 sha256"}},
		{"behind one that can't be read", data("- 1", item("b")), fstest.MapFS{"b": file("")}, []string{"data[0] type", "data[1].sha256 sha256"}},
		{"missing", data(item("a/b.txt")), fstest.MapFS{"a/c.txt": file("hello")}, []string{"data[0].uri missing-file"}},
		{"below a file", data(item("a/b.txt")), fstest.MapFS{"a": file("hello")}, []string{"data[0].uri missing-file"}},
		{"a folder", data(item("a")), fstest.MapFS{"a/b.txt": file("hello")}, []string{"data[0].uri missing-file"}},
		{"a link", data(item("a")), fstest.MapFS{"a": link("b"), "b": file("hello")}, []string{"data[0].uri missing-file"}},
		{"below a link", data(item("a/b")), fstest.MapFS{"a": link("c"), "c/b": file("hello")}, []string{"data[0].uri missing-file"}},
		{"a pipe", data(item("a")), fstest.MapFS{"a": {Mode: fs.ModeNamedPipe}}, []string{"data[0].uri missing-file"}},
		{"above the tree", data(item("../a")), fstest.MapFS{"a": file("hello")}, []string{"data[0].uri path"}},
		{"above the tree, later", data(item("b/../../a")), fstest.MapFS{"a": file("hello")}, []string{"data[0].uri path"}},
		{"absolute", data(item("/a")), fstest.MapFS{"a": file("hello")}, []string{"data[0].uri path"}},
		{"another spelling", data(item("./a")), fstest.MapFS{"a": file("hello")}, []string{"data[0].uri path"}},
		{"of Windows", data(item(`c:\a`)), nil, []string{"data[0].uri path"}},
		{"the tree itself", data(item(".")), nil, []string{"data[0].uri path"}},
		{"on this machine", data(item("file:///etc/hostname")), nil, []string{"data[0].uri path"}},
		{"elsewhere", data(item("dvc://store/x"), item("https://data.example/x.csv"), item("urn:nbn:nl:x")), nil, nil},
		{"twice", data(item("a"), item("a")), fstest.MapFS{"a": file("x")}, []string{"data[0].sha256 sha256", "data[1] unique"}},
		{"a hash that is none", data("- {uri: a, sha256: x}"), fstest.MapFS{"a": file("hello")}, []string{"data[0].sha256 pattern"}},
		{"no file", nil, fstest.MapFS{"x": file("")}, []string{" missing-file"}},
		{"a folder instead", nil, fstest.MapFS{"algorithm.yaml/x": file("")}, []string{" missing-file"}},
		{"a link instead", nil, fstest.MapFS{"algorithm.yaml": link("x"), "x": file(small)}, []string{" missing-file"}},
		{"too big", []byte(strings.Repeat("#", 2*MaxSize)), nil, []string{" max-size"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tree := fstest.MapFS{}
			for name, f := range tt.tree {
				tree[name] = f
			}
			if tt.yaml != nil {
				tree[File] = &fstest.MapFile{Data: tt.yaml}
			}
			_, violations, err := ValidateTree(tree)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, v := range violations {
				got = append(got, v.Path+" "+v.Rule)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("%s\n%s", diff, violations.Error())
			}
		})
	}
}

// TestSecretsStayOut sees that no violation repeats a secret of the file, in whatever field somebody wrote it.
func TestSecretsStayOut(t *testing.T) {
	token := "gh" + "p_" + strings.Repeat("aB3", 12)
	for _, secret := range []string{"hond12", "a@b", "correct horse", "p/q?r#s", `a"b`, strings.Repeat("hond", 20)} {
		for _, field := range []string{"data: [{uri: %s, sha256: x}]", "data: [{uri: a, sha256: %s}]", "%s: x", "requirements: [{urn: %[1]s, state: x}, {urn: %[1]s, state: x}]", "eu_database: {%s: {a: b, a: c}}", "x: *%s"} {
			address := strconv.Quote("https://piet:" + secret + "@data.example/x.csv")
			_, violations := Validate([]byte(small + fmt.Sprintf(field, address) + "\n"))
			if got := violations.Error(); got == "" || strings.Contains(got, secret) || strings.Contains(got, strconv.Quote(secret)[1:]) {
				t.Errorf("%s is told:\n%s", fmt.Sprintf(field, address), got)
			}
		}
	}
	for _, file := range []string{"website: " + token, token + ": x", "data: [{uri: https://" + token + "@data.example/x}]", "data: *" + token} {
		_, violations := Validate([]byte(small + file))
		if got := violations.Error(); got == "" || strings.Contains(got, token) {
			t.Errorf("%s is told:\n%s", file, got)
		}
	}
	_, violations, err := ValidateTree(fstest.MapFS{File: {Data: []byte(small + "data: [{uri: 'x/" + token + "', sha256: x}]")}})
	if err != nil || strings.Contains(violations.Error(), token) {
		t.Errorf("%v, %s", err, violations)
	}
}

// TestPointer sees that what is declared is the hash of the data, also where Git holds only a pointer to it.
func TestPointer(t *testing.T) {
	oid := strings.Repeat("ab", 32)
	pointer := "version https://git-lfs.github.com/spec/v1\noid sha256:" + oid + "\nsize 12345\n"
	own := fmt.Sprintf("%x", sha256.Sum256([]byte(pointer)))
	check := func(file, declared string) Violations {
		_, got, err := ValidateTree(fstest.MapFS{File: {Data: []byte(small + "data: [{uri: a.csv, sha256: " + declared + "}]\n")}, "a.csv": {Data: []byte(file)}})
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := check(pointer, oid); len(got) > 0 {
		t.Error(got)
	}
	for _, declared := range []string{own, strings.Repeat("f", 64)} {
		want := Violations{{"data[0].sha256", 16, 29, RuleSHA256, `isn't the hash of the data that "a.csv", a Git LFS pointer, stands for`, `write "` + oid + `" if the file is what is meant, or put back the file that was declared`}}
		if diff := cmp.Diff(want, check(pointer, declared)); diff != "" {
			t.Error(diff)
		}
	}
	for name, file := range map[string]string{"long": pointer + strings.Repeat("x", maxPointer), "more": pointer + "\n", "no hash": "version https://git-lfs.github.com/spec/v1\nsize 1\n"} {
		if got := check(file, fmt.Sprintf("%x", sha256.Sum256([]byte(file)))); len(got) > 0 {
			t.Errorf("%s: taken for a pointer: %v", name, got)
		}
	}
}

// TestTreeTold holds what is told about data to the letter: the whole hash, to be copied.
func TestTreeTold(t *testing.T) {
	declared := strings.Repeat("f", 64)
	_, got, err := ValidateTree(fstest.MapFS{
		File: {Data: []byte(small + "data:\n- {uri: a, sha256: " + declared + "}\n- {uri: b, sha256: " + declared + "}\n")},
		"a":  {Data: []byte("hello")},
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Violations{
		{"data[0].sha256", 17, 20, RuleSHA256, `isn't the hash of "a"`, `write "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824" if the file is what is meant, or put back the file that was declared`},
		{"data[1].uri", 18, 9, RuleMissingFile, `"b" isn't a file of the repository`, "add the file, or correct the path"},
	}, got); diff != "" {
		t.Error(diff)
	}
	if _, got, err = ValidateTree(fstest.MapFS{}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Violations{{"", 0, 0, RuleMissingFile, "isn't a file at the root of the repository", "add algorithm.yaml with schema druppie.io/algorithm/v1"}}, got); diff != "" {
		t.Error(diff)
	}
}

// TestLinkOutOfTree uses real links, which os.DirFS would follow.
func TestLinkOutOfTree(t *testing.T) {
	outside, dir := t.TempDir(), t.TempDir()
	for file, line := range map[string]string{
		filepath.Join(outside, "secret"): "hello",
		filepath.Join(dir, File):         small + "data: [{uri: a, sha256: " + strings.Repeat("f", 64) + "}, {uri: b/secret, sha256: " + strings.Repeat("f", 64) + "}]\n",
	} {
		if err := os.WriteFile(file, []byte(line), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, to := range map[string]string{"a": filepath.Join(outside, "secret"), "b": outside} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for name, tree := range map[string]fs.FS{"DirFS": os.DirFS(dir), "Root": root.FS()} {
		t.Run(name, func(t *testing.T) {
			_, violations, err := ValidateTree(tree)
			if err != nil {
				t.Fatal(err)
			}
			if len(violations) != 2 || violations[0].Rule != RuleMissingFile || violations[1].Rule != RuleMissingFile {
				// A hash in a remedy would be what the link gives away.
				t.Errorf("%s", violations.Error())
			}
		})
	}
}
