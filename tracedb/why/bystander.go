package why

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/druppie/druppie-up/tracedb"
)

// service is what tells records of a service from those of others that share something with it: its
// image, its commit, its revision of the fleet.
type service struct {
	repository string
	algorithm  string
	tenants    []string // namespaces that it was promoted to; empty where the log knows of none
	workloads  []string // names under which it is run
}

// dryRunWindow is how far apart an Event of Kyverno and another record of the same request may be. The
// collector takes Events of the same refusal together for as long.
const dryRunWindow = 10 * time.Minute

// built are the kinds that say of a commit or an image what was done with it in one repository.
var built = []tracedb.Kind{
	tracedb.KindSession, tracedb.KindCommit, tracedb.KindReview, tracedb.KindMerge, tracedb.KindRun, tracedb.KindProvenance, tracedb.KindTestResult,
	tracedb.KindVulns, tracedb.KindSARIF, tracedb.KindSBOM, tracedb.KindVerdict, tracedb.KindImage, tracedb.KindPromotion,
}

// bystanders are the records that have an image, a commit or a revision in common with the services of
// the story, and are about something else: what was done in another repository with the same commit or
// image, and what was asked of the cluster for another service, in a namespace that the service was never
// promoted to, or as a dry run. Asked about a single record, a namespace or a key, everything about it is
// the answer.
func (w *walk) bystanders(ctx context.Context) (map[int64]bool, error) {
	switch w.subject.Type {
	case tracedb.RefRecord, tracedb.RefNamespace, tracedb.RefKey:
		return nil, nil
	}
	all := make([]told, 0, len(w.entries))
	for _, e := range w.sorted() {
		all = append(all, told{e, said(e, w.bodies[e.Seq].raw)})
	}
	chain := newStory(w.subject, all)
	services := map[string]service{} // by image
	for image := range w.images {
		one := chain.on(image)
		tenants, err := w.tenants(ctx, one.repository)
		if err != nil {
			return nil, err
		}
		if w.subject.Type == tracedb.RefPod && len(tenants) > 0 {
			namespace, _, _ := strings.Cut(w.subject.Value, "/")
			tenants = append(slices.Clone(tenants), namespace)
		}
		services[image] = service{one.repository, one.algorithm, tenants, one.workloads(tenants)}
	}
	out := map[int64]bool{}
	for _, t := range all {
		var candidates []service // that the record may be about
		images := values(t.Refs, tracedb.RefImage)
		for image, s := range services {
			if len(images) == 0 || slices.Contains(images, image) {
				candidates = append(candidates, s)
			}
		}
		if len(candidates) > 0 && !slices.ContainsFunc(candidates, func(s service) bool { return s.owns(t, w.subject, all) }) {
			out[t.Seq] = true
		}
	}
	return out, nil
}

// decisions adds what was last decided about images with more records than were looked at, in the tenants
// of their service: others may ask for the same image without end.
func (w *walk) decisions(ctx context.Context) error {
	for _, image := range w.cut {
		var repositories []string
		for _, e := range w.sorted() {
			if e.Kind == tracedb.KindProvenance && slices.Contains(e.Refs, image) {
				repositories = append(repositories, values(e.Refs, tracedb.RefRepository)...)
			}
		}
		for _, repository := range firsts(repositories, 1) {
			tenants, err := w.tenants(ctx, repository)
			if err != nil {
				return err
			}
			for _, tenant := range firsts(tenants, maxFan) {
				page, err := w.Search(ctx, tracedb.Query{
					Refs:  []tracedb.Ref{image, {Type: tracedb.RefNamespace, Value: tenant}},
					Kinds: []tracedb.Kind{tracedb.KindAdmission, tracedb.KindPromotion}, Limit: newest,
				})
				if err != nil {
					return err
				}
				for _, e := range page.Entries {
					w.add(e)
				}
			}
		}
	}
	return nil
}

// tenants are the namespaces that a repository's images were promoted to.
func (w *walk) tenants(ctx context.Context, repository string) ([]string, error) {
	if repository == "" {
		return nil, nil
	}
	if known, ok := w.promoted[repository]; ok {
		return known, nil
	}
	tenants, err := Tenants(ctx, w.Reader, repository)
	w.promoted[repository] = tenants
	return tenants, err
}

// Tenants are the namespaces that the images of a repository were promoted to lately.
func Tenants(ctx context.Context, r tracedb.Reader, repository string) ([]string, error) {
	page, err := r.Search(ctx, tracedb.Query{
		Refs: []tracedb.Ref{{Type: tracedb.RefRepository, Value: repository}}, Kinds: []tracedb.Kind{tracedb.KindPromotion}, Limit: newest,
	})
	var out []string
	for _, e := range page.Entries {
		out = append(out, values(e.Refs, tracedb.RefNamespace)...)
	}
	return firsts(out, len(out)), err
}

