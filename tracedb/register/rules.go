package register

import (
	"slices"
	"strings"
)

// Names of the rules, as violations carry them. They are stable: other programs tell violations apart
// by them.
const (
	RuleRequired     = "required"      // a field that must be there isn't
	RuleEnum         = "enum"          // not one of the values that exist
	RuleMaxLength    = "max-length"    // more characters than the register takes
	RulePattern      = "pattern"       // not written as this field is
	RuleFormat       = "format"        // not an e-mail address or a link
	RulePath         = "path"          // not a path in the repository
	RuleUnique       = "unique"        // the same twice in a list
	RuleCharacters   = "characters"    // characters that nobody sees
	RuleType         = "type"          // a list where a text belongs, and the like
	RuleUnknownField = "unknown-field" //
	RuleDuplicateKey = "duplicate-key" //
	RuleForbidden    = "forbidden"     // may not be in the file, or not now
	RuleImplies      = "implies"       // one field says what another denies
	RuleOrder        = "order"         // an end before its begin
	RuleMissingFile  = "missing-file"  // data that isn't in the repository
	RuleSHA256       = "sha256"        // data that isn't what was declared
	RuleSyntax       = "syntax"        // not YAML
	RuleDocuments    = "documents"     // not exactly one YAML document
	RuleMaxSize      = "max-size"      // the file is too big to read
	RuleMaxDepth     = "max-depth"     // nested too deep
	RuleMore         = "more"          // there are more violations than are told
)

// Tier says when a field must be there.
type Tier string

// The tiers. Strict is the mandatory set of the register's publication standard; "Overige algoritmes"
// alone need not meet it.
const (
	TierAlways   Tier = "always"
	TierStrict   Tier = "strict"
	TierOptional Tier = "optional"
	TierNever    Tier = "never"
)

// Where the rules come from.
const (
	sourceOurs     = Schema
	sourceAPI      = "Algoritmeregister, delivery API 1.0 (backend/app/schemas/config/v1_0.json)"
	sourceStandard = "Algoritmeregister, publication standard 1.0.0 (schema.json)"
	sourceCard     = "AMT reporting standard 0.1a14, system card"
	sourceTree     = "AI Act decision tree (MinBZK/ai-verordening-beslishulp)"
	sourceKader    = "Algoritmekader, task registry (MinBZK/task-registry)"
	sourceAct      = "Regulation (EU) 2024/1689 (AI Act)"
)

// kind is what a field holds.
type kind int

const (
	line    kind = iota
	texts        // a list of texts
	object       // fields of its own
	objects      // a list of those
	free         // fields that nobody named beforehand
)

// field is one row of the table of fields: everything that is required of it alone.
type field struct {
	path   string // register.name; [] is every element of a list
	title  string // in Dutch; the register's fields have the register's own
	kind   kind
	tier   Tier
	max    int       // characters; 0: as many as fit in the file
	values []string  // the only ones that exist
	shape  *shape    // how it is written
	key    string    // of a list: the field that no two elements share; "." for texts
	note   [2]string // what to write, in English and Dutch, where the columns don't say it
	source string
}

var categories = []string{
	"Organisatie en bedrijfsvoering", "Cultuur en recreatie", "Economie", "Overheidsfinanciën", "Wonen",
	"Internationaal", "Migratie en integratie", "Natuur en milieu", "Onderwijs en wetenschap",
	"Openbare orde en veiligheid", "Recht", "Ruimte en infrastructuur", "Sociale zekerheid", "Verkeer",
	"Werk", "Zorg en gezondheid",
}

