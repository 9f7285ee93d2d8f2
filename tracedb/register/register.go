// Package register reads algorithm.yaml, the entry in the algorithm register that every repository
// carries. It owns the fields, their values and limits (those of the Dutch Algoritmeregister and of
// the AI Act's system card), what an entry must say before anything is built or run, and its form for
// the register's delivery API; it refuses to guess: a file that breaks a rule gets every violation at
// once, each with its place and what would be right.
package register

// Schema is the value of the file's field schema.
const Schema = "druppie.io/algorithm/v1"

// File is the file's name, at the root of a repository.
const File = "algorithm.yaml"

// MaxSize is the most bytes the file may have.
const MaxSize = 256 << 10

// Document is what the file says. Texts come from people: they are data, never markup. Its JSON form
// has the file's own names.
type Document struct {
	Schema       string         `json:"schema" yaml:"schema"`
	ID           string         `json:"id" yaml:"id"` // alg-…, belongs to one repository for ever
	Register     Fields         `json:"register" yaml:"register"`
	AIActProfile Profile        `json:"ai_act_profile" yaml:"ai_act_profile"`
	Owners       []Owner        `json:"owners" yaml:"owners"`
	Requirements []Item         `json:"requirements,omitempty" yaml:"requirements,omitempty"`
	Measures     []Item         `json:"measures,omitempty" yaml:"measures,omitempty"`
	Data         []Source       `json:"data,omitempty" yaml:"data,omitempty"`
	EUDatabase   map[string]any `json:"eu_database,omitempty" yaml:"eu_database,omitempty"`
}

// Fields is the entry itself, in the words of the Algoritmeregister's delivery API 1.0.
type Fields struct {
	StandardVersion       string   `json:"standard_version,omitempty" yaml:"standard_version,omitempty"`
	Name                  string   `json:"name" yaml:"name"`
	DescriptionShort      string   `json:"description_short" yaml:"description_short"`
	Organization          string   `json:"organization" yaml:"organization"`
	Category              []string `json:"category,omitempty" yaml:"category,omitempty"`
	Status                string   `json:"status" yaml:"status"`
	BeginDate             string   `json:"begin_date,omitempty" yaml:"begin_date,omitempty"` // YYYY-MM
	EndDate               string   `json:"end_date,omitempty" yaml:"end_date,omitempty"`     // YYYY-MM
	ContactEmail          string   `json:"contact_email" yaml:"contact_email"`
	Website               string   `json:"website,omitempty" yaml:"website,omitempty"`
	PublicationCategory   string   `json:"publication_category" yaml:"publication_category"`
	URL                   string   `json:"url,omitempty" yaml:"url,omitempty"`
	Goal                  string   `json:"goal,omitempty" yaml:"goal,omitempty"`
	Proportionality       string   `json:"proportionality,omitempty" yaml:"proportionality,omitempty"`
	HumanIntervention     string   `json:"human_intervention,omitempty" yaml:"human_intervention,omitempty"`
	Risks                 string   `json:"risks,omitempty" yaml:"risks,omitempty"`
	LawfulBasis           string   `json:"lawful_basis,omitempty" yaml:"lawful_basis,omitempty"`
	LawfulBasisGrouping   []Link   `json:"lawful_basis_grouping,omitempty" yaml:"lawful_basis_grouping,omitempty"`
	ProcessIndexURL       string   `json:"process_index_url,omitempty" yaml:"process_index_url,omitempty"`
	ImpacttoetsenGrouping []Link   `json:"impacttoetsen_grouping,omitempty" yaml:"impacttoetsen_grouping,omitempty"`
	Impacttoetsen         string   `json:"impacttoetsen,omitempty" yaml:"impacttoetsen,omitempty"`
	SourceData            string   `json:"source_data,omitempty" yaml:"source_data,omitempty"`
	SourceDataGrouping    []Link   `json:"source_data_grouping,omitempty" yaml:"source_data_grouping,omitempty"`
	MethodsAndModels      string   `json:"methods_and_models,omitempty" yaml:"methods_and_models,omitempty"`
	Provider              string   `json:"provider,omitempty" yaml:"provider,omitempty"`
	Publiccode            string   `json:"publiccode,omitempty" yaml:"publiccode,omitempty"`
	Lang                  string   `json:"lang" yaml:"lang"`
	Tags                  string   `json:"tags,omitempty" yaml:"tags,omitempty"` // separated by commas
	Lars                  string   `json:"lars,omitempty" yaml:"lars,omitempty"` // the register's own id, once it gave one
}

// Link is a title with where to read on.
type Link struct {
	Title string `json:"title" yaml:"title"`
	Link  string `json:"link,omitempty" yaml:"link,omitempty"`
}

// Profile is what the thing is under the AI Act, in the words of the system card.
type Profile struct {
	Type                    string   `json:"type" yaml:"type"`
	Role                    []string `json:"role,omitempty" yaml:"role,omitempty"`
	RiskGroup               string   `json:"risk_group,omitempty" yaml:"risk_group,omitempty"`
	TransparencyObligations string   `json:"transparency_obligations,omitempty" yaml:"transparency_obligations,omitempty"`
}

// Owner is who answers for the algorithm.
type Owner struct {
	Organization string `json:"organization" yaml:"organization"`
	Email        string `json:"email" yaml:"email"`
	Role         string `json:"role,omitempty" yaml:"role,omitempty"`
}

// Item is a requirement or a measure of the Algoritmekader. Value, how it was done, is for measures.
type Item struct {
	URN   string `json:"urn" yaml:"urn"`
	State string `json:"state" yaml:"state"`
	Value string `json:"value,omitempty" yaml:"value,omitempty"`
}

// Source is data that the algorithm uses: a path in the repository or a URI, and the hash of its
// bytes in lower-case hex.
type Source struct {
	URI    string `json:"uri" yaml:"uri"`
	SHA256 string `json:"sha256" yaml:"sha256"`
}

// Values of the register and the system card that decide something.
const (
	InDevelopment = "In ontwikkeling"
	InUse         = "In gebruik"
	OutOfUse      = "Buiten gebruik"

	CategoryHighRisk = "Hoog-risico AI-systeem"
	CategoryImpact   = "Impactvolle algoritmes"
	CategoryOther    = "Overige algoritmes"

	RiskHigh      = "hoog-risico AI"
	RiskNotHigh   = "geen hoog-risico AI"
	RiskForbidden = "verboden AI"
	RiskException = "uitzondering van toepassing"
)
