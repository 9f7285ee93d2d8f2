package why

import (
	"slices"
	"strings"

	"github.com/druppie/druppie-up/internal/text"
	"github.com/druppie/druppie-up/tracedb"
)

// judgement is how what came in was judged, by others than whoever wrote it.
type judgement struct {
	merge     told     // that brought it in; of no kind where none is recorded
	goal      []string // the commit that had to be judged; empty where nothing names one
	approvals []told   // that stand, and are of that commit
	against   []told   // who asked for changes in that commit, and left it at that
	earlier   []told   // approvals of another commit
	withdrawn bool     // there were approvals, and all were taken back
}

// judgedCode is how the story's commit was judged in the service's own repository. An image was built
// from one, and only the merge that brought it counts: others of the chain brought other things.
func (s *story) judgedCode() judgement {
	version := s.version()
	bound := s.image != "" && version != ""
	return s.judged(version, bound, func(t told) bool { return !inFleet(t) })
}

// version is the commit that the image was built from, or else the one asked about, or else the newest
// that was pushed.
func (s *story) version() string {
	v := s.value(tracedb.RefCommit, tracedb.KindProvenance, tracedb.KindImage, tracedb.KindPromotion)
	if pushes := s.code(tracedb.KindCommit); v == "" && len(pushes) > 0 {
		v = pushes[len(pushes)-1].said["commit"]
	}
	return v
}

// judged reads the reviews of one repository. Of each reviewer only the newest word counts in a pull
// request, and only if it is about the commit that was merged: what was pushed after an approval was
// approved by nobody. Bound says that no merge counts but one of that very version.
func (s *story) judged(version string, bound bool, in func(told) bool) judgement {
	var j judgement
	for _, m := range s.of(tracedb.KindMerge) {
		if in(m) && (!bound || slices.Contains(commits(m, ""), version)) {
			j.merge = m
		}
	}
	switch {
	case j.merge.Kind != "":
		j.goal = commits(j.merge, "head")
	case version != "":
		j.goal = []string{version}
	}
	var reviews []told
	newest := map[string]int64{} // by pull request and reviewer
	for _, r := range s.of(tracedb.KindReview) {
		if in(r) && r.Outcome != tracedb.Commented && !s.own(r) && (j.merge.Kind == "" || pull(r) == pull(j.merge)) {
			reviews = append(reviews, r)
		}
	}
	// By when they were given: who reads Gitea again later may tell of an old one last.
	slices.SortStableFunc(reviews, earlier)
	for _, r := range reviews {
		newest[pull(r)+" "+person(r, "reviewer")] = r.Seq
	}
	for _, r := range reviews {
		stands := newest[pull(r)+" "+person(r, "reviewer")] == r.Seq
		meant := len(j.goal) == 0 || overlap(commits(r, "commit"), j.goal)
		switch approves := r.Outcome == tracedb.Approved; {
		case stands && meant && approves:
			j.approvals = append(j.approvals, r)
		case stands && meant:
			j.against = append(j.against, r)
		case approves && meant:
			j.withdrawn = true
		case approves:
			j.earlier = append(j.earlier, r)
		}
	}
	return j
}

// lacking says, as a gap, why nobody else's approval counts.
func (j judgement) lacking() text.Text {
	switch {
	case len(j.earlier) > 0 && j.merge.Kind != "":
		return text.Of("an earlier version was approved, not the one that was merged", "een eerdere versie is goedgekeurd, niet degene die is samengevoegd")
	case len(j.earlier) > 0:
		return text.Of("another commit was approved, and no merge of it is recorded", "een andere commit is goedgekeurd, en een samenvoeging daarvan is niet vastgelegd")
	case j.withdrawn:
		return text.Of("the approval was taken back: its reviewer asked for changes later", "de goedkeuring is ingetrokken: de beoordelaar keurde het later af")
	}
	return text.Of("no approval by anybody but the author", "geen goedkeuring door iemand anders dan de auteur")
}

// own says whether a review is by whoever wrote what it judged: who opened the pull request, or who
// wrote the commit or pushed it first.
func (s *story) own(r told) bool {
	writers := []string{person(r, "author")}
	for _, p := range s.of(tracedb.KindCommit) {
		if overlap(commits(p, "commit"), commits(r, "commit")) {
			writers = append(writers, person(p, "author"), person(p, "pusher"))
			break
		}
	}
	who := person(r, "reviewer")
	return who != "" && slices.Contains(writers, who)
}

