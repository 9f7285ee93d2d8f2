package ingest

import (
	"encoding/json"
	"fmt"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/attest"
)

// Unique names the attestation in a record's payload, derived from entry and payload alone: to hold what
// the log knows to be there already against the log itself. Kinds that aren't attestations have none.
func Unique(e tracedb.Entry, payload json.RawMessage) (string, error) {
	if info, _ := e.Kind.Info(); len(info.Predicate) == 0 || payload == nil {
		return "", nil
	}
	unique, err := attest.Unique(payload)
	if err != nil {
		return "", fmt.Errorf("name the attestation of record %d: %w", e.Seq, err)
	}
	return unique, nil
}
