package why

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/druppie/druppie-up/tracedb"
)

// maxImages is how many images at once a chain of a service or a tenant is about.
const maxImages = 4

// enqueueCurrent enqueues what runs of a service, an algorithm or a tenant, and what was refused since; where
// nothing runs, the newest there is.
func (t *traversal) enqueueCurrent() {
	latest, algorithms := t.latest(t.subject)
	places := []tracedb.Ref{t.subject}
	if t.subject.Type == tracedb.RefRepository {
		// The record of a pod names algorithm and image, not the repository.
		places = append(refs(tracedb.RefAlgorithm, algorithms...), refs(tracedb.RefImage, latest...)...)
	}
	var images []string
	for _, place := range places {
		if images = t.running(place); len(images) > 0 {
			break
		}
	}
	if len(latest) > 0 && !slices.Contains(images, latest[0]) {
		// The newest isn't what runs: it is on its way, or was refused.
		images = append(images, latest[0])
	}
	for _, image := range refs(tracedb.RefImage, images...) {
		t.enqueueBoth(image)
	}
	if len(images) == 0 {
		t.enqueueNewest()
	}
}

// running are the images of the pods whose newest record says that they run, newest first.
func (t *traversal) running(ref tracedb.Ref) []string {
	var images []string
	seen := map[string]bool{}
	for _, e := range t.search(newest, []tracedb.Ref{ref}, tracedb.KindDeployment).Entries {
		for _, pod := range podsOf(e) {
			if !seen[pod] && e.Outcome == tracedb.Running {
				images = append(images, e.Values(tracedb.RefImage)...)
			}
			seen[pod] = true
		}
	}
	return firsts(images, maxImages)
}

// addPods adds the newest records of the pods of images with more records than were read: a pod that runs, as
// an old record says, may be gone for long.
func (t *traversal) addPods() {
	for _, image := range t.cut {
		runs := map[string]bool{} // as far as was read
		for _, e := range t.sorted() {
			for _, pod := range podsOf(e) {
				runs[pod] = e.Outcome == tracedb.Running
			}
		}
		seen := map[string]bool{}
		addNewest := func(refs ...tracedb.Ref) {
			for _, e := range t.search(tracedb.MaxPage, refs, tracedb.KindDeployment).Entries {
				for _, pod := range podsOf(e) {
					if !seen[pod] && (e.Outcome == tracedb.Running || runs[pod]) {
						t.add(e)
					}
					seen[pod] = true
				}
			}
		}
		addNewest(image)
		older := slices.DeleteFunc(slices.Sorted(maps.Keys(runs)), func(pod string) bool { return !runs[pod] || seen[pod] })
		for _, pod := range refs(tracedb.RefPod, firsts(older, maxFanOut)...) {
			addNewest(image, pod)
		}
	}
}

// podsOf are the pods that a record says of that they run, or are gone.
func podsOf(e tracedb.Entry) []string {
	if e.Kind != tracedb.KindDeployment || e.Outcome != tracedb.Running && e.Outcome != tracedb.Gone {
		return nil
	}
	return e.Values(tracedb.RefPod)
}

// latest are the images that were built, promoted or decided about last, newest first, and the algorithms that
// are named with them.
func (t *traversal) latest(ref tracedb.Ref) (images, algorithms []string) {
	page := t.search(maxImages*4, []tracedb.Ref{ref},
		tracedb.KindAdmission, tracedb.KindPromotion, tracedb.KindProvenance, tracedb.KindImage, tracedb.KindRegister)
	tenants := t.tenantsOfSubject(ref)
	for _, e := range page.Entries {
		// Anybody may ask under the service's id, of any image, in a namespace that isn't its tenant.
		if t.excluded[e.Seq] || e.Kind == tracedb.KindAdmission && !InTenants(e, tenants) {
			continue
		}
		images = append(images, e.Values(tracedb.RefImage)...)
		algorithms = append(algorithms, e.Values(tracedb.RefAlgorithm)...)
	}
	return firsts(images, maxImages), firsts(algorithms, 1)
}