// fields is the table of fields, parents before children, in the order in which what is missing is
// told.
var fields = []field{
	{path: "schema", title: "Schema", tier: TierAlways, values: []string{Schema}, source: sourceOurs},
	{path: "id", title: "Algoritme-id", tier: TierAlways, shape: shapeID, source: sourceOurs},

	{path: "register", title: "Registratie", kind: object, tier: TierAlways, source: sourceOurs},
	{path: "register.standard_version", title: "Versie publicatiestandaard", tier: TierStrict, values: []string{"1.0"}, source: sourceAPI},
	{path: "register.name", title: "Naam", tier: TierAlways, max: 100, source: sourceAPI},
	{path: "register.description_short", title: "Korte omschrijving", tier: TierAlways, max: 400, source: sourceAPI},
	{path: "register.organization", title: "Organisatienaam", tier: TierAlways, max: 100, source: sourceAPI},
	{path: "register.status", title: "Status", tier: TierAlways, values: []string{InDevelopment, InUse, OutOfUse}, source: sourceAPI},
	{path: "register.publication_category", title: "Publicatiecategorie", tier: TierAlways, values: []string{CategoryHighRisk, CategoryImpact, CategoryOther}, source: sourceAPI},
	{path: "register.contact_email", title: "Contactgegevens", tier: TierAlways, max: 500, shape: shapeContact, source: sourceAPI},
	{path: "register.lang", title: "Taal", tier: TierAlways, values: []string{"nld"}, source: sourceAPI},

	{path: "register.category", title: "Thema", kind: texts, tier: TierStrict, values: categories, key: ".", source: sourceAPI},
	{path: "register.begin_date", title: "Begindatum", tier: TierStrict, shape: shapeMonth, source: sourceAPI},
	{path: "register.goal", title: "Doel en impact", tier: TierStrict, max: 2500, source: sourceAPI},
	{path: "register.proportionality", title: "Afwegingen", tier: TierStrict, max: 2500, source: sourceAPI},
	{path: "register.human_intervention", title: "Menselijke tussenkomst", tier: TierStrict, max: 2500, source: sourceAPI},
	{path: "register.risks", title: "Risicobeheer", tier: TierStrict, max: 2500, source: sourceAPI},
	{path: "register.impacttoetsen", title: "Toelichting op impacttoetsen", tier: TierStrict, max: 2500, source: sourceAPI},
	{path: "register.source_data", title: "Gegevens", tier: TierStrict, max: 2500, source: sourceAPI},
	{path: "register.methods_and_models", title: "Technische werking", tier: TierStrict, max: 5000, source: sourceAPI},
	{path: "register.provider", title: "Leverancier", tier: TierStrict, max: 200, source: sourceAPI},

	{path: "register.end_date", title: "Einddatum", tier: TierOptional, shape: shapeMonth, source: sourceAPI},
	{path: "register.lawful_basis", title: "Wettelijke basis", tier: TierOptional, max: 2500, source: sourceAPI},
	{path: "register.lawful_basis_grouping", title: "Verwijzingen wettelijke basis", kind: objects, tier: TierOptional, source: sourceAPI},
	{path: "register.lawful_basis_grouping[].title", title: "Titel van wettelijke basis", tier: TierAlways, max: 100, source: sourceAPI},
	{path: "register.lawful_basis_grouping[].link", title: "Link naar wettelijke basis", tier: TierAlways, max: 500, shape: shapeLink, source: sourceAPI},
	{path: "register.impacttoetsen_grouping", title: "Impacttoetsen", kind: objects, tier: TierOptional, source: sourceAPI},
	{path: "register.impacttoetsen_grouping[].title", title: "Titel van impacttoets", tier: TierAlways, source: sourceAPI},
	{path: "register.impacttoetsen_grouping[].link", title: "Link naar impacttoets", tier: TierOptional, max: 500, shape: shapeSecureLink, source: sourceAPI},
	{path: "register.source_data_grouping", title: "Verwijzingen gegevensbronnen", kind: objects, tier: TierOptional, source: sourceAPI},
	{path: "register.source_data_grouping[].title", title: "Titel van gegevensbron", tier: TierAlways, max: 500, source: sourceAPI},
	{path: "register.source_data_grouping[].link", title: "Link naar gegevensbron", tier: TierAlways, max: 500, shape: shapeLink, source: sourceAPI},
	{path: "register.publiccode", title: "Link naar broncode", tier: TierOptional, max: 500, shape: shapeSecureLink, source: sourceAPI},
	{path: "register.url", title: "Link naar bronregistratie", tier: TierOptional, max: 500, shape: shapeSecureLink, source: sourceAPI},
	{path: "register.website", title: "Link naar publiekspagina", tier: TierOptional, max: 500, shape: shapeSecureLink, source: sourceAPI},
	{path: "register.process_index_url", title: "Link naar verwerkingsregister", tier: TierOptional, max: 500, shape: shapeLink, source: sourceAPI},
	{path: "register.tags", title: "Zoektermen", tier: TierOptional, max: 2500, source: sourceAPI},
	{path: "register.lars", title: "Algoritme-ID", tier: TierOptional, shape: shapeLars, source: sourceAPI},
	{path: "register.source_id", title: "Bron-ID", tier: TierNever, source: sourceOurs, note: [2]string{
		"leave it out: delivery fills it with the id", "laat het weg: bij aanlevering komt de id hier"}},
	{path: "register.publication_dt", title: "Publicatiedatum", tier: TierNever, source: sourceAPI, note: [2]string{
		"leave it out: the register fills it when it publishes", "laat het weg: het register vult dit bij publicatie"}},

	{path: "ai_act_profile", title: "AI-verordening", kind: object, tier: TierAlways, source: sourceOurs},
	{path: "ai_act_profile.type", title: "Soort toepassing", tier: TierAlways, source: sourceCard, values: []string{
		"AI-systeem", "AI-systeem voor algemene doeleinden", "AI-model voor algemene doeleinden",
		"impactvol algoritme", "niet-impactvol algoritme", "geen algoritme"}},
	{path: "ai_act_profile.role", title: "Rol", kind: texts, tier: TierOptional, key: ".", source: sourceCard, values: []string{
		"aanbieder", "gebruiksverantwoordelijke", "distributeur", "importeur"}},
	{path: "ai_act_profile.risk_group", title: "Risicogroep", tier: TierOptional, source: sourceCard, values: []string{
		RiskHigh, RiskNotHigh, RiskForbidden, RiskException}},
	{path: "ai_act_profile.transparency_obligations", title: "Transparantieverplichting", tier: TierOptional, source: sourceCard, values: []string{
		"transparantieverplichting", "geen transparantieverplichting"}},

	{path: "owners", title: "Eigenaren", kind: objects, tier: TierAlways, source: sourceOurs},
	{path: "owners[].organization", title: "Organisatie van de eigenaar", tier: TierAlways, source: sourceOurs},
	{path: "owners[].email", title: "E-mailadres van de eigenaar", tier: TierAlways, shape: shapeEmail, source: sourceOurs},
	{path: "owners[].role", title: "Rol van de eigenaar", tier: TierOptional, source: sourceCard},

	{path: "requirements", title: "Vereisten", kind: objects, tier: TierOptional, key: "urn", source: sourceCard},
	{path: "requirements[].urn", title: "URN van de vereiste", tier: TierAlways, shape: shapeRequirement, source: sourceKader},
	{path: "requirements[].state", title: "Stand van de vereiste", tier: TierAlways, source: sourceCard},
	{path: "measures", title: "Maatregelen", kind: objects, tier: TierOptional, key: "urn", source: sourceCard},
	{path: "measures[].urn", title: "URN van de maatregel", tier: TierAlways, shape: shapeMeasure, source: sourceKader},
	{path: "measures[].state", title: "Stand van de maatregel", tier: TierAlways, source: sourceCard},
	{path: "measures[].value", title: "Invulling van de maatregel", tier: TierAlways, source: sourceCard},

	{path: "data", title: "Gegevensbestanden", kind: objects, tier: TierOptional, key: "uri", source: sourceOurs},
	{path: "data[].uri", title: "Plaats van de gegevens", tier: TierAlways, shape: shapeURI, source: sourceOurs},
	{path: "data[].sha256", title: "Hash van de gegevens", tier: TierAlways, shape: shapeSHA256, source: sourceOurs},

	{path: "eu_database", title: "EU-databank", kind: free, tier: TierOptional, source: sourceAct, note: [2]string{
		"fill in what Annex VIII, section A asks for: provider, trade name, intended purpose, inputs and operating logic, status, certificate, member states, declaration of conformity, instructions for use",
		"vul in wat bijlage VIII, afdeling A vraagt: aanbieder, handelsnaam, beoogd doel, invoer en werking, status, certificaat, lidstaten, conformiteitsverklaring, gebruiksinstructies"}},
}

