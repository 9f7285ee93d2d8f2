package why

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/druppie/druppie-up/internal/names"
	"github.com/druppie/druppie-up/tracedb"
)

// service is what tells records of a service from those of others that have its image, its commit or its
// revision of the fleet in common with it.
type service struct {
	repository string
	algorithm  string
	tenants    []string // namespaces that it was promoted to; empty where the log knows of none
	workloads  []string // names under which it is run
}

// requestWindow is how far apart two records of the same request may be. Collectors take the same refusal together for as
// long.
const requestWindow = 10 * time.Minute

// repositoryKinds say of a commit or an image what was done with it in one repository.
var repositoryKinds = []tracedb.Kind{
	tracedb.KindSession, tracedb.KindCommit, tracedb.KindReview, tracedb.KindMerge, tracedb.KindRun, tracedb.KindProvenance, tracedb.KindTestResult,
	tracedb.KindVulns, tracedb.KindSARIF, tracedb.KindSBOM, tracedb.KindVerdict, tracedb.KindImage, tracedb.KindPromotion,
}

// unrelated are the records that have an image, a commit or a revision in common with the services of the
// chain, and are about something else: what was done in another repository with the same commit or image, and
// what was asked of the cluster for another service, in a namespace that the service was never promoted to, or
// as a dry run. Asked about a single record, a namespace or a key, everything about it is the answer, and asked
// about a pod, what was recorded of that very pod.
func (t *traversal) unrelated() map[int64]bool {
	switch t.subject.Type {
	case tracedb.RefRecord, tracedb.RefNamespace, tracedb.RefKey:
		return nil
	}
	var all []record
	for _, e := range t.sorted() {
		all = append(all, record{Entry: e, fields: fieldsOf(e, t.payloads[e.Seq])})
	}
	chain := newHistory(t.subject, all)
	services := map[string]service{} // by image
	for image := range t.images {
		h := chain.of(image)
		tenants := t.tenants(h.repository)
		if t.subject.Type == tracedb.RefPod && len(tenants) > 0 {
			namespace, _, _ := strings.Cut(t.subject.Value, "/")
			tenants = append(slices.Clone(tenants), namespace)
		}
		services[image] = service{h.repository, h.algorithm, tenants, h.workloads(tenants)}
	}
	out := map[int64]bool{}
	for _, r := range all {
		if t.subject.Type == tracedb.RefPod && slices.Contains(r.Refs, t.subject) {
			continue
		}
		var candidates []service // that the record may be about
		images := r.Values(tracedb.RefImage)
		for image, s := range services {
			if len(images) == 0 || slices.Contains(images, image) {
				candidates = append(candidates, s)
			}
		}
		if len(candidates) > 0 && !slices.ContainsFunc(candidates, func(s service) bool { return s.owns(r, t.subject, all) }) {
			out[r.Seq] = true
		}
	}
	return out
}

// addDecisions adds the newest decisions about images with more records than were read, in the tenants of
// their service: others may ask for the same image without end.
func (t *traversal) addDecisions() {
	for _, image := range t.cut {
		var repositories []string
		for _, e := range t.sorted() {
			if e.Kind == tracedb.KindProvenance && slices.Contains(e.Refs, image) {
				repositories = append(repositories, e.Values(tracedb.RefRepository)...)
			}
		}
		for _, repository := range firsts(repositories, 1) {
			for _, tenant := range refs(tracedb.RefNamespace, firsts(t.tenants(repository), maxFanOut)...) {
				page := t.search(newest, []tracedb.Ref{image, tenant}, tracedb.KindAdmission, tracedb.KindPromotion)
				for _, e := range page.Entries {
					t.add(e)
				}
			}
		}
	}
}

// tenants are the namespaces that a repository's images were promoted to.
func (t *traversal) tenants(repository string) []string {
	if _, ok := t.tenantsOf[repository]; !ok && repository != "" {
		t.tenantsOf[repository] = read(t, func(ctx context.Context) ([]string, error) { return Tenants(ctx, t.reader, repository) })
	}
	return t.tenantsOf[repository]
}

// Tenants are the namespaces that the images of a repository were promoted to lately.
func Tenants(ctx context.Context, r tracedb.Reader, repository string) ([]string, error) {
	page, err := r.Search(ctx, tracedb.Query{
		Refs: refs(tracedb.RefRepository, repository), Kinds: []tracedb.Kind{tracedb.KindPromotion}, Limit: newest,
	})
	var out []string
	for _, e := range page.Entries {
		out = append(out, e.Values(tracedb.RefNamespace)...)
	}
	return firsts(out, len(out)), err
}

// workloads are the names under which a service is run: its repository's, and those for which the
// register was asked about its id in its tenants.
func (h *history) workloads(tenants []string) []string {
	var out []string
	if _, name, ok := strings.Cut(h.repository, "/"); ok {
		out = append(out, name)
	}
	for _, r := range h.all {
		_, name, ok := strings.Cut(r.fields["resource"], "/")
		if ok && name != "" && h.algorithm != "" && hasRef(r.Entry, tracedb.RefAlgorithm, h.algorithm) && InTenants(r.Entry, tenants) {
			out = append(out, name)
		}
	}
	return firsts(out, len(out))
}

