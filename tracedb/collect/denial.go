package collect

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/druppie/druppie-up/tracedb"
)

// denial is what an admission webhook denied, as the requester passes it on.
type denial struct {
	webhook   string
	kind      string // of what was refused; empty if unknown
	namespace string
	name      string
	policies  []refusal
	user      string   // who asked; empty if unknown
	images    []string // digests that were asked for, beside those that the reason names
	algorithm string
}

// refusal is one policy's.
type refusal struct{ policy, reason string }

var (
	// deniedBy is how the API server words a webhook's denial (k8s.io/apiserver, admission/plugin/webhook/
	// errors, ToStatusErr), with what Flux puts before it (fluxcd/pkg/ssa, DryRunErr and "apply failed").
	deniedBy = regexp.MustCompile(`(?s)^(?:(\S+) (?:dry-run|apply) failed(?: \([^)\n]*\))?: )?admission webhook "([^"\n]+)" denied the request(.*)$`)
	// policySaid is how Kyverno words a policy's denial (pkg/webhooks/resource/vpol and ivpol); several are
	// joined by semicolons.
	policySaid = regexp.MustCompile(`(?:^|; )Policy (\S+) (?:failed|error): `)
	// changed is a line of what Flux did to one object (fluxcd/pkg/ssa, ChangeSetEntry).
	changed = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9]*)/(?:([^/\s]+)/)?([^/\s]+) (created|configured|deleted)$`)
)

// parseDenial reads a refusal out of a message; false where there is none. That a webhook didn't answer
// is no refusal by a policy, and isn't read as one.
func parseDenial(message string) (denial, bool) {
	m := deniedBy.FindStringSubmatch(message)
	if m == nil {
		return denial{}, false
	}
	d := denial{webhook: m[2]}
	d.kind, d.namespace, d.name = splitObject(m[1])
	rest := strings.TrimPrefix(strings.TrimPrefix(m[3], ":"), " ")
	// Flux adds what it had done before it was refused, a line for each object.
	lines := strings.Split(strings.TrimRight(rest, "\n"), "\n")
	for len(lines) > 1 && (changed.MatchString(lines[len(lines)-1]) || strings.TrimSpace(lines[len(lines)-1]) == "") {
		lines = lines[:len(lines)-1]
	}
	d.policies = parsePolicies(strings.TrimSpace(strings.Join(lines, "\n")))
	if len(d.policies) == 0 {
		d.policies = []refusal{{policy: d.webhook, reason: unexplained}}
	}
	// What no policy says, the webhook says; only the first can be such.
	if d.policies[0].policy == "" {
		d.policies[0].policy = d.webhook
		if i := slices.IndexFunc(d.policies[1:], func(r refusal) bool { return r.policy == d.webhook }); i >= 0 {
			d.policies[0].reason += "; " + d.policies[i+1].reason
			d.policies = slices.Delete(d.policies, i+1, i+2)
		}
	}
	return d, true
}

// parsePolicies reads which policies gave which reason, each policy once. Text before the first name belongs
// to no policy.
func parsePolicies(text string) []refusal {
	if text == "" || text == unexplained {
		return nil
	}
	at := policySaid.FindAllStringSubmatchIndex(text, -1)
	if len(at) == 0 {
		return []refusal{{reason: text}}
	}
	var out []refusal
	if before := strings.TrimSpace(text[:at[0][0]]); before != "" {
		out = append(out, refusal{reason: before})
	}
	for i, m := range at {
		end := len(text)
		if i+1 < len(at) {
			end = at[i+1][0]
		}
		policy, reason := text[m[2]:m[3]], strings.TrimSpace(text[m[1]:end])
		if j := slices.IndexFunc(out, func(r refusal) bool { return r.policy == policy }); j >= 0 {
			out[j].reason += "; " + reason
			continue
		}
		out = append(out, refusal{policy, reason})
	}
	return out
}

// splitObject reads kind/namespace/name, or kind/name where there is no namespace.
func splitObject(s string) (kind, namespace, name string) {
	parts := strings.Split(s, "/")
	switch len(parts) {
	case 2:
		return parts[0], "", parts[1]
	case 3:
		return parts[0], parts[1], parts[2]
	}
	return "", "", ""
}

func object(kind, name string) string {
	if kind == "" {
		return name
	}
	return kind + "/" + name
}

// drafts are the records of a denial, one for each policy. id is what it was reported by; namespace is where
// what has none of its own was requested.
func (d denial) drafts(id, namespace string, at time.Time, more ...tracedb.Ref) []tracedb.Draft {
	var out []tracedb.Draft
	d.namespace = cmp.Or(d.namespace, namespace)
	for _, r := range d.policies {
		out = append(out, d.draft(id+"/"+r.policy, at, r, more...))
	}
	return out
}

// unexplained is what the API server says of a denial without a reason.
const unexplained = "without explanation"

// kyvernoActor is who denies.
const kyvernoActor = "kyverno"

// draft is the record of one policy's denial.
func (d denial) draft(id string, at time.Time, r refusal, more ...tracedb.Ref) tracedb.Draft {
	r.reason = cmp.Or(strings.TrimSpace(r.reason), unexplained)
	a := tracedb.Admission{
		Namespace: d.namespace, Resource: tracedb.Clip(object(d.kind, d.name), maxName), Images: append([]string{}, sortedImages(append(digests(r.reason), d.images...))...),
		Algorithm: tracedb.Clip(d.algorithm, maxName), User: tracedb.Clip(d.user, maxName), Policy: first(r.policy), Reason: tracedb.Clip(r.reason, maxText),
	}
	about := append(refs(tracedb.RefImage, a.Images), more...)
	about = append(about, ref(tracedb.RefNamespace, d.namespace), ref(tracedb.RefAlgorithm, d.algorithm))
	if d.kind == "Pod" && d.namespace != "" {
		about = append(about, ref(tracedb.RefPod, d.namespace+"/"+d.name))
	}
	return draft(id, tracedb.KindAdmission, kyvernoActor, at, tracedb.Denied, a, about...)
}

// digests are the images that a text names by digest.
func digests(text string) []string { return anyDigest.FindAllString(tracedb.Clip(text, maxText), -1) }

// maxImages bounds how many images a record of ours is about.
const maxImages = 32

// sortedImages are the images without doubles, and as many as a record may be about.
func sortedImages(images []string) []string {
	slices.Sort(images)
	images = slices.Compact(images)
	return images[:min(len(images), maxImages)]
}
