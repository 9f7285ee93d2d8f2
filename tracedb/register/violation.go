package register

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/druppie/druppie-up/tracedb/redact"
)

// Violation is one rule that the file breaks.
type Violation struct {
	Path    string `json:"path"`   // register.contact_email, owners[0].email; empty: the file as a whole
	Line    int    `json:"line"`   // from 1; 0: there is no place in the file
	Column  int    `json:"column"` // from 1
	Rule    string `json:"rule"`   // stable short name
	Message string `json:"message"`
	Remedy  string `json:"remedy"` // what would be right
}

// String is the violation on one line, as compilers write theirs.
func (v Violation) String() string {
	return v.place() + ": " + v.Message + " [" + v.Rule + "]: " + v.Remedy
}

// Dutch is String in Dutch. It follows from rule and path alone, so it also holds for a violation
// that came as JSON.
func (v Violation) Dutch() string {
	said, ok := dutch[v.Rule]
	if !ok {
		said = "klopt niet"
	}
	colon := ": "
	if f, ok := fieldAt[strings.TrimSuffix(generic(v.Path), "[]")]; ok {
		colon = " (" + f.title + ") "
	}
	return v.place() + colon + said + " [" + v.Rule + "]: " + v.remedyNL()
}

func (v Violation) place() string {
	out := File
	if v.Line > 0 {
		out += fmt.Sprintf(":%d:%d", v.Line, v.Column)
	}
	if v.Path != "" {
		out += ": " + v.Path
	}
	return out
}

// Prohibited says whether nothing is wrong but that the AI Act prohibits what the entry describes. It is
// never built then; the register may know it all the same, so that what was built before ends.
func (v Violations) Prohibited() bool {
	return len(v) == 1 && v[0].Rule == RuleForbidden && v[0].Path == pathRisk
}

// dutch says what each rule found.
var dutch = map[string]string{
	RuleRequired: "ontbreekt", RuleEnum: "heeft een waarde die niet bestaat", RuleMaxLength: "is te lang",
	RulePattern: "is niet geschreven zoals het hoort", RuleFormat: "is geen geldig adres", RulePath: "is geen pad in de repository en geen URI",
	RuleUnique: "staat twee keer in de lijst", RuleCharacters: "bevat onzichtbare tekens", RuleType: "is van een andere soort dan hier hoort",
	RuleUnknownField: "is geen veld van dit bestand", RuleDuplicateKey: "staat er twee keer", RuleForbidden: "mag hier niet staan",
	RuleImplies: "spreekt een ander veld tegen", RuleOrder: "ligt voor de begindatum", RuleMissingFile: "staat niet in de repository",
	RuleSHA256: "is niet de hash van het bestand", RuleSyntax: "is geen geldige YAML", RuleDocuments: "bevat niet precies één YAML-document",
	RuleMaxSize: "is te groot", RuleMaxDepth: "is te diep genest", RuleMore: "er zijn meer overtredingen dan hier staan",
}

// dutchRemedies says what would be right where it doesn't follow from the field.
var dutchRemedies = map[string]string{
	RuleUnique: "noem elk maar één keer", RuleCharacters: "schrijf gewone leesbare tekst, een naam of titel op één regel", RuleDuplicateKey: "laat een van de twee staan",
	RuleOrder: "een einddatum op of na de begindatum", RuleMissingFile: "voeg het bestand toe, of verbeter het pad",
	RuleSHA256: "de hash van het bestand zelf, bij Git LFS niet die van de verwijzing", RuleSyntax: "herstel de YAML hier of op de volgende regel",
	RuleDocuments: "één document met de velden van " + Schema, RuleMaxSize: fmt.Sprintf("ten hoogste %d bytes", MaxSize),
	RuleMaxDepth: fmt.Sprintf("ten hoogste %d niveaus", maxDepth), RuleMore: "los eerst deze op",
}

func (v Violation) remedyNL() string {
	if r, ok := dutchRemedies[v.Rule]; ok {
		return r
	}
	path := generic(v.Path)
	if v.Rule == RuleUnknownField {
		return unknownRemedy(path)[1]
	}
	for _, rel := range relations {
		switch {
		case rel.rule != v.Rule || rel.path != path:
		case rel.must == mustBe:
			return "verwacht wordt " + quoteAll(rel.want, " of ") + ", of verbeter " + rel.when
		case rel.must == mustBeAbsent:
			return rel.why[1]
		}
	}
	if f, ok := lookup(path); ok && (v.Rule != RuleForbidden || f.tier == tierNever) {
		if f.kind == texts && strings.HasSuffix(path, "[]") {
			f.kind = line
		}
		switch {
		case v.Rule == RuleType && f.kind == free && path != f.path:
			return "zet het tussen aanhalingstekens"
		case v.Rule == RuleType && f.kind == line:
			return f.wants()[1] + ", een getal of datum tussen aanhalingstekens"
		}
		return f.wants()[1]
	}
	return "schrijf gewone YAML, zonder ankers, verwijzingen en tags"
}

