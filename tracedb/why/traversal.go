package why

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"slices"

	"github.com/druppie/druppie-up/tracedb"
)

// The bounds of a traversal. Whoever meets one of them sees Truncated.
const (
	maxRecords = 400 // in a chain
	maxNodes   = 48  // refs that are looked up
	maxFanOut  = 8   // refs of one type that one ref leads to
	perNode    = 64  // oldest records of one ref
	newest     = 32  // newest records of a ref that has more
)

// direction is the way of an edge: backward to where something came from, or forward to what became of it.
// A traversal doesn't change direction, or an image would lead to all that its commit, its agent's session
// and its fleet revision ever had to do with.
type direction int

const (
	backward direction = iota
	forward
	leaf // the ref's records belong to the chain, and lead nowhere
)

// edges says which types of ref lead to which. Services, namespaces, algorithms and keys lead nowhere: they
// would connect everything with everything. Their records are added where they are the subject, or the
// subject's register entry.
var edges = map[direction]map[tracedb.RefType][]tracedb.RefType{
	backward: {
		tracedb.RefPod:     {tracedb.RefImage, tracedb.RefRevision},
		tracedb.RefImage:   {tracedb.RefCommit, tracedb.RefRun, tracedb.RefPull, tracedb.RefRevision},
		tracedb.RefRun:     {tracedb.RefCommit},
		tracedb.RefCommit:  {tracedb.RefPull, tracedb.RefCommit, tracedb.RefSession, tracedb.RefRun, tracedb.RefSpec},
		tracedb.RefPull:    {tracedb.RefCommit, tracedb.RefRevision, tracedb.RefSession},
		tracedb.RefSession: {tracedb.RefSpec},
	},
	forward: {
		tracedb.RefSpec:    {tracedb.RefSession, tracedb.RefCommit},
		tracedb.RefSession: {tracedb.RefCommit, tracedb.RefPull},
		tracedb.RefPull:    {tracedb.RefCommit},
		tracedb.RefCommit:  {tracedb.RefPull, tracedb.RefCommit, tracedb.RefRun, tracedb.RefImage},
		tracedb.RefRun:     {tracedb.RefImage},
		tracedb.RefImage:   {tracedb.RefPull, tracedb.RefRevision, tracedb.RefPod},
	},
}

// subjectEdges are edges of the subject alone: a revision of the fleet and a pull request in it are shared
// by many services.
var subjectEdges = map[tracedb.RefType][]tracedb.RefType{
	tracedb.RefRevision: {tracedb.RefImage, tracedb.RefPull},
	tracedb.RefPull:     {tracedb.RefImage},
	tracedb.RefRecord:   {tracedb.RefImage, tracedb.RefCommit, tracedb.RefPull, tracedb.RefRun, tracedb.RefPod, tracedb.RefSession, tracedb.RefSpec},
}

// logKinds are about the log itself, not about what was asked.
var logKinds = []tracedb.Kind{tracedb.KindRead, tracedb.KindKey, tracedb.KindDisposal}

// node is a ref to visit, once in each direction.
type node struct {
	ref       tracedb.Ref
	direction direction
}

// traversal gathers the records of a chain: it follows the log as a graph, in which records connect the refs
// that they are about, breadth first. It keeps the first error of a read, after which it reads nothing more.
type traversal struct {
	ctx       context.Context
	reader    tracedb.Reader
	err       error
	subject   tracedb.Ref
	entries   map[int64]tracedb.Entry
	payloads  map[int64]json.RawMessage // that were read; nil: disposed of
	images    map[string]bool           // that were visited
	visited   map[node]bool
	queue     []node
	cut       []tracedb.Ref       // images with more records than were read
	tenantsOf map[string][]string // by repository
	excluded  map[int64]bool      // records that are left out
	truncated bool
}

func newTraversal(ctx context.Context, r tracedb.Reader) *traversal {
	return &traversal{
		ctx: ctx, reader: r, entries: map[int64]tracedb.Entry{}, payloads: map[int64]json.RawMessage{},
		images: map[string]bool{}, visited: map[node]bool{}, tenantsOf: map[string][]string{},
	}
}

// read reads from the log, unless a read failed before.
func read[T any](t *traversal, from func(context.Context) (T, error)) (v T) {
	if t.err == nil {
		v, t.err = from(t.ctx)
	}
	return v
}

func (t *traversal) search(limit int, refs []tracedb.Ref, kinds ...tracedb.Kind) tracedb.Page {
	return read(t, func(ctx context.Context) (tracedb.Page, error) {
		return t.reader.Search(ctx, tracedb.Query{Refs: refs, Kinds: kinds, Limit: limit})
	})
}

