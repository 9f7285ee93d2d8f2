package collect

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"

	eventv1 "github.com/fluxcd/pkg/apis/event/v1beta1"
	"github.com/fluxcd/pkg/apis/meta"
	"k8s.io/utils/lru"

	"github.com/druppie/druppie-up/tracedb"
)

var fluxKinds = []tracedb.Kind{tracedb.KindDeployment, tracedb.KindAdmission, tracedb.KindDrift}

// Flux takes events in the form of notification-controller's provider generic-hmac, signed with token;
// notification-controller tries again after 5xx, for some seconds. The Kustomizations say what a Kustomization
// applies, and where; they may be nil.
func Flux(token []byte, kustomizations *Kustomizations, o Options) *Webhook {
	reader := newFluxReader("flux", kustomizations, o)
	return &Webhook{
		recorder: reader.recorder,
		// notification-controller takes white space off its Secret's value before it signs.
		secret: bytes.TrimSpace(token), signatures: []signature{{"X-Signature", "sha256="}},
		drafts: func(ctx context.Context, _ http.Header, body []byte) ([]tracedb.Draft, error) {
			var e eventv1.Event
			if err := decode(body, &e); err != nil {
				return nil, err
			}
			if e.InvolvedObject.Kind == "" || e.InvolvedObject.Name == "" {
				return nil, tracedb.ErrInvalid.Says("the event is about nothing").At("involvedObject")
			}
			return reader.drafts(ctx, reconciliationOf(e))
		},
	}
}

// reconciliation is what an event or the status reports of a Kustomization.
type reconciliation struct {
	kind, namespace, name string
	uid                   string
	revision              string // main@sha1:…
	reason                string
	message               string
	failed                bool
	at                    time.Time
	// until is when it still was so: a status says since when and until when, an event when alone.
	until time.Time
}

func reconciliationOf(e eventv1.Event) reconciliation {
	r := reconciliation{
		kind: e.InvolvedObject.Kind, namespace: e.InvolvedObject.Namespace, name: e.InvolvedObject.Name,
		uid: string(e.InvolvedObject.UID), reason: e.Reason, message: e.Message,
		failed: e.Severity == eventv1.EventSeverityError, at: e.Timestamp.Time, until: e.Timestamp.Time,
	}
	r.revision, _ = e.GetRevision()
	return r
}

// idPrefix is what ids of whatever happens to the Kustomization begin with.
func (r reconciliation) idPrefix() string {
	return "flux/" + cmp.Or(r.uid, r.namespace+"/"+r.name) + "/"
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

// fluxReader turns reconciliations into records; webhook and watch share how.
type fluxReader struct {
	*recorder
	kustomizations *Kustomizations
	last           *lru.Cache // the application that was recorded last, by idPrefix
}

func newFluxReader(name string, k *Kustomizations, o Options) *fluxReader {
	return &fluxReader{recorder: newRecorder(name, o, fluxKinds...), kustomizations: k, last: lru.New(maxRecent)}
}

// duration is a duration in a message of Flux, which differs each time that the same thing is reported.
var duration = regexp.MustCompile(`\b(?:\d+h)?(?:\d+m)?\d+(?:\.\d+)?(?:ns|µs|ms|s)\b`)

// afterWaiting is what an event puts before the words of the status.
var afterWaiting = regexp.MustCompile(`^health check failed after \S+: `)

// drafts are the records of a reconciliation; none for what isn't new.
func (f *fluxReader) drafts(ctx context.Context, r reconciliation) ([]tracedb.Draft, error) {
	if r.kind != "Kustomization" {
		return nil, nil
	}
	target := f.kustomizations.target(r.namespace, r.name)
	revision := revisionHash(r.revision)
	about := []tracedb.Ref{ref(tracedb.RefRevision, revision), ref(tracedb.RefNamespace, target.namespace)}
	d := tracedb.Deployment{
		Namespace: r.namespace, Object: object(r.kind, r.name), Revision: revision, Source: target.source,
		Reason: tracedb.Clip(r.reason, maxName), Message: tracedb.Clip(strings.TrimSpace(r.message), maxText),
	}
	same := hash(duration.ReplaceAllString(afterWaiting.ReplaceAllString(strings.TrimSpace(r.message), ""), "…"))
	deployment := func(id string, at time.Time, outcome tracedb.Outcome) []tracedb.Draft {
		return []tracedb.Draft{draft(id, tracedb.KindDeployment, "flux", at, outcome, d, about...)}
	}
	switch changes, ok := parseChanges(r.message); {
	case r.failed:
		if refusals, ok := parseDenial(r.message); ok {
			return refusals.drafts(r.subject()+"/denied/"+same, r.namespace, r.at, about...), nil
		}
		return deployment(r.subject()+"/failed/"+same, r.at, tracedb.Failed), nil
	case ok:
		history, err := f.applications(ctx, r)
		if err != nil {
			return nil, err
		}
		begun := application{revision: revision, at: r.at}
		before, repeat := precedingApplication(history, revision, r.at)
		if before.revision == revision && revision != "" {
			return undone(r, changes, about), nil
		}
		f.last.Add(r.idPrefix(), begun)
		for _, c := range changes {
			if len(about) < tracedb.MaxRefs {
				about = append(about, ref(tracedb.RefNamespace, c.namespace))
			}
		}
		return deployment(r.subject()+"/changed/"+same+repeat, r.at, tracedb.Passed), nil
	case r.reason == meta.ReconciliationSucceededReason && revision != "":
		if f.isLast(r) {
			return nil, nil
		}
		history, err := f.applications(ctx, r)
		if err != nil {
			return nil, err
		}
		a := appliedWhole(r, history)
		f.last.Add(r.idPrefix(), a)
		// The message says how long it took and when it is done again: nothing new.
		d.Message = ""
		return deployment(r.appliedID(a), a.at, tracedb.Passed), nil
	}
	return nil, nil
}

// undone are the records of a correction: Flux changed objects though Git hadn't changed, so somebody
// else had. Each correction is one of its own, by its time.
func undone(r reconciliation, changes []change, about []tracedb.Ref) []tracedb.Draft {
	var out []tracedb.Draft
	for _, c := range changes {
		d := tracedb.Drift{
			Namespace: cmp.Or(c.namespace, r.namespace), Object: object(c.kind, c.name), Want: "as in Git", Got: "otherwise",
			Revision: revisionHash(r.revision), Message: "Flux put it back: " + c.action,
		}
		switch c.action {
		case "created":
			d.Got = "gone"
		case "deleted":
			d.Want, d.Got = "gone", "there"
		}
		id := fmt.Sprintf("%s/undone/%d/%s", r.subject(), r.at.Unix(), hash(c.kind, c.namespace, c.name, c.action))
		refs := append([]tracedb.Ref{ref(tracedb.RefNamespace, d.Namespace)}, about...)
		out = append(out, draft(id, tracedb.KindDrift, "flux", r.at, tracedb.Undone, d, refs...))
	}
	return out
}
