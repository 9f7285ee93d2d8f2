package collect

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"

	eventv1 "github.com/fluxcd/pkg/apis/event/v1beta1"
	"github.com/fluxcd/pkg/apis/meta"

	"github.com/druppie/druppie-up/tracedb"
)

// FluxHook takes what Flux's notification-controller forwards. Its exported fields are set before its
// first use.
type FluxHook struct {
	// Kustomizations says what a Kustomization applies, and where; may be nil.
	Kustomizations *Kustomizations
	// Log says which revision was applied before, which tells a correction from a change; without it
	// only what was heard since the start is known.
	Log    tracedb.Reader
	Logger *slog.Logger

	token  []byte
	sink   Sink
	health health
	start  sync.Once
	book   *fluxReader
}

// Flux takes events in the form of notification-controller's provider generic-hmac, signed with token.
// It answers 202 when the log has what was told or there is nothing to record; notification-controller
// tries again after 5xx, for some seconds.
func Flux(token []byte, sink Sink) *FluxHook {
	// notification-controller takes white space off its Secret's value before it signs.
	return &FluxHook{token: bytes.TrimSpace(token), sink: sink}
}

func (h *FluxHook) ready() {
	h.start.Do(func() {
		h.book = &fluxReader{
			rec: newRecorder("flux", h.sink, h.Log, h.Logger, &h.health, fluxKinds...), log: h.Log, where: h.Kustomizations,
		}
	})
}

var fluxKinds = []tracedb.Kind{tracedb.KindDeployment, tracedb.KindAdmission, tracedb.KindDrift}

// Status is how it goes with the webhook.
func (h *FluxHook) Status() Status { return h.health.read("flux") }

// ServeHTTP takes one event.
func (h *FluxHook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.ready()
	body, err := readEvent(w, r, h.token, signature{"X-Signature", "sha256="})
	if err != nil {
		answer(w, err)
		return
	}
	var e eventv1.Event
	if err := decode(body, &e); err != nil {
		answer(w, err)
		return
	}
	if e.InvolvedObject.Kind == "" || e.InvolvedObject.Name == "" {
		answer(w, tracedb.ErrInvalid.Says("the event is about nothing").At("involvedObject"))
		return
	}
	drafts, err := h.book.read(r.Context(), happeningOf(e))
	if err == nil {
		err = h.book.rec.tryPut(r.Context(), drafts)
	}
	switch {
	case err == nil:
		h.health.ok("webhook", h.book.rec.now())
	case !permanent(err):
		h.health.failing("webhook", h.book.rec.now(), err)
	}
	answer(w, err)
}

