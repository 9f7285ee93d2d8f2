// Package tracedb has the types of the Traceability DB: records, what they are about, what they
// say, and the errors that every part uses. It owns the kinds of record and the bytes that are
// hashed into the log; it refuses to store, to serve or to decide anything, which is for the packages
// below it.
package tracedb

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/mod/sumdb/tlog"
)

// MaxPayload is the most bytes a record's payload may have. An SBOM of a large image fits.
const MaxPayload = 4 << 20

// MaxLeaf keeps a leaf within what an entry bundle of C2SP tlog-tiles can hold (a 16-bit length).
const MaxLeaf = 1<<16 - 1

// MaxRefs is the most things that one record may be about.
const MaxRefs = 64

// MaxQueryRefs is the most things that a search may ask for at once: each is another join.
const MaxQueryRefs = 8

// Entry is one record of the log without its payload. Its JSON form, as Leaf writes it, is what the
// tree's leaf hash is taken of (RFC 6962, section 2.1): everything in it is proven for ever, also
// after the payload was disposed of.
type Entry struct {
	Seq           int64     `json:"seq"`               // place in the log, from 0
	Time          time.Time `json:"time"`              // when the log took it: UTC, microseconds, never before the one before it
	ID            string    `json:"id"`                // idempotency key: unique for a writer
	Kind          Kind      `json:"kind"`              //
	Actor         string    `json:"actor"`             // who did what is recorded: a Gitea user, a ServiceAccount, an agent
	Writer        string    `json:"writer"`            // who wrote the record: an authenticated identity, or collector:<name>
	At            time.Time `json:"at"`                // when it happened, as the writer says: UTC, microseconds
	Outcome       Outcome   `json:"outcome,omitempty"` //
	Refs          []Ref     `json:"refs"`              // sorted, no doubles
	PayloadDigest string    `json:"payload"`           // "sha256:" and the hash of the payload's bytes, in hex
	Size          int       `json:"size"`              // bytes of the payload
}

// Leaf is the canonical encoding of the entry: JSON as encoding/json writes it for this struct,
// without HTML escapes and without a newline.
func (e Entry) Leaf() []byte {
	e.Time, e.At = Instant(e.Time), Instant(e.At)
	if e.Refs == nil {
		e.Refs = []Ref{}
	}
	leaf, err := EncodeJSON(e)
	if err != nil {
		// Strings, numbers and times within four-digit years always encode.
		panic(fmt.Sprintf("encode entry %d: %v", e.Seq, err))
	}
	return leaf
}

// EncodeJSON is v as JSON, the fields of a type in their order, without HTML escapes and without a newline.
func EncodeJSON(v any) (json.RawMessage, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// MustJSON is v as JSON, for types of ours: what is made of texts, numbers, lists and times within four-digit years
// always encodes.
func MustJSON(v any) json.RawMessage {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("encode %T: %v", v, err))
	}
	return raw
}

// Digest is "sha256:" and the hash of b, in hex.
func Digest(b []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(b)) }

// HasPayload says whether a payload is the one that the entry names.
func (e Entry) HasPayload(payload []byte) bool {
	return e.PayloadDigest == Digest(payload) && e.Size == len(payload)
}

// Hash is the entry's leaf hash in the tree.
func (e Entry) Hash() tlog.Hash { return tlog.RecordHash(e.Leaf()) }

// Values are the values of the entry's refs of one type.
func (e Entry) Values(t RefType) []string {
	var out []string
	for _, r := range e.Refs {
		if r.Type == t {
			out = append(out, r.Value)
		}
	}
	return out
}

// First is the value of the entry's first ref of one type; empty if it has none.
func (e Entry) First(t RefType) string {
	if i := slices.IndexFunc(e.Refs, func(r Ref) bool { return r.Type == t }); i >= 0 {
		return e.Refs[i].Value
	}
	return ""
}

// Instant is t as the log keeps it: UTC, whole microseconds, no monotonic clock.
func Instant(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }

