package collect

import (
	"context"
	"regexp"
	"strings"
	"time"

	"github.com/fluxcd/pkg/apis/meta"

	"github.com/druppie/druppie-up/tracedb"
)

// reconciliation is what the status of a Kustomization reports. Events of Flux say more, but anybody can write one: the
// status is its controller's.
type reconciliation struct {
	kind, namespace, name string
	uid                   string
	revision              string // main@sha1:…
	reason                string
	message               string
	failed                bool
	at                    time.Time
	until                 time.Time // when it still was so
}

// idPrefix is what ids of whatever happens to the Kustomization begin with.
func (r reconciliation) idPrefix() string {
	return "flux/" + r.uid + "/"
}

// subject is what ids of the reconciliation begin with: who it is about, at which revision.
func (r reconciliation) subject() string { return r.idPrefix() + revisionHash(r.revision) }

// appliedID is the id of the record that its revision was applied as a whole.
func (r reconciliation) appliedID(a application) string { return r.subject() + "/applied" + a.repeat }

// revisionHash is the commit in a revision of Flux: main@sha1:… or, before Flux 2, main/….
func revisionHash(revision string) string {
	if i := strings.LastIndexAny(revision, ":/"); i >= 0 {
		revision = revision[i+1:]
	}
	if !isHash(revision) {
		return ""
	}
	return revision
}

// duration is a duration in a message of Flux, which differs each time that the same thing is reported.
var duration = regexp.MustCompile(`\b(?:\d+h)?(?:\d+m)?\d+(?:\.\d+)?(?:ns|µs|ms|s)\b`)

// drafts are the records of a reconciliation; none for what isn't new.
func (k *Kustomizations) drafts(ctx context.Context, r reconciliation) ([]tracedb.Draft, error) {
	target := k.targets[r.namespace+"/"+r.name]
	revision := revisionHash(r.revision)
	about := []tracedb.Ref{ref(tracedb.RefRevision, revision), ref(tracedb.RefNamespace, target.namespace)}
	d := tracedb.Deployment{
		Namespace: r.namespace, Object: object(r.kind, r.name), Revision: revision, Source: target.source,
		Reason: tracedb.Clip(r.reason, maxName), Message: tracedb.Clip(strings.TrimSpace(r.message), maxText),
	}
	same := hash(duration.ReplaceAllString(strings.TrimSpace(r.message), "…"))
	deployment := func(id string, at time.Time, outcome tracedb.Outcome) []tracedb.Draft {
		return []tracedb.Draft{draft(id, tracedb.KindDeployment, "flux", at, outcome, d, about...)}
	}
	if r.failed {
		if refusals, ok := parseDenial(r.message); ok {
			return refusals.drafts(r.subject()+"/denied/"+same, r.namespace, r.at, about...), nil
		}
		return deployment(r.subject()+"/failed/"+same, r.at, tracedb.Failed), nil
	}
	if r.reason != meta.ReconciliationSucceededReason || revision == "" || k.isLast(r) {
		return nil, nil
	}
	history, err := k.applications(ctx, r)
	if err != nil {
		return nil, err
	}
	a := newApplication(r, history)
	k.last.Add(r.idPrefix(), a)
	// The message says how long it took and when it is done again: nothing new.
	d.Message = ""
	return deployment(r.appliedID(a), a.at, tracedb.Passed), nil
}
