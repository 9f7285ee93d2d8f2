package why

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/druppie/druppie-up/internal/text"
	"github.com/druppie/druppie-up/tracedb"
)

// record is an entry with what its payload says.
type record struct {
	tracedb.Entry
	fields fields
	// unconfirmed is a refusal of which nobody but the gatekeeper says that the cluster was asked.
	unconfirmed bool
}

// get is a field of the record as a line for people; {when} is the time at which it happened.
func (r record) get(name string) text.Text {
	if name == "when" {
		return text.Same(formatTime(r.At))
	}
	return r.fields.of(r.Entry, name)
}

// has says whether the record is about anything of that type.
func (r record) has(t tracedb.RefType) bool { return r.First(t) != "" }

// history is what a chain's records say about one image: how it was made, and what became of it.
type history struct {
	subject    tracedb.Ref
	repository string
	algorithm  string
	image      string   // empty when none was built
	others     []string // images of the chain
	tenants    []string // namespaces that anything of the chain was promoted to
	all        []record // in the log's order
	// related are the refs of the image's own history: its commit, the pull request that brought it, the
	// session that wrote it. A chain may hold the histories of several images.
	related map[tracedb.Ref]bool
}

func newHistory(subject tracedb.Ref, all []record) *history {
	h := &history{subject: subject, all: slices.Clone(all)}
	slices.SortFunc(h.all, func(a, b record) int { return cmp.Compare(a.Seq, b.Seq) })
	for i, r := range h.all {
		h.all[i].unconfirmed = isRefusal(r) && !confirmed(r, h.all)
		if r.Kind == tracedb.KindPromotion {
			h.tenants = append(h.tenants, r.Values(tracedb.RefNamespace)...)
		}
	}
	images := h.images()
	if len(images) == 0 {
		return h.of("")
	}
	h.others = images[1:]
	return h.of(images[0])
}

// of is the history of one image of the chain.
func (h *history) of(image string) *history {
	o := *h
	o.image, o.repository, o.algorithm = image, "", ""
	o.related = o.relatedRefs()
	o.repository = o.origin()
	// What asks to run may claim any id: what the register says of the image's own repository counts first.
	o.algorithm = o.value(tracedb.RefAlgorithm, tracedb.KindRegister, tracedb.KindAdmission, tracedb.KindDeployment)
	return &o
}

// origin is the repository that the image was built from. Another may make the same image, byte for byte,
// later: then it is the one asked about, or the first.
func (h *history) origin() string {
	if built := h.valuesOf(tracedb.RefRepository, tracedb.KindProvenance, tracedb.KindImage); h.image != "" && len(built) > 0 {
		if h.subject.Type == tracedb.RefRepository && slices.Contains(built, h.subject.Value) {
			return h.subject.Value
		}
		return built[0]
	}
	return h.value(tracedb.RefRepository, tracedb.KindProvenance, tracedb.KindImage, tracedb.KindRun, tracedb.KindRegister, tracedb.KindCommit)
}

// valuesOf are the values that refs of the records of the first of those kinds have that has any.
func (h *history) valuesOf(t tracedb.RefType, kinds ...tracedb.Kind) []string {
	for _, kind := range kinds {
		var out []string
		for _, r := range h.ofKind(kind) {
			out = append(out, r.Values(t)...)
		}
		if len(out) > 0 {
			return out
		}
	}
	return nil
}

// relatingTypes are the types of ref by which records without an image belong to an image's history.
var relatingTypes = []tracedb.RefType{
	tracedb.RefCommit, tracedb.RefRun, tracedb.RefPull, tracedb.RefSession, tracedb.RefSpec, tracedb.RefRevision,
}

// relatedRefs starts from the records about the image, and adds what these name, and what records about that
// name in turn.
func (h *history) relatedRefs() map[tracedb.Ref]bool {
	related := map[tracedb.Ref]bool{}
	if h.image == "" {
		return related
	}
	added := make([]bool, len(h.all))
	for grown := true; grown; {
		grown = false
		for i, r := range h.all {
			if added[i] || r.has(tracedb.RefImage) && !hasRef(r.Entry, tracedb.RefImage, h.image) || !r.has(tracedb.RefImage) && !mentions(related, r) {
				continue
			}
			added[i], grown = true, true
			for _, ref := range r.Refs {
				if slices.Contains(relatingTypes, ref.Type) && !isFleetCommit(r.Entry, ref) {
					related[ref] = true
				}
			}
		}
	}
	return related
}

// mentions says whether a record names one of those refs. A push does only with its newest commit: its others
// may have come with an earlier one.
func mentions(related map[tracedb.Ref]bool, r record) bool {
	if head := r.fields["commit"]; r.Kind == tracedb.KindCommit && head != "" {
		return related[tracedb.Ref{Type: tracedb.RefCommit, Value: head}] || related[tracedb.Ref{Type: tracedb.RefRevision, Value: head}]
	}
	return slices.ContainsFunc(r.Refs, func(ref tracedb.Ref) bool { return related[ref] })
}

// images are those of the chain: the one asked about, or those of the pod asked about, and then those that
// run, the newest first, and those that were built or brought.
func (h *history) images() []string {
	if h.subject.Type == tracedb.RefImage {
		return []string{h.subject.Value}
	}
	var out []string
	if h.subject.Type == tracedb.RefPod {
		out = h.imagesOfPod()
	}
	for _, r := range h.pods("") {
		if r.Outcome == tracedb.Running {
			out = append(out, r.Values(tracedb.RefImage)...)
		}
	}
	for _, r := range slices.Backward(h.all) {
		switch r.Kind {
		case tracedb.KindAdmission, tracedb.KindDeployment, tracedb.KindPromotion, tracedb.KindProvenance, tracedb.KindImage:
			out = append(out, r.Values(tracedb.RefImage)...)
		}
	}
	return firsts(out, len(out))
}