// workloads are the names under which a service is run: its repository's, and those for which the
// register was asked about its id in its tenants.
func (s *story) workloads(tenants []string) []string {
	var out []string
	if _, name, ok := strings.Cut(s.repository, "/"); ok {
		out = append(out, name)
	}
	for _, t := range s.all {
		_, name, ok := strings.Cut(t.said["resource"], "/")
		if ok && name != "" && s.algorithm != "" && slices.Contains(values(t.Refs, tracedb.RefAlgorithm), s.algorithm) && InTenants(t.Entry, tenants) {
			out = append(out, name)
		}
	}
	return firsts(out, len(out))
}

// InTenants says whether a record is about one of those namespaces, or about none. Where there are no
// tenants it is not known which namespaces aren't the service's, and every record is in one.
func InTenants(e tracedb.Entry, tenants []string) bool {
	namespaces := values(e.Refs, tracedb.RefNamespace)
	return len(tenants) == 0 || len(namespaces) == 0 || overlap(namespaces, tenants)
}

// owns says whether a record is about the service. Where no repository is known there is no service, and
// everything about the image is its story.
func (s service) owns(t told, subject tracedb.Ref, all []told) bool {
	if s.repository == "" {
		return true
	}
	switch t.Kind {
	case tracedb.KindAdmission:
		return InTenants(t.Entry, s.tenants) && s.asked(t, subject, all)
	case tracedb.KindDrift:
		return InTenants(t.Entry, s.tenants) && (len(values(t.Refs, tracedb.RefImage)) > 0 || subject.Type == tracedb.RefRevision || s.named(t))
	case tracedb.KindIncident:
		return InTenants(t.Entry, s.tenants) && s.claimed(t)
	case tracedb.KindDeployment:
		// A pod of the service that runs where nothing promoted it is told, as just that.
		return len(values(t.Refs, tracedb.RefPod)) > 0 || InTenants(t.Entry, s.tenants)
	}
	repositories := values(t.Refs, tracedb.RefRepository)
	return !slices.Contains(built, t.Kind) || !ofOne(subject) || len(repositories) == 0 || slices.Contains(repositories, s.repository) ||
		t.Kind != tracedb.KindPromotion && inFleet(t)
}

// ofOne says whether a subject is of one repository alone: a commit may be in several, and a spec or a
// session may have led to several.
func ofOne(subject tracedb.Ref) bool {
	return slices.Contains([]tracedb.RefType{tracedb.RefRepository, tracedb.RefAlgorithm, tracedb.RefImage, tracedb.RefPod}, subject.Type)
}

// asked says whether an admission was asked for the service.
func (s service) asked(t told, subject tracedb.Ref, all []told) bool {
	if len(values(t.Refs, tracedb.RefAlgorithm)) > 0 {
		return s.claimed(t) // by the register's question, which no dry run leaves a record of
	}
	if subject.Type == tracedb.RefRevision {
		return true
	}
	if len(values(t.Refs, tracedb.RefRevision)) > 0 && len(values(t.Refs, tracedb.RefImage)) > 0 {
		return true // by Flux, for what the fleet says
	}
	return s.named(t) && (!fromEvent(t) || confirmed(t, all))
}

// claimed says whether a record names the service's algorithm, or none.
func (s service) claimed(t told) bool {
	ids := values(t.Refs, tracedb.RefAlgorithm)
	return len(ids) == 0 || s.algorithm == "" || slices.Contains(ids, s.algorithm)
}

// named says whether a record is about a workload with one of the service's names. What names no
// workload, as a record whose payload is gone, may be.
func (s service) named(t told) bool {
	workload := workload(t)
	return workload == "" || len(s.workloads) == 0 || slices.ContainsFunc(s.workloads, func(name string) bool {
		return workload == name || strings.HasPrefix(workload, name+"-")
	})
}

func workload(t told) string {
	_, name, _ := strings.Cut(cmp.Or(t.said["resource"], t.said["object"]), "/")
	return name
}

// fromEvent says whether a refusal is known from an Event of Kyverno, which doesn't say whether it was
// a dry run.
func fromEvent(t told) bool {
	return t.Writer == collectors+"kyverno" && !strings.HasPrefix(t.ID, "kyverno/event/")
}

// confirmed says whether another record shows that what an Event tells of wasn't only tried: Flux said
// so, or the register was asked, which records no dry run.
func confirmed(event told, all []told) bool {
	return slices.ContainsFunc(all, func(t told) bool {
		return t.Kind == tracedb.KindAdmission && !fromEvent(t) && workload(t) == workload(event) &&
			overlap(values(t.Refs, tracedb.RefNamespace), values(event.Refs, tracedb.RefNamespace)) &&
			t.At.Sub(event.At).Abs() <= dryRunWindow
	})
}
