package why

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"

	"github.com/druppie/druppie-up/tracedb"
)

// The bounds of a walk. Whoever meets one of them sees Truncated.
const (
	maxRecords = 400 // in a chain
	maxStops   = 48  // things that are looked up
	maxFan     = 8   // things of one type that one thing leads to
	perStop    = 64  // oldest records of one thing
	newest     = 32  // newest records of a thing that has more
)

// way is the direction of a walk: back to where something came from, or forth to what became of it.
// Whoever goes back doesn't turn round, or an image would lead to all that its commit, its agent's
// session and its fleet revision ever had to do with.
type way int

const (
	back way = iota
	forth
	end // look here, and go no further
)

// onward says from which kind of thing the story goes on to which. Services, namespaces, algorithms
// and keys lead nowhere: they would connect everything with everything. What they have to tell as a
// subject, or as the subject's register entry, is added on its own.
var onward = map[way]map[tracedb.RefType][]tracedb.RefType{
	back: {
		tracedb.RefPod:     {tracedb.RefImage, tracedb.RefRevision},
		tracedb.RefImage:   {tracedb.RefCommit, tracedb.RefRun, tracedb.RefPull, tracedb.RefRevision},
		tracedb.RefRun:     {tracedb.RefCommit},
		tracedb.RefCommit:  {tracedb.RefPull, tracedb.RefCommit, tracedb.RefSession, tracedb.RefRun, tracedb.RefSpec},
		tracedb.RefPull:    {tracedb.RefCommit, tracedb.RefRevision, tracedb.RefSession},
		tracedb.RefSession: {tracedb.RefSpec},
	},
	forth: {
		tracedb.RefSpec:    {tracedb.RefSession, tracedb.RefCommit},
		tracedb.RefSession: {tracedb.RefCommit, tracedb.RefPull},
		tracedb.RefPull:    {tracedb.RefCommit},
		tracedb.RefCommit:  {tracedb.RefPull, tracedb.RefCommit, tracedb.RefRun, tracedb.RefImage},
		tracedb.RefRun:     {tracedb.RefImage},
		tracedb.RefImage:   {tracedb.RefPull, tracedb.RefRevision, tracedb.RefPod},
	},
}

// asked says what leads on only when it is what was asked about: a revision of the fleet and a pull
// request in it are shared by many services.
var asked = map[tracedb.RefType][]tracedb.RefType{
	tracedb.RefRevision: {tracedb.RefImage, tracedb.RefPull},
	tracedb.RefPull:     {tracedb.RefImage},
	tracedb.RefRecord:   {tracedb.RefImage, tracedb.RefCommit, tracedb.RefPull, tracedb.RefRun, tracedb.RefPod, tracedb.RefSession, tracedb.RefSpec},
}

// aside are the kinds that are about the log itself and not about what was asked.
var aside = []tracedb.Kind{tracedb.KindRead, tracedb.KindKey, tracedb.KindDisposal}

type stop struct {
	ref tracedb.Ref
	way way
}

// walk gathers the records of a chain.
type walk struct {
	tracedb.Reader
	subject   tracedb.Ref
	entries   map[int64]tracedb.Entry
	bodies    map[int64]body
	images    map[string]bool // that the story is about
	seen      map[stop]bool
	queue     []stop
	cut       []tracedb.Ref       // images with more records than were looked at
	promoted  map[string][]string // tenants, by repository
	left      map[int64]bool      // bystanders' records, which are left out
	truncated bool
}

// body is a payload, or that it was disposed of.
type body struct {
	raw      json.RawMessage
	disposed bool
}

func newWalk(r tracedb.Reader) *walk {
	return &walk{Reader: r, entries: map[int64]tracedb.Entry{}, bodies: map[int64]body{}, images: map[string]bool{}, seen: map[stop]bool{}, promoted: map[string][]string{}}
}

// go on lines up a thing to look at; it is looked at once for each way.
func (w *walk) line(s stop) {
	if w.seen[s] {
		return
	}
	if len(w.seen) >= maxStops {
		w.truncated = true
		return
	}
	w.seen[s] = true
	w.queue = append(w.queue, s)
	if s.ref.Type == tracedb.RefImage {
		w.images[s.ref.Value] = true
	}
}