// tenantsOfSubject are the tenants of a repository, or of the one that an algorithm belongs to.
func (t *traversal) tenantsOfSubject(ref tracedb.Ref) []string {
	switch ref.Type {
	case tracedb.RefRepository:
		return t.tenants(ref.Value)
	case tracedb.RefAlgorithm:
		for _, e := range t.search(1, []tracedb.Ref{ref}, tracedb.KindRegister).Entries {
			return t.tenants(e.First(tracedb.RefRepository))
		}
	}
	return nil
}

// enqueueRecord starts from a single record, and from what it is about.
func (t *traversal) enqueueRecord() {
	seq, _ := strconv.ParseInt(t.subject.Value, 10, 64) // which its form has seen to
	t.addAt([]int64{seq}, nil)
	for _, ref := range t.entries[seq].Refs {
		if slices.Contains(subjectEdges[tracedb.RefRecord], ref.Type) {
			t.enqueueBoth(ref)
		}
	}
	t.enqueue(node{t.subject, leaf})
}

// enqueueNewest enqueues what the newest records of a subject that has no image yet name.
func (t *traversal) enqueueNewest() {
	page := t.search(newest, []tracedb.Ref{t.subject})
	t.truncated = t.truncated || page.Next > 0
	for _, e := range page.Entries {
		if slices.Contains(logKinds, e.Kind) || !t.add(e) {
			continue
		}
		for _, ref := range e.Refs {
			switch ref.Type {
			case tracedb.RefCommit, tracedb.RefPull, tracedb.RefSession, tracedb.RefSpec:
				if len(t.visited) < maxFanOut {
					t.enqueue(node{ref, backward})
				}
			}
		}
	}
}

// addRegister adds the register entries of the chain's algorithms: the versions that stood when something was
// admitted or refused, the newest, and the exceptions that were granted.
func (t *traversal) addRegister() {
	ids := t.algorithms()
	if len(ids) == 0 {
		return
	}
	var seqs []int64
	for _, id := range ids {
		versions := t.history("register", id)
		slices.Reverse(versions)
		if len(versions) > 0 {
			seqs = append(seqs, versions[0].Seq)
		}
		for _, e := range t.entries {
			if e.Kind != tracedb.KindAdmission || !hasRef(e, tracedb.RefAlgorithm, id) {
				continue
			}
			if i := slices.IndexFunc(versions, func(v tracedb.Fact) bool { return v.Seq < e.Seq }); i >= 0 {
				seqs = append(seqs, versions[i].Seq)
			}
		}
	}
	// Exceptions are rare: the whole table is smaller than the records of one algorithm.
	exceptions := read(t, func(ctx context.Context) ([]tracedb.Fact, error) { return t.reader.Facts(ctx, "exception") })
	for _, x := range exceptions {
		if id, _, _ := strings.Cut(x.Key, "/"); slices.Contains(ids, id) {
			seqs = append(seqs, x.Seq)
		}
	}
	// An exception for another image isn't part of this chain.
	t.addAt(seqs, func(e tracedb.Entry) bool { return t.belongs(node{}, nil, e) })
}

// addAt adds the records at those places that are wanted; nil: all.
func (t *traversal) addAt(seqs []int64, wanted func(tracedb.Entry) bool) {
	seqs = slices.DeleteFunc(seqs, func(seq int64) bool { _, ok := t.entries[seq]; return ok })
	slices.Sort(seqs)
	if seqs = slices.Compact(seqs); len(seqs) > perNode {
		t.truncated = true
		seqs = seqs[len(seqs)-perNode:]
	}
	if len(seqs) == 0 {
		return
	}
	for _, e := range t.at(seqs) {
		if wanted == nil || wanted(e) {
			t.add(e)
		}
	}
}

