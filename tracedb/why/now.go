package why

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/druppie/druppie-up/tracedb"
)

// The tables of facts that are read.
const (
	tableRegister  = "register"
	tableException = "exception"
	tableKey       = "key"
)

// maxNow is how many images at once the story of a service or a tenant is told for.
const maxNow = 4

// now lines up what runs of a service, an algorithm or a tenant, and what was refused since; where
// nothing runs, the newest there is.
func (w *walk) now(ctx context.Context, subject tracedb.Ref) error {
	latest, ids, err := w.latest(ctx, subject)
	if err != nil {
		return err
	}
	places := []tracedb.Ref{subject}
	if subject.Type == tracedb.RefRepository {
		// What runs says which algorithm and which image it is, not from which repository it came.
		places = nil
		for _, id := range ids {
			places = append(places, tracedb.Ref{Type: tracedb.RefAlgorithm, Value: id})
		}
		for _, image := range latest {
			places = append(places, tracedb.Ref{Type: tracedb.RefImage, Value: image})
		}
	}
	var images []string
	for _, place := range places {
		if images, err = w.running(ctx, place); err != nil {
			return err
		}
		if len(images) > 0 {
			break
		}
	}
	if len(latest) > 0 && !slices.Contains(images, latest[0]) {
		// The newest isn't what runs: on its way, or refused.
		images = append(images, latest[0])
	}
	for _, image := range images {
		w.both(tracedb.Ref{Type: tracedb.RefImage, Value: image})
	}
	if len(images) > 0 {
		return nil
	}
	return w.young(ctx, subject)
}

// running are the images of the pods that ran when they were last heard of, newest first.
func (w *walk) running(ctx context.Context, ref tracedb.Ref) ([]string, error) {
	page, err := w.Search(ctx, tracedb.Query{Refs: []tracedb.Ref{ref}, Kinds: []tracedb.Kind{tracedb.KindDeployment}, Limit: newest})
	if err != nil {
		return nil, err
	}
	var images []string
	told := map[string]bool{}
	for _, e := range page.Entries {
		for _, pod := range lived(e) {
			if told[pod] {
				continue
			}
			told[pod] = true
			if e.Outcome == tracedb.Running {
				images = append(images, values(e.Refs, tracedb.RefImage)...)
			}
		}
	}
	return firsts(images, maxNow), nil
}

// pods adds what was last heard of the pods of images with more records than were looked at: that a pod
// runs, as an old record says, may have been over for long.
func (w *walk) pods(ctx context.Context) error {
	for _, image := range w.cut {
		runs := map[string]bool{} // as far as was looked
		for _, e := range w.sorted() {
			for _, pod := range lived(e) {
				runs[pod] = e.Outcome == tracedb.Running
			}
		}
		last := map[string]bool{}
		hear := func(refs ...tracedb.Ref) error {
			page, err := w.Search(ctx, tracedb.Query{Refs: refs, Kinds: []tracedb.Kind{tracedb.KindDeployment}, Limit: tracedb.MaxPage})
			if err != nil {
				return err
			}
			for _, e := range page.Entries { // newest first
				for _, pod := range lived(e) {
					if !last[pod] && (e.Outcome == tracedb.Running || runs[pod]) {
						w.add(e)
					}
					last[pod] = true
				}
			}
			return nil
		}
		if err := hear(image); err != nil {
			return err
		}
		var old []string // not heard of for long
		for _, pod := range slices.Sorted(maps.Keys(runs)) {
			if runs[pod] && !last[pod] {
				old = append(old, pod)
			}
		}
		for _, pod := range firsts(old, maxFan) {
			if err := hear(image, tracedb.Ref{Type: tracedb.RefPod, Value: pod}); err != nil {
				return err
			}
		}
	}
	return nil
}

// lived are the pods that a record says of that they run, or are gone.
func lived(e tracedb.Entry) []string {
	if e.Kind != tracedb.KindDeployment || e.Outcome != tracedb.Running && e.Outcome != tracedb.Gone {
		return nil
	}
	return values(e.Refs, tracedb.RefPod)
}

