package log

import (
	"fmt"

	"golang.org/x/mod/sumdb/tlog"
)

// maxFaults is how many faults a report names. Who broke more has something else to do first.
const maxFaults = 1000

// Report is what Check found.
type Report struct {
	Origin      string    `json:"origin"`
	Size        int64     `json:"size"` // of the tree that was checked
	Root        tlog.Hash `json:"root"` // as computed from the leaves
	Payloads    int64     `json:"payloads"`
	Disposed    int64     `json:"disposed"`
	Heads       int64     `json:"heads"`
	Nodes       int64     `json:"nodes"`
	Facts       int64     `json:"facts"`
	Checkpoints []int64   `json:"checkpoints,omitempty"` // sizes of those that the tree contains
	Faults      []Fault   `json:"faults,omitempty"`
	More        int       `json:"more,omitempty"` // faults that aren't named
}

// Place says which part of the database a fault is in.
type Place string

// Places.
const (
	PlaceLeaf        Place = "leaf"        // the record as it was hashed
	PlaceHash        Place = "hash"        // a leaf's hash
	PlaceRecord      Place = "record"      // a record's extracted columns
	PlaceRef         Place = "ref"         //
	PlacePayload     Place = "payload"     //
	PlaceFact        Place = "fact"        //
	PlaceNode        Place = "node"        // a hash inside the tree
	PlaceHead        Place = "head"        // the root after a batch
	PlaceDisposal    Place = "disposal"    //
	PlaceAttestation Place = "attestation" //
	PlaceCheckpoint  Place = "checkpoint"  // a checkpoint that was given
	PlaceDatabase    Place = "database"    // the database's own structure
)

// Fault is one thing that isn't as it was written. Seq is the record, the first record under a node, or
// the size of a head or checkpoint; -1 if there is none.
type Fault struct {
	Place Place  `json:"place"`
	Seq   int64  `json:"seq"`
	What  string `json:"what"`
}

// String names place and record.
func (f Fault) String() string {
	if f.Seq < 0 {
		return fmt.Sprintf("%s: %s", f.Place, f.What)
	}
	return fmt.Sprintf("%s %d: %s", f.Place, f.Seq, f.What)
}

// OK says whether nothing was found.
func (r Report) OK() bool { return len(r.Faults) == 0 }

func (r *Report) fault(place Place, seq int64, format string, args ...any) {
	if len(r.Faults) >= maxFaults {
		r.More++
		return
	}
	r.Faults = append(r.Faults, Fault{place, seq, fmt.Sprintf(format, args...)})
}