// algorithms are the subject, or else those of the register entries and the workloads in the chain.
func (t *traversal) algorithms() []string {
	if t.subject.Type == tracedb.RefAlgorithm {
		return []string{t.subject.Value}
	}
	var registered, claimed []string
	for _, e := range t.sorted() {
		ids := e.Values(tracedb.RefAlgorithm)
		if e.Kind == tracedb.KindRegister {
			registered = append(registered, ids...)
		} else {
			claimed = append(claimed, ids...)
		}
	}
	return firsts(append(registered, claimed...), maxImages)
}

// addKeys adds how the keys that signed, or were asked about, came into the keyring, and left it.
func (t *traversal) addKeys() {
	var fingerprints []string
	if t.subject.Type == tracedb.RefKey {
		fingerprints = append(fingerprints, t.subject.Value)
	}
	for _, e := range t.sorted() {
		fingerprints = append(fingerprints, e.Values(tracedb.RefKey)...)
	}
	var seqs []int64
	for _, fingerprint := range firsts(fingerprints, maxFanOut) {
		for _, f := range t.history("key", fingerprint) {
			seqs = append(seqs, f.Seq)
		}
	}
	t.addAt(seqs, nil)
}

// addNamedRecords adds the records that others name: the incident that a change repaired, the exception that
// admitted something; and the repairs of the chain's incidents.
func (t *traversal) addNamedRecords() {
	var seqs []int64
	var incidents []string // newest first
	for _, e := range slices.Backward(t.sorted()) {
		for _, value := range e.Values(tracedb.RefRecord) {
			if seq, err := strconv.ParseInt(value, 10, 64); err == nil {
				seqs = append(seqs, seq)
			}
		}
		if e.Kind == tracedb.KindIncident {
			incidents = append(incidents, strconv.FormatInt(e.Seq, 10))
		}
	}
	named := refs(tracedb.RefRecord, firsts(incidents, maxImages)...)
	about := t.byRefs(maxFanOut, named...)
	for _, incident := range named {
		for _, e := range about[incident] {
			if e.Kind == tracedb.KindRepair {
				t.add(e)
			}
		}
	}
	// The incident was another image's: the one before the repair.
	t.addAt(seqs, nil)
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

// maxPods is how many pods' decisions are looked for one by one.
const maxPods = 32

// addPodDecisions adds the decisions that let in pods of the chain of which the one that made them isn't in it yet: where
// an image has more records than were read, they are among the others.
func (t *traversal) addPodDecisions() {
	if t.subject.Type == tracedb.RefPod {
		// Whoever is refused often enough under the pod's name would else hide that it runs.
		for _, e := range t.search(newest, []tracedb.Ref{t.subject}, tracedb.KindDeployment).Entries {
			if !t.excluded[e.Seq] {
				t.entries[e.Seq] = e
			}
		}
	}
	made := map[string]bool{}
	for _, e := range t.entries {
		if uid := podUID(e); e.ID == madeBy(uid) && decides(e, uid, e.First(tracedb.RefPod)) {
			made[uid] = true
		}
	}
	left := maxPods
	for _, e := range slices.Backward(t.sorted()) {
		uid := podUID(e)
		for _, pod := range refs(tracedb.RefPod, podsOf(e)...) {
			if uid == "" || made[uid] || left == 0 {
				continue
			}
			made[uid] = true
			left--
			page := read(t, func(ctx context.Context) (tracedb.Page, error) {
				return t.reader.Search(ctx, tracedb.Query{
					Refs: []tracedb.Ref{pod}, Kinds: []tracedb.Kind{tracedb.KindAdmission}, Outcome: tracedb.Allowed, Limit: newest,
				})
			})
			for _, decision := range page.Entries {
				// Beyond the bounds too, or they would make a gap of what is in the log.
				if decides(decision, uid, pod.Value) && !t.excluded[decision.Seq] {
					t.entries[decision.Seq] = decision
				}
			}
		}
	}
}