// latest are the images that were last heard of on their way, newest first, and the algorithms that
// are named with them.
func (w *walk) latest(ctx context.Context, ref tracedb.Ref) (images, algorithms []string, err error) {
	page, err := w.Search(ctx, tracedb.Query{Refs: []tracedb.Ref{ref}, Limit: maxNow * 4, Kinds: []tracedb.Kind{
		tracedb.KindAdmission, tracedb.KindPromotion, tracedb.KindProvenance, tracedb.KindImage, tracedb.KindRegister,
	}})
	if err != nil {
		return nil, nil, err
	}
	tenants, err := w.tenantsOf(ctx, ref)
	if err != nil {
		return nil, nil, err
	}
	for _, e := range page.Entries {
		// Anybody may ask under the service's id, of any image, where it doesn't belong.
		if w.left[e.Seq] || e.Kind == tracedb.KindAdmission && !InTenants(e, tenants) {
			continue
		}
		images = append(images, values(e.Refs, tracedb.RefImage)...)
		algorithms = append(algorithms, values(e.Refs, tracedb.RefAlgorithm)...)
	}
	return firsts(images, maxNow), firsts(algorithms, 1), nil
}

// tenantsOf are the tenants of a repository, or of the one that an algorithm belongs to.
func (w *walk) tenantsOf(ctx context.Context, ref tracedb.Ref) ([]string, error) {
	repository := ref.Value
	switch ref.Type {
	case tracedb.RefNamespace:
		return nil, nil
	case tracedb.RefAlgorithm:
		page, err := w.Search(ctx, tracedb.Query{Refs: []tracedb.Ref{ref}, Kinds: []tracedb.Kind{tracedb.KindRegister}, Limit: 1})
		if err != nil || len(page.Entries) == 0 {
			return nil, err
		}
		if repository = ""; len(values(page.Entries[0].Refs, tracedb.RefRepository)) > 0 {
			repository = values(page.Entries[0].Refs, tracedb.RefRepository)[0]
		}
	}
	return w.tenants(ctx, repository)
}

// one starts from a single record, and from what it is about.
func (w *walk) one(ctx context.Context, subject tracedb.Ref) error {
	seq, err := strconv.ParseInt(subject.Value, 10, 64)
	if err != nil {
		return invalid(err.Error(), Forms)
	}
	if err := w.take(ctx, []int64{seq}, func(tracedb.Entry) bool { return true }); err != nil {
		return err
	}
	for _, ref := range w.entries[seq].Refs {
		if slices.Contains(asked[tracedb.RefRecord], ref.Type) {
			w.both(ref)
		}
	}
	w.line(stop{subject, end})
	return nil
}

// young takes what there is of a subject that has no image yet.
func (w *walk) young(ctx context.Context, subject tracedb.Ref) error {
	page, err := w.Search(ctx, tracedb.Query{Refs: []tracedb.Ref{subject}, Limit: newest})
	if err != nil {
		return err
	}
	w.truncated = w.truncated || page.Next > 0
	for _, e := range page.Entries {
		if slices.Contains(aside, e.Kind) || !w.add(e) {
			continue
		}
		for _, ref := range e.Refs {
			switch ref.Type {
			case tracedb.RefCommit, tracedb.RefPull, tracedb.RefSession, tracedb.RefSpec:
				if len(w.seen) < maxFan {
					w.line(stop{ref, back})
				}
			}
		}
	}
	return nil
}