func (t *traversal) at(seqs []int64) []tracedb.Entry {
	return read(t, func(ctx context.Context) ([]tracedb.Entry, error) { return t.reader.Entries(ctx, seqs...) })
}

func (t *traversal) byRefs(limit int, refs ...tracedb.Ref) map[tracedb.Ref][]tracedb.Entry {
	return read(t, func(ctx context.Context) (map[tracedb.Ref][]tracedb.Entry, error) {
		return t.reader.ByRefs(ctx, refs, limit)
	})
}

// history are the facts of a table and key, oldest first.
func (t *traversal) history(table, key string) []tracedb.Fact {
	return read(t, func(ctx context.Context) ([]tracedb.Fact, error) { return t.reader.History(ctx, table, key) })
}

func (t *traversal) enqueue(n node) {
	if t.visited[n] {
		return
	}
	if len(t.visited) >= maxNodes {
		t.truncated = true
		return
	}
	t.visited[n] = true
	t.queue = append(t.queue, n)
	if n.ref.Type == tracedb.RefImage {
		t.images[n.ref.Value] = true
	}
}

func (t *traversal) enqueueBoth(ref tracedb.Ref) {
	t.enqueue(node{ref, backward})
	t.enqueue(node{ref, forward})
}

func (t *traversal) add(e tracedb.Entry) bool {
	if _, ok := t.entries[e.Seq]; ok {
		return true
	}
	if t.excluded[e.Seq] {
		return false
	}
	if len(t.entries) >= maxRecords {
		t.truncated = true
		return false
	}
	t.entries[e.Seq] = e
	return true
}

// visit visits every node of the queue, and those that they lead to.
func (t *traversal) visit() {
	about := map[tracedb.Ref][]tracedb.Entry{} // a ref that is visited in both directions is read once
	for len(t.queue) > 0 && t.err == nil {
		t.prefetch(about)
		n := t.queue[0]
		t.queue = t.queue[1:]
		entries := about[n.ref]
		if t.specOnly(n) {
			entries = t.search(newest, []tracedb.Ref{n.ref}, tracedb.KindSpec).Entries
			slices.Reverse(entries)
		}
		types := edges[n.direction][n.ref.Type]
		if n.ref == t.subject {
			types = append(slices.Clone(types), subjectEdges[n.ref.Type]...)
		}
		fanOut := map[tracedb.RefType]int{}
		for i, e := range entries {
			if !t.belongs(n, types, e) {
				continue
			}
			refs, ok := t.neighbours(n, entries[:i], e)
			if !ok || !t.add(e) {
				continue
			}
			for _, ref := range refs {
				if ref == n.ref || !slices.Contains(types, ref.Type) || isFleetCommit(e, ref) {
					continue
				}
				next := node{ref, n.direction}
				if len(edges[n.direction][ref.Type]) == 0 {
					next.direction = leaf
				}
				if t.visited[next] {
					continue
				}
				if fanOut[ref.Type]++; fanOut[ref.Type] > maxFanOut {
					t.truncated = true
					continue
				}
				t.enqueue(next)
			}
		}
	}
}

// isFleetCommit says of a commit whether it is the fleet's. A service's chain follows the fleet's repository
// by revisions only.
func isFleetCommit(e tracedb.Entry, ref tracedb.Ref) bool {
	return ref.Type == tracedb.RefCommit && hasRef(e, tracedb.RefRevision, ref.Value)
}

// prefetch reads the records about every ref of the queue, if those of the first aren't read yet: one query
// for many.
func (t *traversal) prefetch(about map[tracedb.Ref][]tracedb.Entry) {
	unread := func(n node) bool { _, ok := about[n.ref]; return !ok && !t.specOnly(n) }
	if !unread(t.queue[0]) {
		return
	}
	var refs []tracedb.Ref
	for _, n := range t.queue {
		if unread(n) && !slices.Contains(refs, n.ref) {
			refs = append(refs, n.ref)
		}
	}
	oldest := t.byRefs(perNode, refs...)
	for _, ref := range refs {
		about[ref] = t.appendNewest(ref, oldest[ref])
	}
}

// appendNewest adds a ref's newest records to its oldest, if it has many.
func (t *traversal) appendNewest(ref tracedb.Ref, entries []tracedb.Entry) []tracedb.Entry {
	if len(entries) < perNode {
		return entries
	}
	page := t.search(newest, []tracedb.Ref{ref})
	slices.Reverse(page.Entries)
	last := entries[len(entries)-1].Seq
	for i, e := range page.Entries {
		if e.Seq <= last {
			continue
		}
		if i == 0 { // there may be more between the two
			t.truncated = true
			if ref.Type == tracedb.RefImage {
				t.cut = append(t.cut, ref)
			}
		}
		entries = append(entries, e)
	}
	return entries
}

