// Package attest owns in-toto statements in DSSE envelopes: making them, signing them, checking them
// against a keyring, and reading what they say. It refuses whatever could be read in two ways: another
// payload type, a second signature, a repeated or misspelt field, text after the end, a subject
// without a digest, a predicate that its kind doesn't name, and a key that isn't meant for it.
package attest

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/attest/strict"
)

// Types that an attestation must name (in-toto attestation framework v1, DSSE 1.0).
const (
	PayloadType   = "application/vnd.in-toto+json"
	StatementType = "https://in-toto.io/Statement/v1"
)

// maxSubjects keeps what one attestation is about within the refs that a record may have.
const maxSubjects = 16

// maxName is the most bytes that a name in an attestation may have.
const maxName = 500

// Statement is an in-toto statement v1: what is said about which artifacts.
type Statement struct {
	Type          string          `json:"_type"`
	Subject       []Subject       `json:"subject"`
	PredicateType string          `json:"predicateType"`
	Predicate     json.RawMessage `json:"predicate"`
}

// Subject is an artifact that a statement is about: an image by its sha256, or a commit by its
// gitCommit, then with the repository as its name and the pipeline run as the annotation "run".
type Subject struct {
	Name        string            `json:"name,omitempty"`
	URI         string            `json:"uri,omitempty"`
	Digest      map[string]string `json:"digest"`
	Annotations map[string]any    `json:"annotations,omitempty"`
}

var lowerHex = regexp.MustCompile(`^[0-9a-f]+$`)

// parse reads a statement of that kind. Fields that in-toto doesn't know are passed by, as its
// parsing rules want; they are under the signature like all the rest.
func parse(kind tracedb.Kind, body []byte) (Statement, error) {
	var st Statement
	if err := strict.Decode(body, &st, strict.Any); err != nil {
		return Statement{}, err
	}
	info, ok := kind.Info()
	if !ok || len(info.Predicate) == 0 {
		return Statement{}, refuse("", "records of the kind %.40q aren't attestations", kind)
	}
	if !slices.Contains(info.Predicate, predicateType(st.PredicateType)) {
		return Statement{}, refuse("predicateType", "want %s for the kind %s", strings.Join(info.Predicate, " or "), kind)
	}
	return st, st.check(kind)
}

// predicateType is t without the version that CycloneDX's type may end in: in-toto lets producers
// write https://cyclonedx.org/bom/v1.6, too.
func predicateType(t string) string {
	const bom = "https://cyclonedx.org/bom"
	if version, ok := strings.CutPrefix(t, bom+"/v"); ok && bomVersion.MatchString(version) {
		return bom
	}
	return t
}

var bomVersion = regexp.MustCompile(`^1\.[0-9]{1,2}$`)

// check refuses a statement that isn't about something the log can name.
func (st Statement) check(kind tracedb.Kind) error {
	if st.Type != StatementType {
		return refuse("_type", "want %s", StatementType)
	}
	if len(st.Subject) == 0 {
		return refuse("subject", "want at least one subject")
	}
	if len(st.Subject) > maxSubjects {
		return refuse("subject", "want at most %d subjects", maxSubjects)
	}
	images, commits := 0, 0
	for i, s := range st.Subject {
		if len(s.Name) > maxName || len(s.URI) > maxName {
			return refuse("", "its name or uri is longer than %d bytes", maxName).At("subject[%d]", i)
		}
		if len(s.Digest) == 0 {
			return refuse("digest", "want a digest").At("subject[%d]", i)
		}
		for algorithm, value := range s.Digest {
			ok := lowerHex.MatchString(value)
			switch algorithm {
			case "sha256":
				ok = ok && len(value) == 64
				images++
			case "gitCommit":
				ok = ok && (len(value) == 40 || len(value) == 64)
				commits++
			}
			if !ok || len(value) > 128 || len(algorithm) > 40 {
				return refuse("digest", "want full digests in lower-case hex").At("subject[%d]", i)
			}
		}
	}
	// What is said of an image must name it. A gate that failed before there was an image can name
	// only the commit, and that it failed must be kept, too.
	if images == 0 && (commits == 0 || kind == tracedb.KindProvenance || kind == tracedb.KindSBOM) {
		return refuse("subject", "want a subject with a sha256 digest")
	}
	if len(st.Predicate) == 0 || st.Predicate[0] != '{' {
		return refuse("predicate", "want an object")
	}
	return nil
}

func refuse(field, format string, args ...any) *tracedb.Error {
	e := tracedb.ErrInvalidRecord.Says(format, args...)
	if field != "" {
		e = e.At("%s", field)
	}
	return e
}
