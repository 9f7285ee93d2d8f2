// Package why answers the question that the log is kept for: why does this run, or why was it
// refused? It owns the way from a subject to everything that the log holds about it, the order in
// which that is told, what is missing from it, and the words in which a record is told to people. It
// refuses to judge: what may run was decided at the door, and is quoted.
package why

import (
	"context"
	"fmt"
	"maps"

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
	Verdict    Verdict     `json:"-"`
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

// Ask tells why a subject runs, or was refused. Nothing known is ErrNotFound.
func Ask(ctx context.Context, r tracedb.Reader, subject tracedb.Ref, opts Options) (*Chain, error) {
	if err := subject.Check(); err != nil {
		return nil, invalid(err.Error(), Forms)
	}
	w, err := follow(ctx, r, subject)
	if err != nil {
		return nil, fmt.Errorf("follow %s: %w", subject, err)
	}
	var records []tracedb.Record
	for _, e := range w.sorted() {
		b := w.bodies[e.Seq]
		records = append(records, tracedb.Record{Entry: e, Payload: b.raw, Disposed: b.disposed})
	}
	checkpoint, err := r.Checkpoint(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the checkpoint: %w", err)
	}
	c := Tell(w.subject, records)
	c.Size, c.Checkpoint, c.Truncated = checkpoint.Size, string(checkpoint.Note), w.truncated
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

// follow gathers the records of the subject's story. Whose records don't belong to it is known only when
// all are there; then they are gathered again without those, and without what these led to.
func follow(ctx context.Context, r tracedb.Reader, subject tracedb.Ref) (*walk, error) {
	w := newWalk(r)
	var err error
	if w.subject, err = w.meant(ctx, subject); err != nil {
		return nil, err
	}
	for {
		if err := w.gather(ctx); err != nil {
			return nil, err
		}
		left, err := w.bystanders(ctx)
		switch {
		case err != nil:
			return nil, err
		case len(left) == 0:
			return w, nil
		case w.left != nil:
			// What took the room of the first ones; a third time would find others again.
			maps.DeleteFunc(w.entries, func(seq int64, _ tracedb.Entry) bool { return left[seq] })
			return w, nil
		}
		again := newWalk(r)
		again.subject, again.bodies, again.promoted, again.left = w.subject, w.bodies, w.promoted, left
		w = again
	}
}

// gather walks from the subject.
func (w *walk) gather(ctx context.Context) error {
	subject := w.subject
	var err error
	switch subject.Type {
	case tracedb.RefRepository, tracedb.RefAlgorithm, tracedb.RefNamespace:
		err = w.now(ctx, subject)
	case tracedb.RefRecord:
		err = w.one(ctx, subject)
	case tracedb.RefKey:
		// What it signed is everything: its own records are the answer.
	default:
		w.both(subject)
	}
	// What the walk finds names algorithms, keys and other records, in this order.
	for _, next := range []func() error{
		func() error { return err },
		func() error { return w.run(ctx) },
		func() error { return w.decisions(ctx) },
		func() error { return w.registered(ctx) },
		func() error { return w.records(ctx) },
		func() error { return w.keys(ctx) },
		func() error { return w.pods(ctx) },
		func() error { return w.read(ctx) },
		func() error { return w.disposals(ctx) },
	} {
		if err := next(); err != nil {
			return err
		}
	}
	if len(w.entries) == 0 {
		return tracedb.ErrNotFound.Says("the log knows nothing about %s", subject).WithHint(Forms)
	}
	return nil
}

// meant is the first reading of the subject that the log has a record about.
func (w *walk) meant(ctx context.Context, subject tracedb.Ref) (tracedb.Ref, error) {
	all := readings(subject)
	if len(all) == 1 {
		return subject, nil
	}
	for _, ref := range all {
		entries, err := w.ByRef(ctx, ref, 1)
		if err != nil {
			return subject, err
		}
		if len(entries) > 0 {
			return ref, nil
		}
	}
	return subject, nil
}
