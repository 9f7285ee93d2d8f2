// Package why answers the question that the log is kept for: why does this run, or why was it
// refused? It owns the traversal from a subject to everything that the log holds about it, the order of
// these records, what is missing from them, and the words that describe a record to people. It refuses to
// decide: what may run was decided at admission, and is quoted.
package why

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/druppie/druppie-up/tracedb"
)

// Chain is everything that the log holds about a subject, from idea to container.
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
	Verdict    Verdict     `json:"-"`
}

// Complete says whether there is evidence of every step. Where nothing was built there are no steps, and none
// that is missing.
func (c *Chain) Complete() bool {
	return len(c.Gaps) == 0 && slices.ContainsFunc(c.Links, func(l Link) bool { return isBuilt(l.Entry) })
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
	Name    string `json:"name"`
	NameNL  string `json:"name_nl"`
	Value   string `json:"value"`
	ValueNL string `json:"value_nl,omitempty"` // where it was said in Dutch as well
	Lang    string `json:"lang,omitempty"`     // of Value, where that is known: a program's own words
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

// Ask answers why a subject runs, or was refused. Nothing known is ErrNotFound.
func Ask(ctx context.Context, r tracedb.Reader, subject tracedb.Ref, opts Options) (*Chain, error) {
	if err := subject.Check(); err != nil {
		return nil, invalid(err.Error(), Forms)
	}
	t, err := traverse(ctx, r, subject)
	if err != nil {
		return nil, fmt.Errorf("follow %s: %w", subject, err)
	}
	var records []tracedb.Record
	for _, e := range t.sorted() {
		payload, loaded := t.payloads[e.Seq]
		records = append(records, tracedb.Record{Entry: e, Payload: payload, Disposed: loaded && payload == nil})
	}
	checkpoint, err := r.Checkpoint(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the checkpoint: %w", err)
	}
	c := NewChain(t.subject, records)
	c.Size, c.Checkpoint, c.Truncated = checkpoint.Size, string(checkpoint.Note), t.truncated
	if !opts.Proofs {
		return c, nil
	}
	for i, l := range c.Links {
		proof, err := r.Prove(ctx, l.Seq, c.Size)
		if err != nil {
			return nil, fmt.Errorf("prove record %d: %w", l.Seq, err)
		}
		c.Links[i].Proof = &proof
	}
	return c, nil
}

// traverse gathers the records of the subject's chain. Which of them are unrelated is known only when all are
// there; then they are gathered again without those, and without what these led to.
func traverse(ctx context.Context, r tracedb.Reader, subject tracedb.Ref) (*traversal, error) {
	t := newTraversal(ctx, r)
	t.subject = t.resolve(subject)
	for {
		t.gather()
		unrelated := t.unrelated()
		switch {
		case t.err != nil:
			return nil, t.err
		case len(t.entries) == 0:
			return nil, tracedb.ErrNotFound.Says("the log knows nothing about %s", t.subject).WithHint(Forms)
		case len(unrelated) == 0:
			return t, nil
		case t.excluded != nil:
			// These came in for the first ones; a third time would find others again.
			maps.DeleteFunc(t.entries, func(seq int64, _ tracedb.Entry) bool { return unrelated[seq] })
			return t, nil
		}
		again := newTraversal(ctx, r)
		again.subject, again.payloads, again.tenantsOf, again.excluded = t.subject, t.payloads, t.tenantsOf, unrelated
		t = again
	}
}

// gather traverses the log from the subject. What that finds names algorithms, keys and other records, in this
// order.
func (t *traversal) gather() {
	switch t.subject.Type {
	case tracedb.RefRepository, tracedb.RefAlgorithm, tracedb.RefNamespace:
		t.enqueueCurrent()
	case tracedb.RefRecord:
		t.enqueueRecord()
	case tracedb.RefKey:
		// What it signed is everything: its own records are the answer.
	default:
		t.enqueueBoth(t.subject)
	}
	t.visit()
	t.addDecisions()
	t.addRegister()
	t.addNamedRecords()
	t.addKeys()
	t.addPods()
	t.addPodDecisions()
	t.loadAll()
	t.addDisposals()
}

// resolve is the first reading of the subject that the log has a record about.
func (t *traversal) resolve(subject tracedb.Ref) tracedb.Ref {
	all := readings(subject)
	if len(all) == 1 {
		return subject
	}
	found := t.byRefs(1, all...)
	for _, ref := range all {
		if len(found[ref]) > 0 {
			return ref
		}
	}
	return subject
}
