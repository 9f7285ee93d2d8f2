package attest

import (
	"fmt"
	"strings"
	"time"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/attest/strict"
)

// Reading is what an attestation says, in the log's terms.
type Reading struct {
	Outcome    tracedb.Outcome // empty: the predicate doesn't say
	Refs       []tracedb.Ref   // sorted
	Images     []string        // sha256:… of the subjects
	Repository string
	Commit     string
	Run        string
	Summary    string // one line; holds texts of others, so it is data, never markup
	SummaryNL  string
	// Detail is the predicate: *SLSA, *TestRun, *Vulnerabilities, *Analysis, *BOM, *SVR or *Conformance.
	Detail any
}

// Read reads what the statement of a record of that kind says. Its errors have the place within the
// statement.
func Read(kind tracedb.Kind, st Statement) (Reading, error) {
	r, err := st.reading()
	if err != nil {
		return Reading{}, err
	}
	switch kind {
	case tracedb.KindProvenance:
		err = r.provenance(st)
	case tracedb.KindTestResult:
		err = r.testResult(st)
	case tracedb.KindVulns:
		err = r.vulns(st)
	case tracedb.KindSARIF:
		err = r.analysis(st)
	case tracedb.KindSBOM:
		err = r.bom(st)
	case tracedb.KindVerdict:
		err = r.verdict(st)
	case tracedb.KindConformance:
		err = r.conformance(st)
	default:
		err = refuse("", "records of the kind %.40q aren't attestations", kind)
	}
	if err != nil {
		return Reading{}, err
	}
	r.Refs = tracedb.SortRefs(r.Refs)
	return r, nil
}

// extension begins the name of a field that is ours in a predicate of others: in-toto's parsing rules
// want a URI for it.
const extension = "https://druppie.io/attestation/"

// Results, as in-toto's test-result writes them.
const (
	resultPassed = "PASSED"
	resultWarned = "WARNED"
	resultFailed = "FAILED"
)

// outcome is the log's outcome for a result; false if it is none.
func outcome(result string) (tracedb.Outcome, bool) {
	switch result {
	case resultPassed, resultWarned:
		return tracedb.Passed, true
	case resultFailed:
		return tracedb.Failed, true
	}
	return "", false
}

// decode reads the predicate into v, whose errors get their place.
func (st Statement) decode(v any) error {
	if err := strict.Decode(st.Predicate, v, strict.Any); err != nil {
		return tracedb.AsError(err).At("predicate")
	}
	return nil
}

// want refuses an empty or overlong text.
func want(field, text string) error {
	if text == "" {
		return refuse("predicate."+field, "want a text")
	}
	if len(text) > maxName {
		return refuse("predicate."+field, "want at most %d bytes", maxName)
	}
	return nil
}

// wantTime refuses a time that isn't there.
func wantTime(field string, t time.Time) error {
	if t.IsZero() {
		return refuse("predicate."+field, "want a time")
	}
	return nil
}

// some is the first few of a list, for a line that must stay one.
func some(list []string) string {
	const most = 5
	if len(list) > most {
		return strings.Join(list[:most], ", ") + ", …"
	}
	return strings.Join(list, ", ")
}

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// level is how bad a finding is, and how findings of it are counted.
type level struct{ name, many, nl string }

// countsOf is how many findings there are of each level, in English and Dutch; none if there are none.
func countsOf(levels []level, counts map[string]int, none, noneNL string) (en, nl string) {
	var ens, nls []string
	for _, l := range levels {
		if n := counts[l.name]; n > 0 {
			ens, nls = append(ens, fmt.Sprintf("%d %s", n, l.many)), append(nls, fmt.Sprintf("%d %s", n, l.nl))
		}
	}
	if len(ens) == 0 {
		return none, noneNL
	}
	return strings.Join(ens, ", "), strings.Join(nls, ", ")
}
