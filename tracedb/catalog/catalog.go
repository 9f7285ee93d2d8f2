// Package catalog owns what the log adds up to: which image was built from which repository, which
// repository owns which algorithm id, what the register says about it, and which exceptions hold. It
// keeps that in memory, follows the log, and decides from it whether something may run (F6.2). It
// refuses to decide on anything but digests and evidence, and never writes.
package catalog

import (
	"context"
	"time"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/register"
)

// Catalog is the log's sum. It is safe for concurrent use.
type Catalog struct{}

// Question is what the cluster's door asks.
type Question struct {
	Namespace string   `json:"namespace"`
	Images    []string `json:"images"` // with digests: name@sha256:… or sha256:…
	Algorithm string   `json:"algorithm"`
	Resource  string   `json:"resource,omitempty"` // Kind/name
	DryRun    bool     `json:"dry_run,omitempty"`
	UID       string   `json:"uid,omitempty"` // of the admission request
}

// Decision is the answer: allowed or not, why, and what to do, in English and Dutch.
type Decision struct {
	Allowed    bool   `json:"allowed"`
	Code       string `json:"code"` // stable, for programs: allowed, exception, no_algorithm, …
	Reason     string `json:"reason"`
	Remedy     string `json:"remedy,omitempty"`
	ReasonNL   string `json:"reason_nl"`
	RemedyNL   string `json:"remedy_nl,omitempty"`
	Algorithm  string `json:"algorithm,omitempty"`
	Repository string `json:"repository,omitempty"`
	Exception  int64  `json:"exception,omitempty"` // seq of the exception that lets it in
}

// Algorithm is the newest version of an entry in the register.
type Algorithm struct {
	ID         string            `json:"id"`
	Repository string            `json:"repository"`
	Commit     string            `json:"commit"`
	Seq        int64             `json:"seq"` // of the record
	MayRun     bool              `json:"may_run"`
	Document   register.Document `json:"document"`
}

// Version is a version of an entry.
type Version struct {
	Algorithm
	Time time.Time `json:"time"` // when the log took it
}

// Open loads the catalog from the log's facts.
func Open(ctx context.Context, log tracedb.Reader) (*Catalog, error) { return &Catalog{}, nil }

// Run follows the log until ctx ends, and returns its error.
func (c *Catalog) Run(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }

// Sync reads what the log took since the catalog last looked, and everything known about those
// images. Who was refused because of something unknown may call it and ask once more.
func (c *Catalog) Sync(ctx context.Context, images ...string) error { return nil }

// Apply takes a fact that the log took.
func (c *Catalog) Apply(f tracedb.Fact) {}

// Decide answers from memory.
func (c *Catalog) Decide(q Question) Decision { return Decision{} }

// Algorithms lists the register, by id.
func (c *Catalog) Algorithms() []Algorithm { return nil }

// Algorithm is the register's newest entry with that id.
func (c *Catalog) Algorithm(id string) (Algorithm, bool) { return Algorithm{}, false }

// Versions lists every version of an entry, oldest first.
func (c *Catalog) Versions(ctx context.Context, id string) ([]Version, error) {
	return nil, tracedb.ErrNotFound
}

// Repository is the repository whose verified provenance names the image; false if there is none.
func (c *Catalog) Repository(image string) (string, bool) { return "", false }