// registered adds what the register and the CISO said about the story's algorithms: the versions that
// stood when somebody was let in or refused, the newest, and the exceptions.
func (w *walk) registered(ctx context.Context) error {
	ids := w.algorithms()
	if len(ids) == 0 {
		return nil
	}
	var seqs []int64
	for _, id := range ids {
		versions, err := w.History(ctx, tableRegister, id) // oldest first
		if err != nil {
			return err
		}
		slices.Reverse(versions)
		if len(versions) > 0 {
			seqs = append(seqs, versions[0].Seq)
		}
		for _, e := range w.entries {
			if e.Kind != tracedb.KindAdmission || !slices.Contains(values(e.Refs, tracedb.RefAlgorithm), id) {
				continue
			}
			if i := slices.IndexFunc(versions, func(v tracedb.Fact) bool { return v.Seq < e.Seq }); i >= 0 {
				seqs = append(seqs, versions[i].Seq)
			}
		}
	}
	// Exceptions are rare: the whole table is smaller than the records of one algorithm.
	exceptions, err := w.Facts(ctx, tableException)
	if err != nil {
		return err
	}
	for _, x := range exceptions {
		if id, _, _ := strings.Cut(x.Key, "/"); slices.Contains(ids, id) {
			seqs = append(seqs, x.Seq)
		}
	}
	// An exception for another image isn't part of this story.
	return w.take(ctx, seqs, func(e tracedb.Entry) bool { return w.belongs(stop{}, nil, e) })
}

// take adds the records at those places that are wanted.
func (w *walk) take(ctx context.Context, seqs []int64, wanted func(tracedb.Entry) bool) error {
	seqs = slices.DeleteFunc(seqs, func(seq int64) bool { _, ok := w.entries[seq]; return ok })
	slices.Sort(seqs)
	if seqs = slices.Compact(seqs); len(seqs) > perStop {
		w.truncated = true
		seqs = seqs[len(seqs)-perStop:]
	}
	if len(seqs) == 0 {
		return nil
	}
	entries, err := w.Entries(ctx, seqs...)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if wanted(e) {
			w.add(e)
		}
	}
	return nil
}

// algorithms are those of the story: that of the subject, or else those of the register entries and
// the workloads in it.
func (w *walk) algorithms() []string {
	if w.subject.Type == tracedb.RefAlgorithm {
		return []string{w.subject.Value}
	}
	var registered, claimed []string
	for _, e := range w.sorted() {
		ids := values(e.Refs, tracedb.RefAlgorithm)
		if e.Kind == tracedb.KindRegister {
			registered = append(registered, ids...)
		} else {
			claimed = append(claimed, ids...)
		}
	}
	return firsts(append(registered, claimed...), maxNow)
}

// keys adds how the keys that signed, or were asked about, came into the keyring, and left it.
func (w *walk) keys(ctx context.Context) error {
	var prints []string
	if w.subject.Type == tracedb.RefKey {
		prints = append(prints, w.subject.Value)
	}
	for _, e := range w.sorted() {
		prints = append(prints, values(e.Refs, tracedb.RefKey)...)
	}
	var seqs []int64
	for _, print := range firsts(prints, maxFan) {
		history, err := w.History(ctx, tableKey, print)
		if err != nil {
			return err
		}
		for _, f := range history {
			seqs = append(seqs, f.Seq)
		}
	}
	return w.take(ctx, seqs, func(tracedb.Entry) bool { return true })
}

// records adds the records that others name: the incident that a change repaired, the exception that
// let something in; and what was done about the incidents of the story.
func (w *walk) records(ctx context.Context) error {
	var seqs []int64
	var incidents []tracedb.Entry
	for _, e := range w.entries {
		for _, value := range values(e.Refs, tracedb.RefRecord) {
			if seq, err := strconv.ParseInt(value, 10, 64); err == nil {
				seqs = append(seqs, seq)
			}
		}
		if e.Kind == tracedb.KindIncident {
			incidents = append(incidents, e)
		}
	}
	slices.SortFunc(incidents, func(a, b tracedb.Entry) int { return cmp.Compare(b.Seq, a.Seq) })
	for _, e := range incidents[:min(maxNow, len(incidents))] {
		repairs, err := w.ByRef(ctx, tracedb.Ref{Type: tracedb.RefRecord, Value: strconv.FormatInt(e.Seq, 10)}, maxFan)
		if err != nil {
			return err
		}
		for _, r := range repairs {
			if r.Kind == tracedb.KindRepair {
				w.add(r)
			}
		}
	}
	// The incident was another image's: the one before the repair.
	return w.take(ctx, seqs, func(tracedb.Entry) bool { return true })
}

// firsts are the first n different ones.
func firsts[T comparable](list []T, n int) []T {
	var out []T
	for _, v := range list {
		if len(out) < n && !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	return out
}