// ParseLeaf reads what Leaf wrote. Bytes that aren't canonical are refused, so that one leaf has one
// reading.
func ParseLeaf(leaf []byte) (Entry, error) {
	var e Entry
	dec := json.NewDecoder(bytes.NewReader(leaf))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&e); err != nil {
		return Entry{}, fmt.Errorf("read leaf: %w", err)
	}
	if y := e.Time.Year(); y < 1 || y > 9999 || e.At.Year() < 1 || e.At.Year() > 9999 {
		return Entry{}, fmt.Errorf("read leaf: a time is out of range")
	}
	if !bytes.Equal(e.Leaf(), leaf) {
		return Entry{}, fmt.Errorf("read leaf: not in canonical form")
	}
	return e, nil
}

// Draft is a record as a writer offers it; the log adds place and time.
type Draft struct {
	ID      string          `json:"id"`
	Kind    Kind            `json:"kind"`
	Actor   string          `json:"actor,omitempty"`
	At      time.Time       `json:"at,omitzero"`
	Outcome Outcome         `json:"outcome,omitempty"`
	Refs    []Ref           `json:"refs,omitempty"`
	Payload json.RawMessage `json:"payload"`
}

// Receipt says where a draft went.
type Receipt struct {
	Seq       int64     `json:"seq"`
	Time      time.Time `json:"time"`
	Leaf      string    `json:"leaf"`                // leaf hash, base64
	Duplicate bool      `json:"duplicate,omitempty"` // it was there already
}

// Record is an entry with its payload. Payload is nil when it was disposed of after its term.
type Record struct {
	Entry
	Payload  json.RawMessage `json:"body,omitempty"`
	Disposed bool            `json:"disposed,omitempty"`
}

// RefType says what kind of thing a Ref names.
type RefType string

// What records are about.
const (
	RefRepository RefType = "repository" // owner/name in Gitea; what users call the service
	RefCommit     RefType = "commit"     // full hash of a service's commit
	RefRevision   RefType = "revision"   // full hash of a commit of the fleet or platform repository
	RefPull       RefType = "pull"       // owner/name#number
	RefRun        RefType = "run"        // namespace/name of a pipeline run
	RefImage      RefType = "image"      // sha256:… of an image, under whatever name
	RefAlgorithm  RefType = "algorithm"  // alg-…, the id in algorithm.yaml
	RefSession    RefType = "session"    // id of an agent session
	RefSpec       RefType = "spec"       // id of a spec
	RefPod        RefType = "pod"        // namespace/name
	RefNamespace  RefType = "namespace"  // a tenant
	RefRecord     RefType = "record"     // seq of another record, in decimal
	RefKey        RefType = "key"        // SHA256:… fingerprint of a key in the keyring
)

// refTypes are all of them.
var refTypes = []RefType{RefRepository, RefAlgorithm, RefSpec, RefSession, RefCommit, RefPull, RefRun, RefImage, RefRevision, RefPod, RefNamespace, RefRecord, RefKey}

// RefTypes lists every type of ref.
func RefTypes() []RefType { return slices.Clone(refTypes) }

// Ref is one thing that a record is about.
type Ref struct {
	Type  RefType `json:"type"`
	Value string  `json:"value"`
}

// String is type:value.
func (r Ref) String() string { return string(r.Type) + ":" + r.Value }

// SortRefs puts refs in the log's order and drops doubles and empty ones.
func SortRefs(refs []Ref) []Ref {
	out := slices.DeleteFunc(slices.Clone(refs), func(r Ref) bool { return r.Value == "" })
	slices.SortFunc(out, func(a, b Ref) int { return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.Value, b.Value)) })
	return slices.Compact(out)
}