// Violations is everything that is wrong with a file, in the file's order.
type Violations []Violation

// Error is every violation, one a line.
func (v Violations) Error() string {
	lines := make([]string, len(v))
	for i, one := range v {
		lines[i] = one.String()
	}
	return strings.Join(lines, "\n")
}

// maxListed is the most violations that are listed: a file of nonsense could break a rule on every line.
const maxListed = 500

// sorted are the violations in the file's order, and no more than anybody would read.
func (v Violations) sorted() Violations {
	slices.SortStableFunc(v, func(a, b Violation) int {
		return cmp.Or(a.Line-b.Line, a.Column-b.Column, strings.Compare(a.Path, b.Path), strings.Compare(a.Rule, b.Rule))
	})
	if more := len(v) - maxListed; more > 0 {
		last := v[maxListed]
		v = append(slices.Clip(v[:maxListed]), Violation{Line: last.Line, Column: last.Column, Rule: RuleMore,
			Message: fmt.Sprintf("%d more violations from here on aren't told", more), Remedy: "mend these first"})
	}
	return v
}

// wants says what a field is to hold, in English and Dutch.
func (f field) wants() [2]string {
	if f.note[0] != "" {
		return f.note
	}
	var en, nl string
	switch {
	case len(f.values) == 1:
		en = strconv.Quote(f.values[0])
		nl = en
	case len(f.values) > 0:
		en = "one of " + quoteAll(f.values, " or ")
		nl = "een van " + quoteAll(f.values, " of ")
	case f.shape != nil:
		en, nl = f.shape.is[0], f.shape.is[1]
	case f.kind == object || f.kind == objects:
		names := strings.Join(slices.Concat(below[f.path], below[f.path+"[]"]), ", ")
		en, nl = "the fields "+names, "de velden "+names
	default:
		en, nl = "a text", "een tekst"
	}
	if f.max > 0 {
		if f.shape != nil {
			en, nl = en+",", nl+","
		}
		en += fmt.Sprintf(" of at most %d characters", f.max)
		nl += fmt.Sprintf(" van ten hoogste %d tekens", f.max)
	}
	switch f.kind {
	case texts:
		return [2]string{"write a list, each " + en, "schrijf een lijst, met elk " + nl}
	case objects:
		return [2]string{"write a list, each with " + en, "schrijf een lijst, elk met " + nl}
	}
	return [2]string{"write " + en, "schrijf " + nl}
}

// unknownRemedy says what to do about a field that doesn't exist, in English and Dutch.
func unknownRemedy(path string) [2]string {
	if name, ok := otherNames[path]; ok {
		return [2]string{"the register's delivery API calls this " + name, "de aanlever-API van het register noemt dit " + name}
	}
	parent, _ := cutLast(path)
	names := strings.Join(below[parent], ", ")
	return [2]string{"leave it out; the fields here are " + names, "laat het weg; de velden hier zijn " + names}
}

// lookup finds the field that a path belongs to: itself, or the nearest one around it.
func lookup(path string) (field, bool) {
	for path = generic(path); path != ""; {
		if f, ok := fieldAt[path]; ok {
			return f, true
		}
		path = path[:max(strings.LastIndexAny(path, ".["), 0)]
	}
	return field{}, false
}

// quoteAll lists values for people.
func quoteAll(values []string, last string) string {
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = strconv.Quote(v)
	}
	if n := len(quoted); n > 1 {
		return strings.Join(quoted[:n-1], ", ") + last + quoted[n-1]
	}
	return strings.Join(quoted, "")
}

// oneLine says whether a field is a name, a title or the like, not a text that people read.
func (f field) oneLine() bool {
	const paragraph = 400
	return strings.HasSuffix(f.path, "title") || f.max < paragraph && f.path != "measures[].value"
}

// quote shows what the file says, without secrets, without what it may do to a terminal, and not more
// than fits a line.
func quote(s string) string {
	const most = 60
	s = redact.Value(s)
	if r := []rune(s); len(r) > most {
		s = string(r[:most]) + "…"
	}
	var b strings.Builder
	for _, c := range strconv.Quote(s) {
		if _, bad := hidden(string(c), ""); bad {
			fmt.Fprintf(&b, `\u%04x`, c)
		} else {
			b.WriteRune(c)
		}
	}
	return b.String()
}

// inQuotes says how to make a text of a value that YAML takes for something else.
func inQuotes(s string) string {
	if len(s) > 40 {
		return "put it in quotes"
	}
	return "put it in quotes: " + quote(s)
}
