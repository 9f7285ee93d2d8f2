package why

import (
	"cmp"
	"slices"

	"github.com/druppie/druppie-up/tracedb"
)

// told is a record with what it says.
type told struct {
	tracedb.Entry
	said fields
}

// get is a field of the record as a line for people.
func (t told) get(name string) text { return t.said.of(t.Entry, name) }

// story is what a chain's records come down to.
type story struct {
	subject    tracedb.Ref
	repository string
	algorithm  string
	image      string // that the story is about; empty when none was built
	others     []string
	all        []told // in the log's order
}

func newStory(subject tracedb.Ref, all []told) *story {
	s := &story{subject: subject, all: slices.Clone(all)}
	slices.SortFunc(s.all, func(a, b told) int { return cmp.Compare(a.Seq, b.Seq) })
	images := s.images()
	if len(images) > 0 {
		s.image, s.others = images[0], images[1:]
	}
	s.repository = s.value(tracedb.RefRepository, tracedb.KindProvenance, tracedb.KindRegister, tracedb.KindImage, tracedb.KindRun, tracedb.KindCommit)
	s.algorithm = s.value(tracedb.RefAlgorithm, tracedb.KindRegister, tracedb.KindAdmission, tracedb.KindDeployment)
	return s
}

// images are those of the story: the one asked about, or those that run, the newest first, and then
// those that were built or brought.
func (s *story) images() []string {
	if s.subject.Type == tracedb.RefImage {
		return []string{s.subject.Value}
	}
	var out []string
	for _, t := range s.pods("") {
		if t.Outcome == tracedb.Running {
			out = append(out, values(t.Refs, tracedb.RefImage)...)
		}
	}
	for _, t := range slices.Backward(s.all) {
		switch t.Kind {
		case tracedb.KindAdmission, tracedb.KindDeployment, tracedb.KindPromotion, tracedb.KindProvenance, tracedb.KindImage:
			out = append(out, values(t.Refs, tracedb.RefImage)...)
		}
	}
	return firsts(out, len(out))
}

// value is what the story's subject is, or what the newest record about the story's image says, kind
// by kind: what the foundry proved before what a workload claims.
func (s *story) value(t tracedb.RefType, kinds ...tracedb.Kind) string {
	if s.subject.Type == t {
		return s.subject.Value
	}
	for _, k := range kinds {
		for _, r := range slices.Backward(s.of(k)) {
			if v := values(r.Refs, t); len(v) > 0 {
				return v[0]
			}
		}
	}
	return ""
}

// of are the records of a kind that are about the story's image, or about no image at all, in the
// log's order.
func (s *story) of(kind tracedb.Kind) []told {
	var out []told
	for _, t := range s.all {
		if t.Kind == kind && s.about(t) {
			out = append(out, t)
		}
	}
	return out
}

func (s *story) about(t told) bool {
	images := values(t.Refs, tracedb.RefImage)
	return len(images) == 0 || s.image == "" || slices.Contains(images, s.image)
}

// last is the newest of them, with one of those outcomes if there are any.
func (s *story) last(kind tracedb.Kind, outcomes ...tracedb.Outcome) (told, bool) {
	for _, t := range slices.Backward(s.of(kind)) {
		if len(outcomes) == 0 || slices.Contains(outcomes, t.Outcome) {
			return t, true
		}
	}
	return told{}, false
}

// inFleet tells what happened in the fleet's repository from what happened in the service's.
func inFleet(t told) bool { return step(t.Entry) == stepPull }

// code are the records of a kind that are about the service's own repository.
func (s *story) code(kind tracedb.Kind) []told {
	return slices.DeleteFunc(s.of(kind), inFleet)
}

// approvals are the reviews that approve, by others than whoever wrote what they judged.
func (s *story) approvals() []told {
	return slices.DeleteFunc(s.code(tracedb.KindReview), func(t told) bool {
		return t.Outcome != tracedb.Approved || t.get("author").EN != "" && t.get("author").EN == t.get("reviewer").EN
	})
}

// pods is what was last heard of every pod that runs the image, or any image; the newest first.
func (s *story) pods(image string) []told {
	var out []told
	seen := map[string]bool{}
	for _, t := range slices.Backward(s.all) {
		if t.Kind != tracedb.KindDeployment || t.Outcome != tracedb.Running && t.Outcome != tracedb.Gone {
			continue
		}
		name := t.get("object").EN
		if pods := values(t.Refs, tracedb.RefPod); len(pods) > 0 {
			name = pods[0]
		}
		if seen[name] {
			continue
		}
		seen[name] = true
		if image == "" || slices.Contains(values(t.Refs, tracedb.RefImage), image) {
			out = append(out, t)
		}
	}
	return out
}