// specOnly says of a node that it is a spec which something else led back to. Only its own records count: one
// spec may ask for release after release, and the sessions of the others belong to those.
func (t *traversal) specOnly(n node) bool {
	return n.ref.Type == tracedb.RefSpec && n.direction != forward && n.ref != t.subject
}

// belongs tells a record of the chain from one that only has something in common with it: the same commit
// built anew, another service in the same revision of the fleet.
func (t *traversal) belongs(n node, types []tracedb.RefType, e tracedb.Entry) bool {
	if slices.Contains(logKinds, e.Kind) {
		return false
	}
	if n.ref == t.subject || n.ref.Type == tracedb.RefImage || slices.Contains(types, tracedb.RefImage) {
		return true
	}
	images := e.Values(tracedb.RefImage)
	return len(images) == 0 || slices.ContainsFunc(images, func(i string) bool { return t.images[i] })
}

// neighbours are the refs that a record leads to from a node; false if the record isn't part of the chain. A
// push that brought several commits leads from the newest to those below it, and the other way only to its
// newest: else a branch made later, which holds old commits too, would lead into the future.
func (t *traversal) neighbours(n node, before []tracedb.Entry, e tracedb.Entry) ([]tracedb.Ref, bool) {
	if e.Kind != tracedb.KindCommit || n.ref.Type != tracedb.RefCommit {
		return e.Refs, true
	}
	push := t.push(e)
	others := slices.DeleteFunc(slices.Clone(e.Refs), func(r tracedb.Ref) bool { return r.Type == tracedb.RefCommit })
	isPush := func(b tracedb.Entry) bool { return b.Kind == tracedb.KindCommit }
	switch {
	case push.Commit == n.ref.Value && n.direction == backward:
		return append(others, refs(tracedb.RefCommit, push.Others...)...), true
	case push.Commit == n.ref.Value:
		return others, true
	case n.direction == backward:
		return others, !slices.ContainsFunc(before, isPush)
	}
	into := slices.ContainsFunc(before, func(b tracedb.Entry) bool {
		return isPush(b) && slices.Contains([]string{"main", "master"}, t.push(b).Branch)
	})
	return append(others, refs(tracedb.RefCommit, push.Commit)...), !into
}

// push is what the record of a push says; a payload that is gone or can't be read says nothing.
func (t *traversal) push(e tracedb.Entry) tracedb.Commit {
	t.load(e)
	var push tracedb.Commit
	if json.Unmarshal(t.payloads[e.Seq], &push) != nil {
		return tracedb.Commit{}
	}
	return push
}

// load reads the payloads of entries that weren't read before. One that isn't there was disposed of.
func (t *traversal) load(entries ...tracedb.Entry) {
	var unread []int64
	for _, e := range entries {
		if _, ok := t.payloads[e.Seq]; !ok {
			unread = append(unread, e.Seq)
		}
	}
	if len(unread) == 0 {
		return
	}
	found := read(t, func(ctx context.Context) (map[int64]json.RawMessage, error) { return t.reader.Payloads(ctx, unread...) })
	for _, seq := range unread {
		t.payloads[seq] = found[seq]
	}
}

// loadAll reads the payloads of all records but lists of parts that are too large to describe.
func (t *traversal) loadAll() {
	t.load(slices.DeleteFunc(t.sorted(), func(e tracedb.Entry) bool { return e.Kind == tracedb.KindSBOM && e.Size > MaxSBOM })...)
}

// addDisposals adds the records that say why payloads of the chain are gone, also of those that weren't
// read. They are few, and without them nothing would account for what is missing: no bound leaves one out.
func (t *traversal) addDisposals() {
	by := read(t, func(ctx context.Context) (map[int64]int64, error) {
		return t.reader.DisposedBy(ctx, slices.Collect(maps.Keys(t.entries))...)
	})
	for seq := range by {
		t.payloads[seq] = nil
	}
	disposals := t.at(slices.Collect(maps.Values(by)))
	t.load(disposals...)
	for _, e := range disposals {
		t.entries[e.Seq] = e
	}
}

func hasRef(e tracedb.Entry, t tracedb.RefType, value string) bool {
	return slices.Contains(e.Refs, tracedb.Ref{Type: t, Value: value})
}

func refs(t tracedb.RefType, values ...string) []tracedb.Ref {
	out := make([]tracedb.Ref, len(values))
	for i, v := range values {
		out[i] = tracedb.Ref{Type: t, Value: v}
	}
	return out
}

// sorted are the entries in the log's order.
func (t *traversal) sorted() []tracedb.Entry {
	return slices.SortedFunc(maps.Values(t.entries), func(a, b tracedb.Entry) int { return cmp.Compare(a.Seq, b.Seq) })
}
