package attest

import "github.com/druppie/druppie-up/tracedb"

// Reading is what an attestation says, in the log's words.
type Reading struct {
	Outcome    tracedb.Outcome // empty: the predicate doesn't say
	Refs       []tracedb.Ref
	Images     []string // sha256:… of the subjects
	Repository string
	Commit     string
	Run        string
	Summary    string // one line
	SummaryNL  string
	// Detail is the predicate as its type: *ProvenanceV1, *TestResultV01, *VulnsV02, *Analysis,
	// *CycloneDX or *SVR.
	Detail any
}

// Read tells what the statement of a record of that kind says.
func Read(kind tracedb.Kind, st Statement) (Reading, error) {
	return Reading{}, tracedb.ErrInvalidRecord
}
