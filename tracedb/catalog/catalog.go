// Package catalog owns the state that the log makes: which image was built from which repository, which
// repository owns which algorithm id, what the register says about it, and which exceptions hold. It
// keeps that in memory, follows the log, and decides from it whether something may run (F6.2). It
// refuses to decide on anything but digests and evidence, and never writes.
package catalog

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
	"unique"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/register"
)

// Tables of facts that the catalog reads.
const (
	TableImage     = "image"     // sha256:… -> Built
	TableOwner     = "owner"     // alg-… -> Owned, bound
	TableIdentity  = "identity"  // owner/name -> Identified, bound
	TableRegister  = "register"  // alg-… -> Registered
	TableException = "exception" // ExceptionKey -> tracedb.Exception
)

// RuleStatus is the one rule that an exception can lift: that the entry's status forbids running.
const RuleStatus = "status"

// Built is the fact that an image was built from a source, from a verified provenance alone.
type Built struct {
	Repository string `json:"repository"`
	Commit     string `json:"commit"`
	Run        string `json:"run,omitempty"`
}

// Owned is the fact that an algorithm id belongs to a repository, for ever.
type Owned struct {
	Repository string `json:"repository"`
}

// Identified is the fact that a repository has an algorithm id, for ever: with another one, what the
// register says of it would be forgotten.
type Identified struct {
	Algorithm string `json:"algorithm"`
}

// Registered is the fact that a version of an entry is in the register.
type Registered struct {
	Repository string            `json:"repository"`
	Commit     string            `json:"commit"`
	Document   register.Document `json:"document"`
}

