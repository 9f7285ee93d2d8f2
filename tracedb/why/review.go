package why

import (
	"slices"
	"strings"

	"github.com/druppie/druppie-up/internal/text"
	"github.com/druppie/druppie-up/tracedb"
)

// reviewState is how others than the author reviewed what was merged.
type reviewState struct {
	merge     record   // of no kind where none is recorded
	commits   []string // that had to be approved; empty where nothing names one
	approvals []record // that stand, and are of those commits
	against   []record // who asked for changes in those commits, and left it at that
	earlier   []record // approvals of another commit
	withdrawn bool     // there were approvals, and all were taken back
	dismissed bool     // somebody took another's review back
}

// codeReviews are the reviews of the image's commit in the service's own repository. An image was built
// from one, and only the merge that brought it counts: others of the chain brought other things.
func (h *history) codeReviews() reviewState {
	version := h.version()
	exact := h.image != "" && version != ""
	return h.reviews(version, exact, func(r record) bool { return !inFleet(r) })
}

// version is the commit that the image was built from, or else the one asked about, or else the newest
// that was pushed.
func (h *history) version() string {
	v := h.value(tracedb.RefCommit, tracedb.KindProvenance, tracedb.KindImage, tracedb.KindPromotion)
	if pushes := h.code(tracedb.KindCommit); v == "" && len(pushes) > 0 {
		v = pushes[len(pushes)-1].fields["commit"]
	}
	return v
}

// reviews reads the reviews of one repository. Of each reviewer only the newest review counts in a pull
// request, and only if it is of the commit that was merged: what was pushed after an approval was
// approved by nobody. Exact says that no merge counts but one of that very version.
func (h *history) reviews(version string, exact bool, in func(record) bool) reviewState {
	var s reviewState
	for _, m := range h.ofKind(tracedb.KindMerge) {
		if in(m) && (!exact || slices.Contains(commits(m, ""), version)) {
			s.merge = m
		}
	}
	switch {
	case s.merge.Kind != "":
		s.commits = commits(s.merge, "head")
	case version != "":
		s.commits = []string{version}
	}
	all := slices.DeleteFunc(h.ofKind(tracedb.KindReview), func(r record) bool {
		return !in(r) || r.Outcome == tracedb.Commented || h.byAuthor(r) || s.merge.Kind != "" && pull(r) != pull(s.merge)
	})
	// By when they were given: an old one may be recorded last, where Gitea was read again.
	slices.SortStableFunc(all, earlier)
	newest := map[string]int64{} // by pull request and reviewer
	for _, r := range all {
		newest[pull(r)+" "+person(r, "reviewer")] = r.Seq
	}
	for _, r := range all {
		if r.Outcome == tracedb.Undone {
			s.dismissed = true
			continue
		}
		stands := newest[pull(r)+" "+person(r, "reviewer")] == r.Seq
		ofMerged := len(s.commits) == 0 || overlap(commits(r, "commit"), s.commits)
		switch approves := r.Outcome == tracedb.Approved; {
		case stands && ofMerged && approves:
			s.approvals = append(s.approvals, r)
		case stands && ofMerged:
			s.against = append(s.against, r)
		case approves && ofMerged:
			s.withdrawn = true
		case approves:
			s.earlier = append(s.earlier, r)
		}
	}
	return s
}

// gap says why nobody else's approval counts.
func (s reviewState) gap() text.Text {
	switch {
	case len(s.earlier) > 0 && s.merge.Kind != "":
		return text.Of("an earlier version was approved, not the one that was merged", "een eerdere versie is goedgekeurd, niet degene die is samengevoegd")
	case len(s.earlier) > 0:
		return text.Of("another commit was approved, and no merge of it is recorded", "een andere commit is goedgekeurd, en een samenvoeging daarvan is niet vastgelegd")
	case s.withdrawn && s.dismissed:
		return text.Of("the approval was dismissed", "de goedkeuring is ongeldig verklaard")
	case s.withdrawn:
		return text.Of("the approval was taken back: its reviewer asked for changes later", "de goedkeuring is ingetrokken: de beoordelaar keurde het later af")
	}
	return text.Of("no approval by anybody but the author", "geen goedkeuring door iemand anders dan de auteur")
}

// byAuthor says whether a review is by whoever brought what it is of: who opened the pull request, or who pushed the
// commit first, as Gitea says. Whom the commit names as its author is its maker's choice: else anybody could make
// another's approval count for nothing.
func (h *history) byAuthor(r record) bool {
	authors := []string{person(r, "author")}
	for _, p := range h.ofKind(tracedb.KindCommit) {
		if overlap(commits(p, "commit"), commits(r, "commit")) {
			authors = append(authors, person(p, "pusher"))
			break
		}
	}
	reviewer := person(r, "reviewer")
	return reviewer != "" && slices.Contains(authors, reviewer)
}

