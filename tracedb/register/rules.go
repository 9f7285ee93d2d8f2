package register

import (
	"regexp"
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
	RuleMore         = "more"          // there are more violations than are listed
)

// tier says when a field must be there.
type tier string

// The tiers. Strict is the mandatory set of the register's publication standard; "Overige algoritmes"
// alone need not meet it.
const (
	tierAlways   tier = "always"
	tierStrict   tier = "strict"
	tierOptional tier = "optional"
	tierNever    tier = "never"
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
	tier   tier
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
// reported.
var fields = []field{
	{path: "schema", title: "Schema", tier: tierAlways, values: []string{Schema}, source: sourceOurs},
	{path: "id", title: "Algoritme-id", tier: tierAlways, shape: shapeID, source: sourceOurs},

	{path: "register", title: "Registratie", kind: object, tier: tierAlways, source: sourceOurs},
	{path: "register.standard_version", title: "Versie publicatiestandaard", tier: tierStrict, values: []string{"1.0"}, source: sourceAPI},
	{path: "register.name", title: "Naam", tier: tierAlways, max: 100, source: sourceAPI},
	{path: "register.description_short", title: "Korte omschrijving", tier: tierAlways, max: 400, source: sourceAPI},
	{path: "register.organization", title: "Organisatienaam", tier: tierAlways, max: 100, source: sourceAPI},
	{path: "register.status", title: "Status", tier: tierAlways, values: []string{InDevelopment, InUse, OutOfUse}, source: sourceAPI},
	{path: "register.publication_category", title: "Publicatiecategorie", tier: tierAlways, values: []string{CategoryHighRisk, CategoryImpact, CategoryOther}, source: sourceAPI},
	{path: "register.contact_email", title: "Contactgegevens", tier: tierAlways, max: 500, shape: shapeContact, source: sourceAPI},
	{path: "register.lang", title: "Taal", tier: tierAlways, values: []string{"nld"}, source: sourceAPI},

	{path: "register.category", title: "Thema", kind: texts, tier: tierStrict, values: categories, key: ".", source: sourceAPI},
	{path: "register.begin_date", title: "Begindatum", tier: tierStrict, shape: shapeMonth, source: sourceAPI},
	{path: "register.goal", title: "Doel en impact", tier: tierStrict, max: 2500, source: sourceAPI},
	{path: "register.proportionality", title: "Afwegingen", tier: tierStrict, max: 2500, source: sourceAPI},
	{path: "register.human_intervention", title: "Menselijke tussenkomst", tier: tierStrict, max: 2500, source: sourceAPI},
	{path: "register.risks", title: "Risicobeheer", tier: tierStrict, max: 2500, source: sourceAPI},
	{path: "register.impacttoetsen", title: "Toelichting op impacttoetsen", tier: tierStrict, max: 2500, source: sourceAPI},
	{path: "register.source_data", title: "Gegevens", tier: tierStrict, max: 2500, source: sourceAPI},
	{path: "register.methods_and_models", title: "Technische werking", tier: tierStrict, max: 5000, source: sourceAPI},
	{path: "register.provider", title: "Leverancier", tier: tierStrict, max: 200, source: sourceAPI},

	{path: "register.end_date", title: "Einddatum", tier: tierOptional, shape: shapeMonth, source: sourceAPI},
	{path: "register.lawful_basis", title: "Wettelijke basis", tier: tierOptional, max: 2500, source: sourceAPI},
	{path: "register.lawful_basis_grouping", title: "Verwijzingen wettelijke basis", kind: objects, tier: tierOptional, source: sourceAPI},
	{path: "register.lawful_basis_grouping[].title", title: "Titel van wettelijke basis", tier: tierAlways, max: 100, source: sourceAPI},
	{path: "register.lawful_basis_grouping[].link", title: "Link naar wettelijke basis", tier: tierAlways, max: 500, shape: shapeLink, source: sourceAPI},
	{path: "register.impacttoetsen_grouping", title: "Impacttoetsen", kind: objects, tier: tierOptional, source: sourceAPI},
	{path: "register.impacttoetsen_grouping[].title", title: "Titel van impacttoets", tier: tierAlways, source: sourceAPI},
	{path: "register.impacttoetsen_grouping[].link", title: "Link naar impacttoets", tier: tierOptional, max: 500, shape: shapeSecureLink, source: sourceAPI},
	{path: "register.source_data_grouping", title: "Verwijzingen gegevensbronnen", kind: objects, tier: tierOptional, source: sourceAPI},
	{path: "register.source_data_grouping[].title", title: "Titel van gegevensbron", tier: tierAlways, max: 500, source: sourceAPI},
	{path: "register.source_data_grouping[].link", title: "Link naar gegevensbron", tier: tierAlways, max: 500, shape: shapeLink, source: sourceAPI},
	{path: "register.publiccode", title: "Link naar broncode", tier: tierOptional, max: 500, shape: shapeSecureLink, source: sourceAPI},
	{path: "register.url", title: "Link naar bronregistratie", tier: tierOptional, max: 500, shape: shapeSecureLink, source: sourceAPI},
	{path: "register.website", title: "Link naar publiekspagina", tier: tierOptional, max: 500, shape: shapeSecureLink, source: sourceAPI},
	{path: "register.process_index_url", title: "Link naar verwerkingsregister", tier: tierOptional, max: 500, shape: shapeLink, source: sourceAPI},
	{path: "register.tags", title: "Zoektermen", tier: tierOptional, max: 2500, source: sourceAPI},
	{path: "register.lars", title: "Algoritme-ID", tier: tierOptional, shape: shapeLars, source: sourceAPI},
	{path: "register.source_id", title: "Bron-ID", tier: tierNever, source: sourceOurs, note: [2]string{
		"leave it out: delivery fills it with the id", "laat het weg: bij aanlevering komt de id hier"}},
	{path: "register.publication_dt", title: "Publicatiedatum", tier: tierNever, source: sourceAPI, note: [2]string{
		"leave it out: the register fills it when it publishes", "laat het weg: het register vult dit bij publicatie"}},

	{path: "ai_act_profile", title: "AI-verordening", kind: object, tier: tierAlways, source: sourceOurs},
	{path: "ai_act_profile.type", title: "Soort toepassing", tier: tierAlways, source: sourceCard, values: []string{
		"AI-systeem", "AI-systeem voor algemene doeleinden", "AI-model voor algemene doeleinden",
		"impactvol algoritme", "niet-impactvol algoritme", "geen algoritme"}},
	{path: "ai_act_profile.role", title: "Rol", kind: texts, tier: tierOptional, key: ".", source: sourceCard, values: []string{
		"aanbieder", "gebruiksverantwoordelijke", "distributeur", "importeur"}},
	{path: "ai_act_profile.risk_group", title: "Risicogroep", tier: tierOptional, source: sourceCard, values: []string{
		RiskHigh, RiskNotHigh, RiskForbidden, RiskException}},
	{path: "ai_act_profile.transparency_obligations", title: "Transparantieverplichting", tier: tierOptional, source: sourceCard, values: []string{
		"transparantieverplichting", "geen transparantieverplichting"}},

	{path: "owners", title: "Eigenaren", kind: objects, tier: tierAlways, source: sourceOurs},
	{path: "owners[].organization", title: "Organisatie van de eigenaar", tier: tierAlways, source: sourceOurs},
	{path: "owners[].email", title: "E-mailadres van de eigenaar", tier: tierAlways, shape: shapeEmail, source: sourceOurs},
	{path: "owners[].role", title: "Rol van de eigenaar", tier: tierOptional, source: sourceCard},

	{path: "requirements", title: "Vereisten", kind: objects, tier: tierOptional, key: "urn", source: sourceCard},
	{path: "requirements[].urn", title: "URN van de vereiste", tier: tierAlways, shape: shapeRequirement, source: sourceKader},
	{path: "requirements[].state", title: "Stand van de vereiste", tier: tierAlways, source: sourceCard},
	{path: "measures", title: "Maatregelen", kind: objects, tier: tierOptional, key: "urn", source: sourceCard},
	{path: "measures[].urn", title: "URN van de maatregel", tier: tierAlways, shape: shapeMeasure, source: sourceKader},
	{path: "measures[].state", title: "Stand van de maatregel", tier: tierAlways, source: sourceCard},
	{path: "measures[].value", title: "Invulling van de maatregel", tier: tierAlways, source: sourceCard},

	{path: "data", title: "Gegevensbestanden", kind: objects, tier: tierOptional, key: "uri", source: sourceOurs},
	{path: "data[].uri", title: "Plaats van de gegevens", tier: tierAlways, shape: shapeURI, source: sourceOurs},
	{path: "data[].sha256", title: "Hash van de gegevens", tier: tierAlways, shape: shapeSHA256, source: sourceOurs},

	{path: "eu_database", title: "EU-databank", kind: free, tier: tierOptional, source: sourceAct, note: [2]string{
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
		if f.tier == tierStrict {
			out = append(out, relation{rule: RuleRequired, when: "register.publication_category", in: []string{CategoryOther}, not: true,
				path: f.path, must: mustBeGiven, source: sourceStandard})
		}
	}
	return out
}

// otherNames are the fields' names in the publication standard, which is called 1.0 like the delivery
// API: who took them from there is told what to write here.
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
var fieldAt, below = indexFields()

func indexFields() (map[string]field, map[string][]string) {
	at, names := map[string]field{}, map[string][]string{}
	for _, f := range fields {
		at[f.path] = f
		parent, name := cutLast(f.path)
		if f.tier != tierNever {
			names[parent] = append(names[parent], name)
		}
	}
	return at, names
}

var index = regexp.MustCompile(`\[[^\]]*`)

// generic is a violation's path as the tables name it: owners[0].email is owners[].email.
func generic(path string) string { return index.ReplaceAllString(path, "[") }

// cutLast splits a path at its last dot; parent is empty where it has none.
func cutLast(path string) (parent, name string) {
	if i := strings.LastIndexByte(path, '.'); i >= 0 {
		return path[:i], path[i+1:]
	}
	return "", path
}