// ExceptionKey is an exception's key among the facts: <alg-id>/<rule>, and /<digest> if it is for one
// image only.
func ExceptionKey(algorithm, rule, image string) string {
	key := algorithm + "/" + rule
	if image != "" {
		key += "/" + image
	}
	return key
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

// Catalog is the state that the log's facts make. It is safe for concurrent use.
type Catalog struct {
	log    tracedb.Reader
	logger *slog.Logger
	now    func() time.Time

	// syncing keeps one reader of the log at a time; it is never held while deciding.
	syncing lock
	next    int64 // the first place that wasn't applied; under syncing

	mu         sync.RWMutex
	images     map[digest]origin
	others     map[digest][]repository // further repositories that the very same image was built from
	owners     map[string]string
	identities map[string]string // algorithm ids, by repository
	algorithms map[string]Algorithm
	exceptions map[string]exception
}

// digest is an image's, as bytes: a hundred thousand of them are three megabytes.
type digest [32]byte

// repository is a name that many images have, kept once.
type repository = unique.Handle[string]

// origin is where an image came from: the newest repository, and the record's place.
type origin struct {
	seq        int64
	repository repository
}

type exception struct {
	tracedb.Exception
	seq int64
}

// Open loads the catalog from the log's facts, not from the whole log.
func Open(ctx context.Context, log tracedb.Reader) (*Catalog, error) {
	c := &Catalog{
		log: log, logger: slog.New(slog.DiscardHandler), now: time.Now, syncing: make(lock, 1),
		images: map[digest]origin{}, others: map[digest][]repository{},
		owners: map[string]string{}, identities: map[string]string{}, algorithms: map[string]Algorithm{}, exceptions: map[string]exception{},
	}
	head, err := log.Checkpoint(ctx)
	if err != nil {
		return nil, fmt.Errorf("open catalog: %w", err)
	}
	for _, table := range []string{TableOwner, TableIdentity, TableRegister, TableException, TableImage} {
		facts, err := log.Facts(ctx, table)
		if err != nil {
			return nil, fmt.Errorf("open catalog: %w", err)
		}
		for _, f := range facts {
			if err := c.apply(f); err != nil {
				return nil, fmt.Errorf("open catalog: %w", err)
			}
		}
	}
	// What came in between is applied twice, which changes nothing.
	c.next = head.Size
	return c, nil
}

// SetLogger makes the catalog say there what it can't read. It is called before anything else.
func (c *Catalog) SetLogger(logger *slog.Logger) { c.logger = logger }

// Apply takes a fact that the log took, with its place. One that is older than what the catalog
// knows changes nothing, so facts may come in any order and more than once.
func (c *Catalog) Apply(f tracedb.Fact) {
	if err := c.apply(f); err != nil {
		c.logger.Error("a fact can't be read", "table", f.Table, "seq", f.Seq, "error", err)
	}
}

func (c *Catalog) apply(f tracedb.Fact) error {
	switch f.Table {
	case TableImage:
		b, err := read[Built](f)
		if err != nil {
			return err
		}
		d, ok := parseDigest(f.Key)
		if !ok {
			return fmt.Errorf("read fact of %s: the key isn't a digest", f.Table)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.built(d, origin{f.Seq, unique.Make(b.Repository)})
	case TableOwner:
		o, err := read[Owned](f)
		if err != nil {
			return err
		}
		c.bind(c.owners, f.Key, o.Repository)
	case TableIdentity:
		i, err := read[Identified](f)
		if err != nil {
			return err
		}
		c.bind(c.identities, f.Key, i.Algorithm)
	case TableRegister:
		a, err := algorithm(f)
		if err != nil {
			return err
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if old, ok := c.algorithms[f.Key]; !ok || old.Seq < f.Seq {
			c.algorithms[f.Key] = a
		}
	case TableException:
		e, err := read[tracedb.Exception](f)
		if err != nil {
			return err
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if old, ok := c.exceptions[f.Key]; !ok || old.seq < f.Seq {
			c.exceptions[f.Key] = exception{e, f.Seq}
		}
	}
	return nil
}

// read reads a fact's value.
func read[T any](f tracedb.Fact) (T, error) {
	var v T
	if err := json.Unmarshal(f.Value, &v); err != nil {
		return v, fmt.Errorf("read fact %s of %s: %w", f.Key, f.Table, err)
	}
	return v, nil
}

// bind sets what is never changed.
func (c *Catalog) bind(to map[string]string, key, value string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := to[key]; !ok {
		to[key] = value
	}
}

// built notes that an image was built from a repository. Two repositories can make the same image,
// byte for byte; then it may run as either's.
func (c *Catalog) built(d digest, from origin) {
	old, ok := c.images[d]
	newest, other := old, from.repository
	if !ok || old.seq < from.seq {
		newest, other = from, old.repository
	}
	c.images[d] = newest
	if ok && other != newest.repository && !slices.Contains(c.others[d], other) {
		c.others[d] = append(c.others[d], other)
	}
}

// Algorithms lists the register, by id.
func (c *Catalog) Algorithms() []Algorithm {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return slices.SortedFunc(maps.Values(c.algorithms), func(a, b Algorithm) int { return strings.Compare(a.ID, b.ID) })
}

// get is what the catalog knows under a key of one of its maps.
func get[V any](c *Catalog, from map[string]V, key string) (V, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	v, ok := from[key]
	return v, ok
}

// Algorithm is the register's newest entry with that id.
func (c *Catalog) Algorithm(id string) (Algorithm, bool) { return get(c, c.algorithms, id) }

// Owner is the repository that an algorithm id belongs to.
func (c *Catalog) Owner(id string) (string, bool) { return get(c, c.owners, id) }

// Identity is the algorithm id that a repository has.
func (c *Catalog) Identity(repository string) (string, bool) { return get(c, c.identities, repository) }

// Exception is the newest exception under that key, whether it holds or is over.
func (c *Catalog) Exception(key string) (tracedb.Exception, bool) {
	e, ok := get(c, c.exceptions, key)
	return e.Exception, ok
}

// Built says whether verified provenance names that repository as the source of an image. Another may
// make the same image, byte for byte, which takes it from nobody.
func (c *Catalog) Built(image, repository string) bool {
	d, ok := parseDigest(image)
	if !ok {
		return false
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.builtFrom(d, repository)
}

// builtFrom is Built of a digest; mu is held.
func (c *Catalog) builtFrom(d digest, repository string) bool {
	from, ok := c.images[d]
	name := unique.Make(repository)
	return ok && (from.repository == name || slices.Contains(c.others[d], name))
}

// Versions lists every version of an entry, oldest first. An id that the log doesn't know is
// tracedb.ErrNotFound.
func (c *Catalog) Versions(ctx context.Context, id string) ([]Version, error) {
	facts, err := c.log.History(ctx, TableRegister, id)
	if err != nil {
		return nil, fmt.Errorf("read the versions of %s: %w", id, err)
	}
	if len(facts) == 0 {
		return nil, tracedb.ErrNotFound.Says("the register doesn't know this id")
	}
	seqs := make([]int64, len(facts))
	for i, f := range facts {
		seqs[i] = f.Seq
	}
	entries, err := c.log.Entries(ctx, seqs...)
	if err != nil {
		return nil, fmt.Errorf("read the versions of %s: %w", id, err)
	}
	times := map[int64]time.Time{}
	for _, e := range entries {
		times[e.Seq] = e.Time
	}
	out := make([]Version, 0, len(facts))
	for _, f := range facts {
		a, err := algorithm(f)
		if err != nil {
			return nil, err
		}
		out = append(out, Version{Algorithm: a, Time: times[f.Seq]})
	}
	return out, nil
}

func algorithm(f tracedb.Fact) (Algorithm, error) {
	r, err := read[Registered](f)
	if err != nil {
		return Algorithm{}, err
	}
	ok, _, _ := r.Document.MayRun()
	return Algorithm{ID: f.Key, Repository: r.Repository, Commit: r.Commit, Seq: f.Seq, MayRun: ok, Document: r.Document}, nil
}

// parseDigest reads sha256: and 64 lower-case hex digits.
func parseDigest(s string) (digest, bool) {
	var d digest
	h, ok := strings.CutPrefix(s, "sha256:")
	if !ok || len(h) != hex.EncodedLen(len(d)) || strings.ContainsAny(h, "ABCDEF") {
		return d, false
	}
	_, err := hex.Decode(d[:], []byte(h))
	return d, err == nil
}