// both lines up a thing that is to be looked at in both directions.
func (w *walk) both(ref tracedb.Ref) {
	w.line(stop{ref, back})
	w.line(stop{ref, forth})
}

func (w *walk) add(e tracedb.Entry) bool {
	if _, ok := w.entries[e.Seq]; ok {
		return true
	}
	if w.left[e.Seq] {
		return false
	}
	if len(w.entries) >= maxRecords {
		w.truncated = true
		return false
	}
	w.entries[e.Seq] = e
	return true
}

// run looks at everything lined up, until nothing is left.
func (w *walk) run(ctx context.Context) error {
	about := map[tracedb.Ref][]tracedb.Entry{} // a thing that is met on both ways is read once
	for len(w.queue) > 0 {
		if err := w.look(ctx, about); err != nil {
			return err
		}
		s := w.queue[0]
		w.queue = w.queue[1:]
		entries := about[s.ref]
		if w.passing(s) {
			var err error
			if entries, err = w.spec(ctx, s.ref); err != nil {
				return err
			}
		}
		types := onward[s.way][s.ref.Type]
		if s.ref == w.subject {
			types = append(slices.Clone(types), asked[s.ref.Type]...)
		}
		fan := map[tracedb.RefType]int{}
		for i, e := range entries {
			if !w.belongs(s, types, e) {
				continue
			}
			refs, ok, err := w.leads(ctx, s, entries[:i], e)
			if err != nil {
				return err
			}
			if !ok || !w.add(e) {
				continue
			}
			for _, ref := range refs {
				if ref == s.ref || !slices.Contains(types, ref.Type) || fleets(e, ref) {
					continue
				}
				next := stop{ref, s.way}
				if len(onward[s.way][ref.Type]) == 0 {
					next.way = end
				}
				if w.seen[next] {
					continue
				}
				if fan[ref.Type]++; fan[ref.Type] > maxFan {
					w.truncated = true
					continue
				}
				w.line(next)
			}
		}
	}
	return nil
}

// fleets says of a commit whether it is the fleet's: its repository goes its own way, and a service's
// story follows it by revisions only.
func fleets(e tracedb.Entry, ref tracedb.Ref) bool {
	return ref.Type == tracedb.RefCommit && slices.Contains(e.Refs, tracedb.Ref{Type: tracedb.RefRevision, Value: ref.Value})
}

// look reads about the next thing in line if that wasn't done, and about all behind it too: the log is asked
// once for as many as are known to be wanted.
func (w *walk) look(ctx context.Context, about map[tracedb.Ref][]tracedb.Entry) error {
	unread := func(s stop) bool { _, ok := about[s.ref]; return !ok && !w.passing(s) }
	if !unread(w.queue[0]) {
		return nil
	}
	var refs []tracedb.Ref
	for _, s := range w.queue {
		if unread(s) && !slices.Contains(refs, s.ref) {
			refs = append(refs, s.ref)
		}
	}
	oldest, err := w.ByRefs(ctx, refs, perStop)
	if err != nil {
		return err
	}
	for _, ref := range refs {
		if about[ref], err = w.rest(ctx, ref, oldest[ref]); err != nil {
			return err
		}
	}
	return nil
}

