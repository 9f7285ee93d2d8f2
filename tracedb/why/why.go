// Package why answers the question that the log is kept for: why does this run, or why was it
// refused? It owns the way from a subject to everything that the log holds about it, the order in
// which that is told, what is missing from it, and the words in which a record is told to people. It
// refuses to judge: what may run was decided at the door, and is quoted.
package why

import (
	"context"
	"encoding/json"

	"github.com/druppie/druppie-up/tracedb"
)

// Chain is everything that the log holds about a subject, as a story from idea to container.
type Chain struct {
	Subject    tracedb.Ref `json:"subject"`
	Repository string      `json:"repository,omitempty"` // of the service
	Algorithm  string      `json:"algorithm,omitempty"`  // its id in the register
	Answer     string      `json:"answer"`               // one paragraph
	AnswerNL   string      `json:"answer_nl"`
	Links      []Link      `json:"links"` // by step of the flow, within a step by time
	Gaps       []Gap       `json:"gaps"`  // steps without evidence
	Size       int64       `json:"size"`  // of the tree that the proofs are for
	Checkpoint string      `json:"checkpoint"`
	Truncated  bool        `json:"truncated,omitempty"` // there is more than was looked at
}

// Link is one record of the chain.
type Link struct {
	tracedb.Entry
	Step     string         `json:"step"` // F0 to F8
	Controls []string       `json:"controls,omitempty"`
	Title    string         `json:"title"`
	TitleNL  string         `json:"title_nl"`
	Details  []Detail       `json:"details,omitempty"`
	Disposed bool           `json:"disposed,omitempty"` // the payload's term was over
	Proof    *tracedb.Proof `json:"proof,omitempty"`    // that it is in the checkpoint's tree
}

// Detail is one thing that a record says.
type Detail struct {
	Name   string `json:"name"`
	NameNL string `json:"name_nl"`
	Value  string `json:"value"`
}

// Gap is a step of the flow that nothing in the log is evidence of.
type Gap struct {
	Step   string `json:"step"`
	What   string `json:"what"`
	WhatNL string `json:"what_nl"`
}

// Options are what an asker may choose.
type Options struct {
	Proofs bool // add each link's inclusion proof
}

// Subject reads what people paste.
func Subject(s string) (tracedb.Ref, error) { return tracedb.Ref{}, tracedb.ErrInvalid }

// Ask tells why a subject runs, or was refused. Nothing known is ErrNotFound.
func Ask(ctx context.Context, r tracedb.Reader, subject tracedb.Ref, opts Options) (*Chain, error) {
	return nil, tracedb.ErrNotFound
}

// Describe tells a record to people, in English and Dutch. A nil payload was disposed of: the title
// then comes from the entry alone.
func Describe(e tracedb.Entry, payload json.RawMessage) (title, titleNL string, details []Detail) {
	return string(e.Kind), string(e.Kind), nil
}