// happening is what is heard of a Kustomization, from its event or from its status.
type happening struct {
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

func happeningOf(e eventv1.Event) happening {
	h := happening{
		kind: e.InvolvedObject.Kind, namespace: e.InvolvedObject.Namespace, name: e.InvolvedObject.Name,
		uid: string(e.InvolvedObject.UID), reason: e.Reason, message: e.Message,
		failed: e.Severity == eventv1.EventSeverityError, at: e.Timestamp.Time, until: e.Timestamp.Time,
	}
	h.revision, _ = e.GetRevision()
	return h
}

// about is what ids of whatever happens to the Kustomization begin with.
func (h happening) about() string {
	who := h.uid
	if who == "" {
		who = h.namespace + "/" + h.name
	}
	return "flux/" + who + "/"
}

// subject is what ids of the happening begin with: who it is about, at which revision.
func (h happening) subject() string { return h.about() + revisionHash(h.revision) }

// applied is the id of the record that its revision stands in the cluster.
func (h happening) applied(a application) string { return h.subject() + "/applied" + a.turn }

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

// fluxReader turns happenings into records; hook and watch share how.
type fluxReader struct {
	rec   *recorder
	log   tracedb.Reader
	where *Kustomizations

	mu    sync.Mutex
	heard map[string][]application // by what ids of a Kustomization begin with, in the order of hearing
}

// lapse is a duration in a message of Flux, which differs each time that the same thing is told.
var lapse = regexp.MustCompile(`\b(?:\d+h)?(?:\d+m)?\d+(?:\.\d+)?(?:ns|µs|ms|s)\b`)

// afterWaiting is what an event puts before the words of the status.
var afterWaiting = regexp.MustCompile(`^health check failed after \S+: `)

// read makes the records of a happening; none for what isn't news.
func (b *fluxReader) read(ctx context.Context, h happening) ([]tracedb.Draft, error) {
	if h.kind != "Kustomization" {
		return nil, nil
	}
	place := b.where.place(h.namespace, h.name)
	about := []tracedb.Ref{ref(tracedb.RefRevision, revisionHash(h.revision)), ref(tracedb.RefNamespace, place.namespace)}
	d := tracedb.Deployment{
		Namespace: h.namespace, Object: object(h.kind, h.name), Revision: revisionHash(h.revision), Source: place.source,
		Reason: tracedb.Clip(h.reason, maxName), Message: tracedb.Clip(strings.TrimSpace(h.message), maxText),
	}
	same := hash(lapse.ReplaceAllString(afterWaiting.ReplaceAllString(strings.TrimSpace(h.message), ""), "…"))
	switch changes, ok := parseChanges(h.message); {
	case h.failed:
		if refusals, ok := parseDenial(h.message); ok {
			return refusals.drafts(h.subject()+"/denied/"+same, h.namespace, h.at, about...), nil
		}
		return []tracedb.Draft{draft(h.subject()+"/failed/"+same, tracedb.KindDeployment, "flux", h.at, tracedb.Failed, d, about...)}, nil
	case ok:
		line, err := b.timeline(ctx, h)
		if err != nil {
			return nil, err
		}
		begun := application{revision: revisionHash(h.revision), at: h.at}
		before, turn := turnOf(line, begun.revision, h.at)
		if before.revision == begun.revision && begun.revision != "" {
			return undone(h, changes, about), nil
		}
		b.note(h, begun)
		for _, c := range changes {
			if len(about) < tracedb.MaxRefs {
				about = append(about, ref(tracedb.RefNamespace, c.namespace))
			}
		}
		return []tracedb.Draft{draft(h.subject()+"/changed/"+same+turn, tracedb.KindDeployment, "flux", h.at, tracedb.Passed, d, about...)}, nil
	case h.reason == meta.ReconciliationSucceededReason && revisionHash(h.revision) != "":
		if b.stands(h) {
			return nil, nil
		}
		line, err := b.timeline(ctx, h)
		if err != nil {
			return nil, err
		}
		a := stood(h, line)
		b.note(h, a)
		// The message says how long it took and when it is done again: no news.
		d.Message = ""
		return []tracedb.Draft{draft(h.applied(a), tracedb.KindDeployment, "flux", a.at, tracedb.Passed, d, about...)}, nil
	}
	return nil, nil
}

// undone are the records of a correction: Flux changed objects though Git hadn't changed, so somebody
// else had. Each correction is one of its own, told apart by its time.
func undone(h happening, changes []change, about []tracedb.Ref) []tracedb.Draft {
	var out []tracedb.Draft
	for _, c := range changes {
		d := tracedb.Drift{
			Namespace: cmp.Or(c.namespace, h.namespace), Object: object(c.kind, c.name), Want: "as in Git", Got: "otherwise",
			Revision: revisionHash(h.revision), Message: "Flux put it back: " + c.action,
		}
		switch c.action {
		case "created":
			d.Got = "gone"
		case "deleted":
			d.Want, d.Got = "gone", "there"
		}
		id := fmt.Sprintf("%s/undone/%d/%s", h.subject(), h.at.Unix(), hash(c.kind, c.namespace, c.name, c.action))
		refs := append([]tracedb.Ref{ref(tracedb.RefNamespace, d.Namespace)}, about...)
		out = append(out, draft(id, tracedb.KindDrift, "flux", h.at, tracedb.Undone, d, refs...))
	}
	return out
}