// written names who wrote what was judged: the push that came before the merge, where there was one.
func (s *story) written() text.Text {
	pushes := s.code(tracedb.KindCommit)
	if len(pushes) == 0 {
		return text.Of("Who wrote it isn't recorded.", "Wie het schreef is niet vastgelegd.")
	}
	t := pushes[len(pushes)-1]
	if t.said["author"] == "" {
		t = pushes[0] // the later ones are mostly merges
	}
	var came []string // all that came in with it
	for _, want := range [][]string{{s.version()}, s.judgedCode().goal} {
		if i := slices.IndexFunc(pushes, func(p told) bool { return overlap(commits(p, "commit"), want) }); i >= 0 {
			t = pushes[i]
			came = append(came, values(t.Refs, tracedb.RefCommit)...)
		}
	}
	l := lines{"who": t.get("author"), "by": t.get("actor"), "commit": t.get("commit"), "message": t.get("message")}
	var more text.Text
	if session, ok := s.sessionOf(commits(t, "commit")); ok {
		l["session"], l["tool"], l["model"] = session.get("session"), session.get("tool"), session.get("model")
	} else if session, ok := s.sessionOf(came); ok {
		more = say("A part of it was written in session {session}[ of {tool}][ with {model}].", "Een deel ervan is geschreven in sessie {session}[ van {tool}][ met {model}].",
			lines{"session": session.get("session"), "tool": session.get("tool"), "model": session.get("model")})
	}
	out := say("It was written by {who}[ in session {session}][ of {tool}][ with {model}][, commit {commit}][: “{message}”].",
		"Het is geschreven door {who}[ in sessie {session}][ van {tool}][ met {model}][, commit {commit}][: “{message}”].", l)
	if l["who"].EN == "" {
		out = say("It was pushed by {by}[, after session {session}][ of {tool}][ with {model}][, commit {commit}].",
			"Het is gepusht door {by}[, na sessie {session}][ van {tool}][ met {model}][, commit {commit}].", l)
	}
	return text.Join(out, more)
}

// sessionOf is the newest session that made one of those commits.
func (s *story) sessionOf(made []string) (told, bool) {
	for _, t := range slices.Backward(s.of(tracedb.KindSession)) {
		if overlap(values(t.Refs, tracedb.RefCommit), made) {
			return t, true
		}
	}
	return told{}, false
}

func (s *story) approved() text.Text {
	j := s.judgedCode()
	l := lines{"merged": j.merge.get("merged_by"), "no": different(j.against, "reviewer")}
	const more, meer = "[; {no} asked for changes][; {merged} merged it].", "[; {no} keurde het af][; {merged} voegde het samen]."
	if n := len(j.approvals); n > 0 {
		l["who"], l["reason"] = j.approvals[n-1].get("reviewer"), j.approvals[n-1].get("reason")
		return say("{who} approved it[: “{reason}”]"+more, "{who} keurde het goed[: “{reason}”]"+meer, l)
	}
	if len(j.earlier) > 0 || j.withdrawn {
		l["lacking"] = j.lacking().Sentence()
		return say("{lacking}"+more, "{lacking}"+meer, l)
	}
	return say("No approval by anybody but the author is recorded"+more, "Er is geen goedkeuring vastgelegd door iemand anders dan de auteur"+meer, l)
}

// person is somebody's name as Gitea's users have it, which is an actor's without where it is from.
func person(t told, field string) string {
	return strings.TrimPrefix(t.get(field).EN, "gitea:")
}

// commits is the commit that a field of the record names, or else all that the record is about: a
// payload that is no longer kept leaves its refs. What the fleet's records are about is its revisions.
func commits(t told, field string) []string {
	if c := t.said[field]; c != "" {
		return []string{c}
	}
	if inFleet(t) {
		return values(t.Refs, tracedb.RefRevision)
	}
	return values(t.Refs, tracedb.RefCommit)
}

func pull(t told) string {
	if p := values(t.Refs, tracedb.RefPull); len(p) > 0 {
		return p[0]
	}
	return ""
}

func overlap(a, b []string) bool {
	return slices.ContainsFunc(a, func(v string) bool { return slices.Contains(b, v) })
}
