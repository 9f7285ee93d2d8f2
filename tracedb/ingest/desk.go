// Package ingest owns the way into the log: who may add what, whether a record says what its kind
// must say, whether its signature holds, that no secret comes along, and what it adds to the facts.
// It refuses, with the place and the remedy, whatever doesn't pass, and records that it refused.
package ingest

import (
	"context"
	"encoding/json"
	"log/slog"
	"time"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/attest"
	"github.com/druppie/druppie-up/tracedb/catalog"
)

// Writer is the name under which the service itself writes.
const Writer = "tracedb"

// Desk takes records. Its fields are set before its first use; it is safe for concurrent use.
type Desk struct {
	Keyring *attest.Keyring
	Catalog *catalog.Catalog
	Now     func() time.Time // nil: time.Now
	Logger  *slog.Logger     // nil: silent
}

// Start records what changed in the keyring since the log last knew.
func (d *Desk) Start(ctx context.Context) error { return nil }

// Run writes the decisions that Admission left, until ctx ends, and then those that wait.
func (d *Desk) Run(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }

// Take checks the drafts and adds them to the log, all or none.
func (d *Desk) Take(ctx context.Context, who tracedb.Identity, drafts []tracedb.Draft) ([]tracedb.Receipt, error) {
	return nil, tracedb.ErrUnavailable
}

// Note adds records of the service's own kinds.
func (d *Desk) Note(ctx context.Context, drafts []tracedb.Draft) ([]tracedb.Receipt, error) {
	return nil, tracedb.ErrUnavailable
}

// Read records that an auditor read something, at most once a minute for who, what and of.
func (d *Desk) Read(ctx context.Context, who tracedb.Identity, read tracedb.Read) error {
	return tracedb.ErrUnavailable
}

// Admission decides and, unless it was a dry run, leaves the decision to be recorded.
func (d *Desk) Admission(ctx context.Context, q catalog.Question) (catalog.Decision, error) {
	return d.Catalog.Decide(q), nil
}

// Facts is what a record adds to the tables, derived from entry and payload alone.
func Facts(e tracedb.Entry, payload json.RawMessage) ([]tracedb.Fact, error) { return nil, nil }