// imagesOfPod are those that the pod asked about ran, and then those that it was let in with, and refused: anybody
// may ask for a debug container of another image in it.
func (h *history) imagesOfPod() []string {
	var ran, letIn, refused []string
	for _, r := range slices.Backward(h.all) {
		if !slices.Contains(r.Refs, h.subject) {
			continue
		}
		switch images := r.Values(tracedb.RefImage); {
		case len(podsOf(r.Entry)) > 0:
			ran = append(ran, images...)
		case r.Kind == tracedb.KindAdmission && r.Outcome == tracedb.Allowed:
			letIn = append(letIn, images...)
		case r.Kind == tracedb.KindAdmission:
			refused = append(refused, images...)
		}
	}
	return slices.Concat(ran, letIn, refused)
}

// value is what the newest record about the image says, kind by kind, or else what was asked about.
func (h *history) value(t tracedb.RefType, kinds ...tracedb.Kind) string {
	for _, kind := range kinds {
		for _, r := range slices.Backward(h.ofKind(kind)) {
			if v := r.First(t); v != "" {
				return v
			}
		}
	}
	if h.subject.Type == t {
		return h.subject.Value
	}
	return ""
}

// ofKind are the records of a kind that are part of the image's history, in the log's order.
func (h *history) ofKind(kind tracedb.Kind) []record {
	var out []record
	for _, r := range h.all {
		if r.Kind == kind && h.about(r) {
			out = append(out, r)
		}
	}
	return out
}

func (h *history) about(r record) bool {
	if h.image == "" {
		return true
	}
	if r.has(tracedb.RefImage) {
		return hasRef(r.Entry, tracedb.RefImage, h.image)
	}
	switch r.Kind {
	case tracedb.KindKey:
		return true
	case tracedb.KindRegister, tracedb.KindException:
		// The entry that counts is its algorithm's, at whichever commit it was changed.
		if h.algorithm != "" {
			return hasRef(r.Entry, tracedb.RefAlgorithm, h.algorithm)
		}
		if h.repository != "" && !hasRef(r.Entry, tracedb.RefRepository, h.repository) {
			return false
		}
	case tracedb.KindAdmission, tracedb.KindDrift:
		// What names no image names a revision, which other services may be in.
		return mentions(h.related, r) && h.named(r)
	case tracedb.KindRequest:
		// What was asked of a pod that ran the image.
		return slices.ContainsFunc(h.allPods(h.image), func(pod record) bool {
			return r.has(tracedb.RefPod) && pod.First(tracedb.RefPod) == r.First(tracedb.RefPod)
		})
	case tracedb.KindRepair:
		// A repair belongs to this image's incident, though another image came of it.
		if slices.ContainsFunc(h.ofKind(tracedb.KindIncident), func(i record) bool {
			return hasRef(r.Entry, tracedb.RefRecord, strconv.FormatInt(i.Seq, 10))
		}) {
			return true
		}
	}
	return mentions(h.related, r)
}

// named says whether a decision or a deviation is about the image's algorithm, or about a workload with its
// service's name.
func (h *history) named(r record) bool {
	if r.has(tracedb.RefAlgorithm) {
		return hasRef(r.Entry, tracedb.RefAlgorithm, h.algorithm)
	}
	_, service, _ := strings.Cut(h.repository, "/")
	return service != "" && (workload(r) == service || strings.HasPrefix(workload(r), service+"-"))
}

// last is the newest record of a kind, with that outcome if one is given.
func (h *history) last(kind tracedb.Kind, outcomes ...tracedb.Outcome) (record, bool) {
	for _, r := range slices.Backward(h.ofKind(kind)) {
		if len(outcomes) == 0 || slices.Contains(outcomes, r.Outcome) {
			return r, true
		}
	}
	return record{}, false
}

// inFleet tells what happened in the fleet's repository from what happened in the service's.
func inFleet(r record) bool { return step(r.Entry) == stepPull }

// code are the records of a kind that are about the service's own repository.
func (h *history) code(kind tracedb.Kind) []record {
	return slices.DeleteFunc(h.ofKind(kind), inFleet)
}

// pods are the newest records of every pod that runs the image, or any image; the newest first. Where a
// service is asked about, pods that run where nothing promoted it don't count: see podsOutside.
func (h *history) pods(image string) []record {
	return slices.DeleteFunc(h.allPods(image), h.outside)
}

// podsOutside are the pods that run the service where nothing promoted it.
func (h *history) podsOutside() []record {
	return slices.DeleteFunc(h.allPods(""), func(r record) bool { return r.Outcome != tracedb.Running || !h.outside(r) })
}

// outside says whether a pod is in a namespace that isn't a tenant of the service.
func (h *history) outside(r record) bool {
	switch h.subject.Type {
	case tracedb.RefImage, tracedb.RefPod, tracedb.RefNamespace, tracedb.RefRecord:
		return false
	}
	return !InTenants(r.Entry, h.tenants)
}

// allPods is pods in whatever namespace.
func (h *history) allPods(image string) []record {
	var out []record
	seen := map[string]bool{}
	for _, r := range slices.Backward(h.all) {
		if r.Kind != tracedb.KindDeployment || r.Outcome != tracedb.Running && r.Outcome != tracedb.Gone {
			continue
		}
		name := cmp.Or(r.First(tracedb.RefPod), r.get("object").EN)
		if !seen[name] && (image == "" || hasRef(r.Entry, tracedb.RefImage, image)) {
			out = append(out, r)
		}
		seen[name] = true
	}
	return out
}
