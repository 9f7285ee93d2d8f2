// Package attest owns in-toto statements in DSSE envelopes: making them, signing them, checking them
// against a keyring, and reading what they say. It refuses whatever could be read in two ways: another
// payload type, a second signature, a repeated or misspelt field, text after the end, a subject
// without a digest, a predicate that its kind doesn't name, and a key that isn't meant for it.
package attest

import "encoding/json"

// Types that an attestation must name (in-toto attestation framework v1, DSSE 1.0).
const (
	PayloadType   = "application/vnd.in-toto+json"
	StatementType = "https://in-toto.io/Statement/v1"
)

// Statement is an in-toto statement v1: what is said about which artifacts.
type Statement struct {
	Type          string          `json:"_type"`
	Subject       []Subject       `json:"subject"`
	PredicateType string          `json:"predicateType"`
	Predicate     json.RawMessage `json:"predicate"`
}

// Subject is an artifact that a statement is about: an image by its sha256, or a commit by its
// gitCommit.
type Subject struct {
	Name        string            `json:"name,omitempty"`
	URI         string            `json:"uri,omitempty"`
	Digest      map[string]string `json:"digest"`
	Annotations map[string]any    `json:"annotations,omitempty"`
}