// Fact is what a record adds to the tables that are read instead of payloads: the newest fact of a
// table and key counts. Facts are derived from entry and payload alone, so they can be rebuilt.
type Fact struct {
	Table string          `json:"table"` // image, owner, identity, register, exception or key
	Key   string          `json:"key"`
	Value json.RawMessage `json:"value"`
	// Bound facts never change: the first value of a table and key stays, and a record that brings
	// another one is refused with ErrBound.
	Bound bool  `json:"bound,omitempty"`
	Seq   int64 `json:"seq"`
}

// Query is a search. Zero fields don't restrict; results are newest first.
type Query struct {
	From, Until time.Time // by log time; Until is exclusive
	Kinds       []Kind
	Actor       string
	Outcome     Outcome
	Refs        []Ref // all must match; at most MaxQueryRefs
	Before      int64 // only records with a smaller seq; 0: from the newest
	Limit       int   // at most MaxPage; 0: DefaultPage
}

// maxActor is the most bytes that a search's actor may have; no record's has more.
const maxActor = 500

// Check says what is wrong with a search, nil if nothing is. An actor that no record can have is refused:
// not every store takes such a text, even in a question.
func (q Query) Check() error {
	if len(q.Actor) > maxActor || !utf8.ValidString(q.Actor) || strings.ContainsFunc(q.Actor, func(c rune) bool { return c < ' ' || c == 0x7f }) {
		return ErrInvalid.Says("want at most %d bytes of text on one line", maxActor).At("actor")
	}
	return nil
}

// The sizes of a page of search results.
const (
	DefaultPage = 50
	MaxPage     = 500
)

// Page is a part of a search's result. Next is the Before of the next page, 0 at the end.
type Page struct {
	Entries []Entry `json:"entries"`
	Next    int64   `json:"next,omitempty"`
}

// Proof is an inclusion proof: it shows that the record at Seq is in the tree of Size (RFC 6962, section 2.1.1).
type Proof struct {
	Seq    int64    `json:"seq"`
	Size   int64    `json:"size"`
	Hashes []string `json:"hashes"` // base64, from the leaf up
}

// Reader is what those need who answer questions from the log. All entries come in the order of
// the log unless said otherwise.
type Reader interface {
	// Entries returns the entries at those places. A place that isn't in the log is ErrNotFound.
	Entries(ctx context.Context, seqs ...int64) ([]Entry, error)
	// Range returns entries from seq on, at most limit.
	Range(ctx context.Context, from int64, limit int) ([]Entry, error)
	// Payload returns a record's payload; ErrDisposed if its term was over.
	Payload(ctx context.Context, seq int64) (json.RawMessage, error)
	// Payloads returns those payloads of records at those places that are there.
	Payloads(ctx context.Context, seqs ...int64) (map[int64]json.RawMessage, error)
	// DisposedBy says of those places whose payload was disposed of which record says so.
	DisposedBy(ctx context.Context, seqs ...int64) (map[int64]int64, error)
	// ByRefs returns the entries about each of the refs, oldest first, at most limit of each.
	ByRefs(ctx context.Context, refs []Ref, limit int) (map[Ref][]Entry, error)
	// Search returns entries newest first.
	Search(ctx context.Context, q Query) (Page, error)
	// Facts returns the newest fact for each key of a table; with keys, only of those.
	Facts(ctx context.Context, table string, keys ...string) ([]Fact, error)
	// History returns every fact of a table and key, oldest first.
	History(ctx context.Context, table, key string) ([]Fact, error)
	// Checkpoint returns a signed head that covers everything acknowledged so far.
	Checkpoint(ctx context.Context) (Checkpoint, error)
	// Prove shows that seq is in the tree of that size.
	Prove(ctx context.Context, seq, size int64) (Proof, error)
	// Consistency shows that the tree of size from is a prefix of that of size to (base64 hashes).
	Consistency(ctx context.Context, from, to int64) ([]string, error)
	// Follow sends entries from seq on as they come, until ctx ends; then the channel is closed.
	Follow(ctx context.Context, from int64) (<-chan Entry, error)
}
