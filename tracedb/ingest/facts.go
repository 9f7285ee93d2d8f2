package ingest

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/attest"
	"github.com/druppie/druppie-up/tracedb/catalog"
	"github.com/druppie/druppie-up/tracedb/register"
)

// TableKey is the table of the keyring's keys: fingerprint -> tracedb.Key.
const TableKey = "key"

// Facts is what a record adds to the tables, derived from entry and payload alone: for a rebuild, and
// to hold the tables against the log. It trusts that the log checked what it took. Payloads that were
// disposed of bring none: kinds that bring facts are kept for ever.
func Facts(e tracedb.Entry, payload json.RawMessage) ([]tracedb.Fact, error) {
	if payload == nil {
		return nil, nil
	}
	var facts []tracedb.Fact
	var err error
	switch e.Kind {
	case tracedb.KindProvenance:
		facts, err = provenanceFacts(payload)
	case tracedb.KindRegister:
		var p tracedb.RegisterEntry
		if err = json.Unmarshal(payload, &p); err == nil {
			// A rule that came later doesn't unmake what was registered before.
			d, _ := register.Validate([]byte(p.Source))
			facts, err = registerFacts(p, d)
		}
	case tracedb.KindException:
		var p tracedb.Exception
		if err = json.Unmarshal(payload, &p); err == nil {
			facts, err = fact(nil, catalog.TableException, catalog.ExceptionKey(p.Algorithm, p.Rule, p.Image), p, false)
		}
	case tracedb.KindKey:
		var p tracedb.Key
		if err = json.Unmarshal(payload, &p); err == nil {
			facts, err = fact(nil, TableKey, p.Fingerprint, p, false)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("derive the facts of record %d: %w", e.Seq, err)
	}
	for i := range facts {
		facts[i].Seq = e.Seq
	}
	return facts, nil
}

func fact(list []tracedb.Fact, table, key string, value any, bound bool) ([]tracedb.Fact, error) {
	raw, err := tracedb.EncodeJSON(value)
	if err != nil {
		return nil, err
	}
	return append(list, tracedb.Fact{Table: table, Key: key, Value: raw, Bound: bound}), nil
}

func provenanceFacts(envelope json.RawMessage) ([]tracedb.Fact, error) {
	st, err := attest.Decode(tracedb.KindProvenance, envelope)
	if err != nil {
		return nil, err
	}
	r, err := attest.Read(tracedb.KindProvenance, st)
	if err != nil {
		return nil, err
	}
	return builtFacts(r)
}

func builtFacts(r attest.Reading) ([]tracedb.Fact, error) {
	var facts []tracedb.Fact
	for _, digest := range r.Images {
		var err error
		if facts, err = fact(facts, catalog.TableImage, digest, catalog.Built{Repository: r.Repository, Commit: r.Commit, Run: r.Run}, false); err != nil {
			return nil, err
		}
	}
	return facts, nil
}

func registerFacts(p tracedb.RegisterEntry, d register.Document) ([]tracedb.Fact, error) {
	facts, err := fact(nil, catalog.TableOwner, d.ID, catalog.Owned{Repository: p.Repository}, true)
	if err != nil {
		return nil, err
	}
	if facts, err = fact(facts, catalog.TableIdentity, p.Repository, catalog.Identified{Algorithm: d.ID}, true); err != nil {
		return nil, err
	}
	return fact(facts, catalog.TableRegister, d.ID, catalog.Registered{Repository: p.Repository, Commit: p.Commit, Document: d}, false)
}

// maxViolations is how many of a file's violations an answer names; the validator on the writer's own
// machine names all.
const maxViolations = 5

// registered reads a version of an entry. The file is validated whole; one that describes what the AI Act
// prohibits is taken, and what was built before is then refused at admission.
func registered(p *tracedb.RegisterEntry, c *content) {
	if c.err != nil {
		return
	}
	d, violations := register.Validate([]byte(p.Source))
	if n := len(violations); n > 0 && !violations.Prohibited() {
		list := make([]string, 0, maxViolations+1)
		for _, v := range violations[:min(n, maxViolations)] {
			list = append(list, v.String())
		}
		if n > maxViolations {
			list = append(list, fmt.Sprintf("and %d more", n-maxViolations))
		}
		c.wrong("source", "%s", strings.Join(list, "; "))
		return
	}
	c.ref("source", tracedb.RefAlgorithm, d.ID)
	facts, err := registerFacts(*p, d)
	if err != nil {
		c.wrong("source", "a value can't be written as JSON")
	}
	c.facts = facts
}
