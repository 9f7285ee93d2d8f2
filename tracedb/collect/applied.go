package collect

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/druppie/druppie-up/tracedb"
)

// application is that a revision was applied as a whole.
type application struct {
	revision string // its hash
	at       time.Time
	// repeat is what the id ends with: a revision that was applied, then another, and then it again, is
	// applied anew. Empty for the first time.
	repeat string
}

// precedingApplication says what had been applied before a time, and with which repeat the revision was or is
// applied then. The applications are in the order of their times.
func precedingApplication(history []application, revision string, at time.Time) (before application, repeat string) {
	known, earlier := false, false // the revision was applied; and another one after it
	for _, a := range history {
		own := a.revision == revision
		if !a.at.Before(at) {
			if own && before.revision != revision {
				return before, a.repeat
			}
			break
		}
		known, earlier = known || own, earlier || known && !own
		before = a
	}
	switch {
	case before.revision == revision:
		repeat = before.repeat
	case earlier:
		repeat = "/" + strconv.FormatInt(before.at.Unix(), 10)
	}
	return before, repeat
}

// newApplication is the application that a reconciliation reports.
func newApplication(r reconciliation, history []application) application {
	a := application{revision: revisionHash(r.revision), at: r.at}
	before, repeat := precedingApplication(history, a.revision, r.until)
	a.repeat = repeat
	switch {
	case before.revision == a.revision:
		a.at = before.at
	case !before.at.Before(a.at) && !before.at.IsZero():
		// Flux's status counts from when the same objects were first applied, in whatever revision.
		a.at = r.until
	}
	return a
}

// applications are those of a Kustomization that the log knows since its revision was first applied, in the
// order of their times.
func (k *Kustomizations) applications(ctx context.Context, r reconciliation) ([]application, error) {
	revision := revisionHash(r.revision)
	q := tracedb.Query{
		Kinds: []tracedb.Kind{tracedb.KindDeployment}, Actor: "flux", Outcome: tracedb.Passed,
		Refs: []tracedb.Ref{ref(tracedb.RefRevision, revision)},
	}
	var out []application
	err := k.own(ctx, q, func(e tracedb.Entry) error { // newest first
		if a, ok := applicationIn(e, r); ok {
			out, q.From = append(out, a), e.Time
		}
		return nil
	})
	switch {
	case err != nil:
		return nil, fmt.Errorf("when %s was applied: %w", revision, err)
	case len(out) > 0:
	case r.until.After(r.at):
		q.From = r.at.Add(-skew)
	default:
		return nil, nil
	}
	// What else was applied since then. There are few revisions after the one that is applied now.
	q.Refs = nil
	err = k.own(ctx, q, func(e tracedb.Entry) error {
		if a, ok := applicationIn(e, r); ok && a.revision != revision {
			out = append(out, a)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("what was applied after %s: %w", revision, err)
	}
	slices.Reverse(out)
	slices.SortStableFunc(out, func(a, b application) int { return a.at.Compare(b.at) })
	return out, nil
}

// applicationIn reads a record of the reconciliation's Kustomization. Earlier versions recorded, too, that a revision was
// begun, as Flux's events said.
func applicationIn(e tracedb.Entry, r reconciliation) (application, bool) {
	rest, ok := strings.CutPrefix(e.ID, r.idPrefix())
	parts := strings.Split(rest, "/")
	if !ok || len(parts) < 2 || parts[1] != "applied" {
		return application{}, false
	}
	a := application{revision: parts[0], at: e.At}
	if len(parts) > 2 {
		a.repeat = "/" + parts[2]
	}
	return a, true
}

// isLast says whether the revision is what was applied last, and is recorded: most of what Flux reports
// is that nothing changed.
func (k *Kustomizations) isLast(r reconciliation) bool {
	v, _ := k.last.Get(r.idPrefix())
	last, ok := v.(application)
	return ok && last.revision == revisionHash(r.revision) && k.seen(r.appliedID(last))
}