// rest adds the newest records of a thing to its oldest, if it has many.
func (w *walk) rest(ctx context.Context, ref tracedb.Ref, entries []tracedb.Entry) ([]tracedb.Entry, error) {
	if len(entries) < perStop {
		return entries, nil
	}
	page, err := w.Search(ctx, tracedb.Query{Refs: []tracedb.Ref{ref}, Limit: newest})
	if err != nil {
		return nil, err
	}
	slices.Reverse(page.Entries)
	last := entries[len(entries)-1].Seq
	for i, e := range page.Entries {
		if e.Seq <= last {
			continue
		}
		if i == 0 { // or there may be some between
			w.truncated = true
			if ref.Type == tracedb.RefImage {
				w.cut = append(w.cut, ref)
			}
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// passing says of a stop that it is a spec which was come upon on the way back.
func (w *walk) passing(s stop) bool {
	return s.ref.Type == tracedb.RefSpec && s.way != forth && s.ref != w.subject
}

// spec reads the newest versions of a spec alone. One may ask for release after release: the sessions of
// the others are its own story, not that of one of them.
func (w *walk) spec(ctx context.Context, ref tracedb.Ref) ([]tracedb.Entry, error) {
	page, err := w.Search(ctx, tracedb.Query{Refs: []tracedb.Ref{ref}, Kinds: []tracedb.Kind{tracedb.KindSpec}, Limit: newest})
	slices.Reverse(page.Entries)
	return page.Entries, err
}

// belongs tells a record of the story from one that only has something in common with it: the same
// commit built anew, another service in the same revision of the fleet.
func (w *walk) belongs(s stop, types []tracedb.RefType, e tracedb.Entry) bool {
	if slices.Contains(aside, e.Kind) {
		return false
	}
	if s.ref == w.subject || s.ref.Type == tracedb.RefImage || slices.Contains(types, tracedb.RefImage) {
		return true
	}
	images := values(e.Refs, tracedb.RefImage)
	return len(images) == 0 || slices.ContainsFunc(images, func(i string) bool { return w.images[i] })
}

// leads are the things that a record leads to from where we stand. A push that brought several
// commits leads from the newest to those below it, and the other way only to where they went: else a
// branch made later, which holds old commits too, would lead into the future.
func (w *walk) leads(ctx context.Context, s stop, before []tracedb.Entry, e tracedb.Entry) ([]tracedb.Ref, bool, error) {
	if e.Kind != tracedb.KindCommit || s.ref.Type != tracedb.RefCommit {
		return e.Refs, true, nil
	}
	b, err := w.body(ctx, e)
	if err != nil {
		return nil, false, err
	}
	var push tracedb.Commit
	if b.raw != nil {
		if err := json.Unmarshal(b.raw, &push); err != nil {
			push = tracedb.Commit{} // the record stands all the same; it leads nowhere
		}
	}
	others := slices.DeleteFunc(slices.Clone(e.Refs), func(r tracedb.Ref) bool { return r.Type == tracedb.RefCommit })
	first := !slices.ContainsFunc(before, func(b tracedb.Entry) bool { return b.Kind == tracedb.KindCommit })
	switch {
	case push.Commit == s.ref.Value && s.way == back:
		for _, c := range push.Others {
			others = append(others, tracedb.Ref{Type: tracedb.RefCommit, Value: c})
		}
		return others, true, nil
	case push.Commit == s.ref.Value:
		return others, true, nil
	case s.way == back:
		return others, first, nil
	}
	into := slices.ContainsFunc(before, func(b tracedb.Entry) bool { return w.intoMain(b) })
	if into {
		return nil, false, nil
	}
	return append(others, tracedb.Ref{Type: tracedb.RefCommit, Value: push.Commit}), true, nil
}

// intoMain says of a push that was looked at before whether it went into the branch that is built.
func (w *walk) intoMain(e tracedb.Entry) bool {
	var push tracedb.Commit
	if e.Kind != tracedb.KindCommit || json.Unmarshal(w.bodies[e.Seq].raw, &push) != nil {
		return false
	}
	return push.Branch == "main" || push.Branch == "master"
}

// body reads a payload once.
func (w *walk) body(ctx context.Context, e tracedb.Entry) (body, error) {
	if b, ok := w.bodies[e.Seq]; ok {
		return b, nil
	}
	raw, err := w.Payload(ctx, e.Seq)
	b := body{raw: raw}
	if errors.Is(err, tracedb.ErrDisposed) {
		b, err = body{disposed: true}, nil
	}
	if err != nil {
		return body{}, err
	}
	w.bodies[e.Seq] = b
	return b, nil
}

// values are those of one type of ref.
func values(refs []tracedb.Ref, t tracedb.RefType) []string {
	var out []string
	for _, r := range refs {
		if r.Type == t {
			out = append(out, r.Value)
		}
	}
	return out
}

// sorted are the walk's entries in the log's order.
func (w *walk) sorted() []tracedb.Entry {
	out := make([]tracedb.Entry, 0, len(w.entries))
	for _, e := range w.entries {
		out = append(out, e)
	}
	slices.SortFunc(out, func(a, b tracedb.Entry) int { return cmp.Compare(a.Seq, b.Seq) })
	return out
}