// relation is one row of the table of rules across fields: when the field named when has one of the
// values in (or none of them, with not), then the field path must be as the rule says.
type relation struct {
	rule      string
	when      string
	in        []string
	not       bool
	path      string
	must      demand
	want      []string  // with mustBe
	why       [2]string // with mustBeAbsent, in English and Dutch
	source    string
	notBefore string // with mustNotPrecede: the field that comes first
}

// demand is what a relation asks of a field.
type demand int

const (
	mustBeGiven demand = iota
	mustBeAbsent
	mustBe
	mustNotPrecede
)

// pathRisk is where the profile says what the AI Act makes of the service.
const pathRisk = "ai_act_profile.risk_group"

// relations is the table of rules across fields.
var relations = append([]relation{
	{rule: RuleForbidden, when: pathRisk, in: []string{RiskForbidden}, path: pathRisk, must: mustBeAbsent, source: sourceAct, why: [2]string{
		"a prohibited practice (article 5) is never built or run", "een verboden praktijk (artikel 5) wordt nooit gebouwd of uitgevoerd"}},
	{rule: RuleImplies, when: pathRisk, in: []string{RiskHigh}, path: "register.publication_category", must: mustBe, want: []string{CategoryHighRisk}, source: sourceOurs},
	{rule: RuleImplies, when: "register.publication_category", in: []string{CategoryHighRisk}, path: pathRisk, must: mustBe, want: []string{RiskHigh}, source: sourceOurs},
	{rule: RuleRequired, when: "ai_act_profile.type", in: []string{"AI-systeem", "AI-systeem voor algemene doeleinden"}, path: pathRisk, must: mustBeGiven, source: sourceTree},
	{rule: RuleRequired, when: pathRisk, in: []string{RiskHigh}, path: "eu_database", must: mustBeGiven, source: sourceAct},
	{rule: RuleForbidden, when: "register.status", in: []string{InUse}, path: "register.end_date", must: mustBeAbsent, source: sourceAPI, why: [2]string{
		"what is in use has no end", "wat in gebruik is, heeft geen einddatum"}},
	{rule: RuleOrder, path: "register.end_date", must: mustNotPrecede, notBefore: "register.begin_date", source: sourceOurs},
}, strict()...)

