package why

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/druppie/druppie-up/internal/text"
	"github.com/druppie/druppie-up/tracedb"
)

// told is a record with what it says.
type told struct {
	tracedb.Entry
	said fields
}

// get is a field of the record as a line for people.
func (t told) get(name string) text.Text { return t.said.of(t.Entry, name) }

// story is what a chain's records come down to.
type story struct {
	subject    tracedb.Ref
	repository string
	algorithm  string
	image      string // that the story is about; empty when none was built
	others     []string
	tenants    []string // namespaces that something of the story was promoted to
	all        []told   // in the log's order
	// near are the things that the image's own story is about: its commit, the pull request that
	// brought it, the session that wrote it. A chain may hold the stories of several images.
	near map[tracedb.Ref]bool
}

func newStory(subject tracedb.Ref, all []told) *story {
	s := &story{subject: subject, all: slices.Clone(all)}
	slices.SortFunc(s.all, func(a, b told) int { return cmp.Compare(a.Seq, b.Seq) })
	for _, t := range s.all {
		if t.Kind == tracedb.KindPromotion {
			s.tenants = append(s.tenants, values(t.Refs, tracedb.RefNamespace)...)
		}
	}
	images := s.images()
	if len(images) == 0 {
		return s.on("")
	}
	s.others = images[1:]
	return s.on(images[0])
}

// on is the story of one image of the chain.
func (s *story) on(image string) *story {
	o := *s
	o.image, o.repository, o.algorithm = image, "", ""
	o.near = o.vicinity()
	o.repository = o.origin()
	// What asks to run may claim any id: what the register says of the story's own repository counts first.
	o.algorithm = o.value(tracedb.RefAlgorithm, tracedb.KindRegister, tracedb.KindAdmission, tracedb.KindDeployment)
	return &o
}

// origin is the repository that the image was built from. Another may make the same image, byte for byte,
// later: then it is the one asked about, or the first.
func (s *story) origin() string {
	var built []string
	for _, kind := range []tracedb.Kind{tracedb.KindProvenance, tracedb.KindImage} {
		for _, t := range s.of(kind) {
			built = append(built, values(t.Refs, tracedb.RefRepository)...)
		}
		if s.image != "" && len(built) > 0 {
			if s.subject.Type == tracedb.RefRepository && slices.Contains(built, s.subject.Value) {
				return s.subject.Value
			}
			return built[0]
		}
	}
	return s.value(tracedb.RefRepository, tracedb.KindProvenance, tracedb.KindImage, tracedb.KindRun, tracedb.KindRegister, tracedb.KindCommit)
}

// linking are the types of thing by which records without an image belong to an image's story.
var linking = []tracedb.RefType{tracedb.RefCommit, tracedb.RefRun, tracedb.RefPull, tracedb.RefSession, tracedb.RefSpec, tracedb.RefRevision}

// vicinity starts from the records about the image, and takes in what these and their like name.
func (s *story) vicinity() map[tracedb.Ref]bool {
	near := map[tracedb.Ref]bool{}
	if s.image == "" {
		return near
	}
	taken := make([]bool, len(s.all))
	for grown := true; grown; {
		grown = false
		for i, t := range s.all {
			images := values(t.Refs, tracedb.RefImage)
			if taken[i] || len(images) > 0 && !slices.Contains(images, s.image) || len(images) == 0 && !touches(near, t) {
				continue
			}
			taken[i], grown = true, true
			for _, r := range t.Refs {
				if slices.Contains(linking, r.Type) && !fleets(t.Entry, r) {
					near[r] = true
				}
			}
		}
	}
	return near
}

// touches says whether a record names one of those things. A push does only with its newest commit:
// its others may have come with an earlier one.
func touches(near map[tracedb.Ref]bool, t told) bool {
	if head := t.said["commit"]; t.Kind == tracedb.KindCommit && head != "" {
		return near[tracedb.Ref{Type: tracedb.RefCommit, Value: head}] || near[tracedb.Ref{Type: tracedb.RefRevision, Value: head}]
	}
	return slices.ContainsFunc(t.Refs, func(r tracedb.Ref) bool { return near[r] })
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

// value is what the newest record about the story's image says, kind by kind, or else what was asked
// about.
func (s *story) value(t tracedb.RefType, kinds ...tracedb.Kind) string {
	for _, k := range kinds {
		for _, r := range slices.Backward(s.of(k)) {
			if v := values(r.Refs, t); len(v) > 0 {
				return v[0]
			}
		}
	}
	if s.subject.Type == t {
		return s.subject.Value
	}
	return ""
}

// of are the records of a kind that are part of the image's story, in the log's order.
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
	if s.image == "" {
		return true
	}
	if images := values(t.Refs, tracedb.RefImage); len(images) > 0 {
		return slices.Contains(images, s.image)
	}
	switch t.Kind {
	case tracedb.KindKey:
		return true
	case tracedb.KindRegister, tracedb.KindException:
		// The entry that counts is its algorithm's, at whichever commit it was changed.
		if s.algorithm != "" {
			return slices.Contains(values(t.Refs, tracedb.RefAlgorithm), s.algorithm)
		}
		if s.repository != "" && !slices.Contains(values(t.Refs, tracedb.RefRepository), s.repository) {
			return false
		}
	case tracedb.KindAdmission, tracedb.KindDrift:
		// What names no image is told with its revision, which other services may be in.
		return touches(s.near, t) && s.named(t)
	case tracedb.KindRepair:
		// What repairs this image's incident is told with it, though another image came of it.
		if slices.ContainsFunc(s.of(tracedb.KindIncident), func(i told) bool {
			return slices.Contains(values(t.Refs, tracedb.RefRecord), strconv.FormatInt(i.Seq, 10))
		}) {
			return true
		}
	}
	return touches(s.near, t)
}

// named says whether a decision or a deviation is about the story's algorithm or about a workload with its service's
// name.
func (s *story) named(t told) bool {
	if ids := values(t.Refs, tracedb.RefAlgorithm); len(ids) > 0 {
		return slices.Contains(ids, s.algorithm)
	}
	_, workload, _ := strings.Cut(cmp.Or(t.said["resource"], t.said["object"]), "/")
	_, service, _ := strings.Cut(s.repository, "/")
	return service != "" && (workload == service || strings.HasPrefix(workload, service+"-"))
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

// pods is what was last heard of every pod that runs the image, or any image; the newest first. Where a
// service is asked about, pods that run where nothing promoted it don't count: see strays.
func (s *story) pods(image string) []told {
	return slices.DeleteFunc(s.anywhere(image), s.stray)
}

// strays are the pods that run the service where nothing promoted it.
func (s *story) strays() []told {
	return slices.DeleteFunc(s.anywhere(""), func(t told) bool { return t.Outcome != tracedb.Running || !s.stray(t) })
}

func (s *story) stray(t told) bool {
	switch s.subject.Type {
	case tracedb.RefImage, tracedb.RefPod, tracedb.RefNamespace, tracedb.RefRecord:
		return false
	}
	return !InTenants(t.Entry, s.tenants)
}

// anywhere is pods in whatever namespace.
func (s *story) anywhere(image string) []told {
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
