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

// application is that a revision was brought into the cluster.
type application struct {
	revision string // its hash
	whole    bool   // all of it; else it was begun
	at       time.Time
	// turn is what the id ends with: a revision that was applied, then another, and then it again, is
	// applied anew. Empty for the first time.
	turn string
}

// turnOf says what had been applied before a time, and in which turn the revision was or is applied then.
// The applications are in the order of their times. Events of one application come in any order, so it
// may be told of before what is told to lie before it.
func turnOf(line []application, revision string, at time.Time) (before application, turn string) {
	begun, earlier := false, false // the revision was; and another one after it
	for _, a := range line {
		own := a.revision == revision
		if own && !a.whole {
			begun = begun || a.at.Before(at)
			continue // it has to stand as a whole before anything can deviate from it
		}
		if !a.at.Before(at) {
			if own && before.revision != revision {
				return before, a.turn
			}
			break
		}
		begun, earlier = begun || own, earlier || begun && !own
		before = a
	}
	switch {
	case before.revision == revision:
		turn = before.turn
	case earlier:
		turn = "/" + strconv.FormatInt(before.at.Unix(), 10)
	}
	return before, turn
}

// stood is the application that a happening tells of: that the revision stands.
func stood(h happening, line []application) application {
	a := application{revision: revisionHash(h.revision), whole: true, at: h.at}
	before, turn := turnOf(line, a.revision, h.until)
	a.turn = turn
	switch {
	case before.revision == a.revision:
		a.at = before.at
	case !before.at.Before(a.at) && !before.at.IsZero():
		// Flux's status counts from when the same objects were first applied, in whatever revision.
		a.at = h.until
	}
	return a
}

// timeline is what is known of the applications of a Kustomization since its revision was first applied.
func (b *fluxReader) timeline(ctx context.Context, h happening) ([]application, error) {
	revision := revisionHash(h.revision)
	if revision == "" {
		return nil, nil
	}
	if b.log == nil {
		b.mu.Lock()
		defer b.mu.Unlock()
		return inOrder(slices.Clone(b.heard[h.about()])), nil
	}
	q := tracedb.Query{
		Kinds: []tracedb.Kind{tracedb.KindDeployment}, Actor: "flux", Outcome: tracedb.Passed,
		Refs: []tracedb.Ref{ref(tracedb.RefRevision, revision)}, Limit: tracedb.MaxPage,
	}
	page, err := b.log.Search(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("when %s was applied: %w", revision, err)
	}
	var line []application
	for _, e := range page.Entries { // newest first
		if a, ok := applicationIn(e, h); ok {
			line, q.From = append(line, a), e.Time
		}
	}
	switch {
	case len(line) > 0:
	case h.until.After(h.at):
		q.From = h.at.Add(-skew)
	default:
		return nil, nil
	}
	// What else was applied since then. There are few revisions after the one that stands.
	q.Refs = nil
	for n := 0; n == 0 || n < recallPages && q.Before > 0; n++ {
		page, err := b.log.Search(ctx, q)
		if err != nil {
			return nil, fmt.Errorf("what was applied after %s: %w", revision, err)
		}
		for _, e := range page.Entries {
			if a, ok := applicationIn(e, h); ok && a.revision != revision {
				line = append(line, a)
			}
		}
		q.Before = page.Next
	}
	slices.Reverse(line)
	return inOrder(line), nil
}

func inOrder(line []application) []application {
	slices.SortStableFunc(line, func(a, b application) int { return a.at.Compare(b.at) })
	return line
}

// applicationIn reads a record of the happening's Kustomization.
func applicationIn(e tracedb.Entry, h happening) (application, bool) {
	rest, ok := strings.CutPrefix(e.ID, h.about())
	parts := strings.Split(rest, "/")
	if !ok || len(parts) < 2 {
		return application{}, false
	}
	a := application{revision: parts[0], whole: parts[1] == "applied", at: e.At}
	if a.whole && len(parts) > 2 {
		a.turn = "/" + parts[2]
	}
	return a, a.whole || parts[1] == "changed"
}

const (
	// maxHeard bounds of how many Kustomizations is remembered what was applied, and maxTurns how much of
	// each; the log knows the rest.
	maxHeard = 1024
	maxTurns = 8
)

func (b *fluxReader) note(h happening, a application) {
	if a.revision == "" {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.heard == nil || len(b.heard) >= maxHeard {
		b.heard = map[string][]application{}
	}
	line := append(b.heard[h.about()], a)
	b.heard[h.about()] = line[max(0, len(line)-maxTurns):]
}

// stands says whether the revision is what was last heard of, and is recorded: most of what Flux tells
// is that nothing changed.
func (b *fluxReader) stands(h happening) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	line := b.heard[h.about()]
	if len(line) == 0 {
		return false
	}
	last := line[len(line)-1]
	return last.whole && last.revision == revisionHash(h.revision) && b.rec.seen(h.applied(last))
}