// strict gives the strict tier's relations: every field of it is required unless the publication
// category is "Overige algoritmes", so also while the category isn't known.
func strict() []relation {
	var out []relation
	for _, f := range fields {
		if f.tier == TierStrict {
			out = append(out, relation{rule: RuleRequired, when: "register.publication_category", in: []string{CategoryOther}, not: true,
				path: f.path, must: mustBeGiven, source: sourceStandard})
		}
	}
	return out
}

// otherNames are the fields' names in the publication standard, which is called 1.0 like the delivery
// API: who took them from there hears what to write here.
var otherNames = map[string]string{
	"register.schema": "standard_version", "register.theme": "category", "register.start_date": "begin_date",
	"register.contact": "contact_email", "register.link": "website", "register.source_link": "url",
	"register.purpose_and_impact": "goal", "register.considerations": "proportionality",
	"register.risk_management": "risks", "register.impact_assessments": "impacttoetsen",
	"register.impact_assessment_explanation": "impacttoetsen", "register.impact_assessment_link": "impacttoetsen_grouping",
	"register.legal_basis": "lawful_basis", "register.legal_basis_link": "lawful_basis_grouping",
	"register.legal_basis_title": "lawful_basis_grouping", "register.processing_register_link": "process_index_url",
	"register.data": "source_data", "register.data_source_link": "source_data_grouping",
	"register.data_source_title": "source_data_grouping", "register.technical_operation": "methods_and_models",
	"register.supplier": "provider", "register.source_code_link": "publiccode", "register.language": "lang",
	"register.search_terms": "tags",
}

// Rule is one rule of the tables, for whoever documents or shows them.
type Rule struct {
	Path   string   `json:"path"`  // [] is every element of a list
	Title  string   `json:"title"` // the field's, in Dutch
	Rule   string   `json:"rule"`
	Tier   Tier     `json:"tier"`             // of the field
	Limit  int      `json:"limit,omitempty"`  // characters
	Values []string `json:"values,omitempty"` // that exist, or that are wanted
	When   string   `json:"when,omitempty"`   // condition: another field's value
	Source string   `json:"source"`
}

// Rules lists every rule about fields and between them, in the order of the tables.
func Rules() []Rule {
	var out []Rule
	for _, f := range fields {
		r := Rule{Path: f.path, Title: f.title, Tier: f.tier, Source: f.source}
		add := func(rule string, limit int, values []string) {
			r.Rule, r.Limit, r.Values = rule, limit, values
			out = append(out, r)
		}
		if f.tier == TierAlways {
			add(RuleRequired, 0, nil)
		}
		if f.tier == TierNever {
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
		out = append(out, Rule{Path: rel.path, Title: f.title, Rule: rel.rule, Tier: f.tier,
			Values: slices.Clone(rel.want), When: rel.condition(), Source: rel.source})
	}
	return out
}

func (r relation) condition() string {
	switch {
	case r.must == mustNotPrecede:
		return r.notBefore
	case r.not:
		return r.when + " isn't " + quoteAll(r.in, " or ")
	}
	return r.when + " is " + quoteAll(r.in, " or ")
}

// fieldAt finds a field by its path; below lists, by the path of their parent, the names of children.
var fieldAt, below = index()

func index() (map[string]field, map[string][]string) {
	at, names := map[string]field{}, map[string][]string{}
	for _, f := range fields {
		at[f.path] = f
		parent, name := "", f.path
		if i := strings.LastIndexByte(f.path, '.'); i >= 0 {
			parent, name = f.path[:i], f.path[i+1:]
		}
		if f.tier != TierNever {
			names[parent] = append(names[parent], name)
		}
	}
	return at, names
}

// generic is a violation's path as the tables name it: owners[0].email is owners[].email.
func generic(path string) string {
	var b strings.Builder
	skip := false
	for _, c := range path {
		switch c {
		case '[':
			skip = true
			b.WriteRune(c)
		case ']':
			skip = false
			b.WriteRune(c)
		default:
			if !skip {
				b.WriteRune(c)
			}
		}
	}
	return b.String()
}