// written names who wrote what was reviewed: the push that came before the merge, where there was one.
func (h *history) written() text.Text {
	pushes := h.code(tracedb.KindCommit)
	if len(pushes) == 0 {
		return text.Of("Who wrote it isn't recorded.", "Wie het schreef is niet vastgelegd.")
	}
	push := pushes[len(pushes)-1]
	if push.fields["author"] == "" {
		push = pushes[0] // the later ones are mostly merges
	}
	var came []string // all that came in with it
	for _, want := range [][]string{{h.version()}, h.codeReviews().commits} {
		if i := slices.IndexFunc(pushes, func(p record) bool { return overlap(commits(p, "commit"), want) }); i >= 0 {
			push = pushes[i]
			came = append(came, push.Values(tracedb.RefCommit)...)
		}
	}
	w := words{"session": {}, "tool": {}, "model": {}}
	var more text.Text
	if session, ok := h.sessionOf(commits(push, "commit")); ok {
		w["session"], w["tool"], w["model"] = session.get("session"), session.get("tool"), session.get("model")
	} else if session, ok := h.sessionOf(came); ok {
		more = session.say("A part of it was written in session {session}[ of {tool}][ with {model}].", "Een deel ervan is geschreven in sessie {session}[ van {tool}][ met {model}].", nil)
	}
	if push.get("author").EN == "" {
		return text.Join(push.say("It was pushed by {actor}[, after session {session}][ of {tool}][ with {model}][, commit {commit}].",
			"Het is gepusht door {actor}[, na sessie {session}][ van {tool}][ met {model}][, commit {commit}].", w), more)
	}
	if person(push, "author") == person(push, "pusher") {
		return text.Join(push.say("It was written by {author}[ in session {session}][ of {tool}][ with {model}][, commit {commit}][: “{message}”].",
			"Het is geschreven door {author}[ in sessie {session}][ van {tool}][ met {model}][, commit {commit}][: “{message}”].", w), more)
	}
	return text.Join(push.say("It was pushed by {pusher}, as the work of “{author}”[ in session {session}][ of {tool}][ with {model}][, commit {commit}][: “{message}”].",
		"Het is gepusht door {pusher}, als werk van “{author}”[ in sessie {session}][ van {tool}][ met {model}][, commit {commit}][: “{message}”].", w), more)
}

// sessionOf is the newest session that made one of those commits.
func (h *history) sessionOf(made []string) (record, bool) {
	for _, r := range slices.Backward(h.ofKind(tracedb.KindSession)) {
		if overlap(r.Values(tracedb.RefCommit), made) {
			return r, true
		}
	}
	return record{}, false
}

func (h *history) approved() text.Text {
	s := h.codeReviews()
	w := words{"merged": s.merge.get("merged_by"), "no": different(s.against, "reviewer")}
	const more, meer = "[; {no} asked for changes][; {merged} merged it].", "[; {no} keurde het af][; {merged} voegde het samen]."
	if n := len(s.approvals); n > 0 {
		return s.approvals[n-1].say("{reviewer} approved it[: “{reason}”]"+more, "{reviewer} keurde het goed[: “{reason}”]"+meer, w)
	}
	if len(s.earlier) > 0 || s.withdrawn {
		w["gap"] = s.gap().Sentence()
		return say("{gap}"+more, "{gap}"+meer, w)
	}
	return say("No approval by anybody but the author is recorded"+more, "Er is geen goedkeuring vastgelegd door iemand anders dan de auteur"+meer, w)
}

// person is somebody's name as Gitea's users have it, which is an actor's without where it is from.
func person(r record, field string) string {
	return strings.TrimPrefix(r.get(field).EN, "gitea:")
}

// commits is the commit that a field of the record names, or else all that the record is about: a
// payload that is no longer kept leaves its refs. What the fleet's records are about is its revisions.
func commits(r record, field string) []string {
	if c := r.fields[field]; c != "" {
		return []string{c}
	}
	if inFleet(r) {
		return r.Values(tracedb.RefRevision)
	}
	return r.Values(tracedb.RefCommit)
}

func pull(r record) string { return r.First(tracedb.RefPull) }

func overlap(a, b []string) bool {
	return slices.ContainsFunc(a, func(v string) bool { return slices.Contains(b, v) })
}