// InTenants says whether a record is about one of those namespaces, or about none. Where there are no
// tenants it is not known which namespaces aren't the service's, and every record is in one.
func InTenants(e tracedb.Entry, tenants []string) bool {
	namespaces := e.Values(tracedb.RefNamespace)
	return len(tenants) == 0 || len(namespaces) == 0 || overlap(namespaces, tenants)
}

// owns says whether a record is about the service. Where no repository is known there is no service, and
// everything about the image belongs to its chain.
func (s service) owns(r record, subject tracedb.Ref, all []record) bool {
	if s.repository == "" {
		return true
	}
	switch r.Kind {
	case tracedb.KindAdmission:
		return InTenants(r.Entry, s.tenants) && s.requested(r, subject, all)
	case tracedb.KindDrift:
		return InTenants(r.Entry, s.tenants) && (r.has(tracedb.RefImage) || subject.Type == tracedb.RefRevision || s.named(r))
	case tracedb.KindIncident:
		return InTenants(r.Entry, s.tenants) && s.claimed(r)
	case tracedb.KindDeployment:
		// A pod of the service that runs where nothing promoted it is shown, as just that.
		return r.has(tracedb.RefPod) || InTenants(r.Entry, s.tenants)
	}
	// A commit may be in several repositories, and a spec or a session may have led to several.
	oneRepository := slices.Contains([]tracedb.RefType{tracedb.RefRepository, tracedb.RefAlgorithm, tracedb.RefImage, tracedb.RefPod}, subject.Type)
	return !slices.Contains(repositoryKinds, r.Kind) || !oneRepository || !r.has(tracedb.RefRepository) ||
		hasRef(r.Entry, tracedb.RefRepository, s.repository) || r.Kind != tracedb.KindPromotion && inFleet(r)
}

// requested says whether an admission was requested for the service.
func (s service) requested(r record, subject tracedb.Ref, all []record) bool {
	if r.has(tracedb.RefAlgorithm) {
		return s.claimed(r) // by the register's question, which no dry run leaves a record of
	}
	if subject.Type == tracedb.RefRevision {
		return true
	}
	if r.has(tracedb.RefRevision) && r.has(tracedb.RefImage) {
		return true // by Flux, for what the fleet says
	}
	return s.named(r) && (!fromEvent(r) || confirmsEvent(r, all))
}

// claimed says whether a record names the service's algorithm, or none.
func (s service) claimed(r record) bool {
	return !r.has(tracedb.RefAlgorithm) || s.algorithm == "" || hasRef(r.Entry, tracedb.RefAlgorithm, s.algorithm)
}

// named says whether a record is about a workload with one of the service's names. What names no
// workload, as a record whose payload is gone, may be.
func (s service) named(r record) bool {
	workload := workload(r)
	return workload == "" || len(s.workloads) == 0 || slices.ContainsFunc(s.workloads, func(name string) bool {
		return workload == name || strings.HasPrefix(workload, name+"-")
	})
}

func workload(r record) string {
	_, name, _ := strings.Cut(cmp.Or(r.fields["resource"], r.fields["object"]), "/")
	return name
}

// fromEvent says whether a refusal is known from an Event of Kyverno, which earlier versions read, and which doesn't say
// whether it was a dry run.
func fromEvent(r record) bool {
	return r.Writer == collectors+"kyverno" && !strings.HasPrefix(r.ID, "kyverno/event/")
}

func isRefusal(r record) bool { return r.Kind == tracedb.KindAdmission && r.Outcome == tracedb.Denied }

// confirmed says whether the cluster was asked for what was refused: the API server's audit log says so, or Flux's status.
// The gatekeeper alone says what it was told, by whomever.
func confirmed(refusal record, all []record) bool {
	return slices.ContainsFunc(all, func(r record) bool {
		return isRefusal(r) && slices.Contains(confirming, r.Writer) && (r.Seq == refusal.Seq || sameRequest(refusal, r))
	})
}

// confirming write what the cluster itself says of refusals. Kyverno's Events did so for earlier versions, which record
// none any more.
var confirming = []string{names.AuditAccount, collectors + "flux", collectors + "kyverno"}

// confirmsEvent says whether another record shows that an Event isn't of a dry run: Flux said so, or the register was
// asked, which records no dry run.
func confirmsEvent(event record, all []record) bool {
	return slices.ContainsFunc(all, func(r record) bool {
		return r.Kind == tracedb.KindAdmission && !fromEvent(r) && sameRequest(event, r)
	})
}

// sameRequest says whether two records may be of one request. Who makes pods for others has no name for them yet when it
// asks: its own is what theirs begin with.
func sameRequest(a, b record) bool {
	return overlap(a.Values(tracedb.RefNamespace), b.Values(tracedb.RefNamespace)) && a.At.Sub(b.At).Abs() <= requestWindow &&
		(workload(a) == workload(b) || strings.HasPrefix(workload(a), workload(b)+"-"))
}
