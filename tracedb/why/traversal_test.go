package why_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/ingest"
	"github.com/druppie/druppie-up/tracedb/log"
	"github.com/druppie/druppie-up/tracedb/log/logtest"
	"github.com/druppie/druppie-up/tracedb/why"
	"github.com/druppie/druppie-up/tracedb/why/whytest"
)

// The things of a small story: two commits of a branch, what main makes of them, and what came of that.
const service = "druppie/x"

var (
	first, second = strings.Repeat("1", 40), strings.Repeat("2", 40)
	landed        = strings.Repeat("a", 40)
	made          = "sha256:" + strings.Repeat("a", 64)
)

// scribe writes what a test wants to the log.
type scribe struct {
	t   *testing.T
	log *log.Log
	n   int
	who string // acts; empty: somebody
	id  string // of the next record; empty: its number's
	by  string // who writes it; empty: somebody with no other name
}

// as is the scribe writing of what that user of Gitea does.
func (s *scribe) as(who string) *scribe {
	s.who = "gitea:" + who
	return s
}

func (s *scribe) add(kind tracedb.Kind, outcome tracedb.Outcome, payload any, refs ...string) int64 {
	s.t.Helper()
	by := cmp.Or(s.by, "more")
	receipts, err := s.log.Append(s.t.Context(), by, []log.Prepared{s.draft(kind, outcome, payload, refs...)})
	if err != nil {
		s.t.Fatal(err)
	}
	return receipts[0].Seq
}

func (s *scribe) draft(kind tracedb.Kind, outcome tracedb.Outcome, payload any, refs ...string) log.Prepared {
	s.t.Helper()
	raw, err := json.Marshal(payload)
	if err != nil {
		s.t.Fatal(err)
	}
	s.n++
	d := tracedb.Draft{ID: cmp.Or(s.id, fmt.Sprint("more-", s.n)), Kind: kind, Actor: cmp.Or(s.who, "somebody"), Outcome: outcome, Payload: raw, At: whytest.Start.Add(time.Duration(s.n) * time.Hour)}
	s.who, s.id, s.by = "", "", ""
	for i := 0; i < len(refs); i += 2 {
		d.Refs = append(d.Refs, tracedb.Ref{Type: tracedb.RefType(refs[i]), Value: refs[i+1]})
	}
	d.Refs = tracedb.SortRefs(d.Refs)
	facts, err := ingest.Facts(tracedb.Entry{Kind: kind}, raw)
	if err != nil {
		s.t.Fatal(err)
	}
	return log.Prepared{Draft: d, Facts: facts}
}

func has(c *why.Chain, seq int64) bool {
	return slices.ContainsFunc(c.Links, func(l why.Link) bool { return l.Seq == seq })
}

// TestOtherSessions asks about an image whose spec was worked on again later: that session is the spec's
// story and not the image's.
func TestOtherSessions(t *testing.T) {
	l := filled(t)
	c := ask(t, l, whytest.Image)
	specs := slices.DeleteFunc(slices.Clone(c.Links), func(l why.Link) bool { return l.Kind != tracedb.KindSpec })
	if len(specs) != 1 {
		t.Fatalf("the image has %d specs", len(specs))
	}
	spec := specs[0].Refs[slices.IndexFunc(specs[0].Refs, func(r tracedb.Ref) bool { return r.Type == tracedb.RefSpec })]
	s := &scribe{t: t, log: l}
	later := s.add(tracedb.KindSession, "", tracedb.Session{Session: "session-later", Spec: spec.Value, AskedBy: "user", Model: "m", Tool: "t", PromptDigest: whytest.Image},
		"session", "session-later", "spec", spec.Value)
	if c := ask(t, l, whytest.Image); has(c, later) || !has(c, specs[0].Seq) {
		t.Errorf("the later session %d: %v, the spec: %v", later, has(c, later), has(c, specs[0].Seq))
	}
	if c := ask(t, l, "spec:"+spec.Value); !has(c, later) {
		t.Error("asked about itself, the spec doesn't know its later session")
	}
}

// TestNotTheFuture asks about an image whose commit is also in a branch that was made later: what came
// of that branch is another story.
func TestNotTheFuture(t *testing.T) {
	l := filled(t)
	s := &scribe{t: t, log: l}
	later, merged := strings.Repeat("1", 40), strings.Repeat("2", 40)
	future := []int64{
		s.add(tracedb.KindCommit, "", tracedb.Commit{Repository: whytest.Repository, Branch: "next", Commit: later, Author: "builder", Others: []string{whytest.Commit, whytest.Head}},
			"repository", whytest.Repository, "commit", later, "commit", whytest.Commit, "commit", whytest.Head),
		s.add(tracedb.KindReview, tracedb.Approved, tracedb.Review{Repository: whytest.Repository, Pull: 9, Author: "builder", Reviewer: "reviewer", Commit: later},
			"repository", whytest.Repository, "pull", whytest.Repository+"#9", "commit", later),
		s.add(tracedb.KindMerge, "", tracedb.Merge{Repository: whytest.Repository, Pull: 9, Head: later, Commit: merged},
			"repository", whytest.Repository, "pull", whytest.Repository+"#9", "commit", later, "commit", merged),
	}
	c := ask(t, l, whytest.Image)
	for _, seq := range future {
		if has(c, seq) {
			t.Errorf("record %d came after the image and has nothing to do with it", seq)
		}
	}
	// From the later commit, the earlier ones are its past.
	if c := ask(t, l, later); !has(c, future[0]) || !has(c, future[2]) {
		t.Error("asked about itself, the later commit isn't there")
	}
}

// TestTrouble tells of an incident, the repair, and the exception under which something was let in.
func TestTrouble(t *testing.T) {
	l := filled(t)
	s := &scribe{t: t, log: l}
	incident := s.add(tracedb.KindIncident, "", tracedb.Incident{Namespace: whytest.Tenant, Object: "Deployment/drone-service", Images: []string{whytest.Image}, Summary: "plans end in the sea"},
		"image", whytest.Image, "namespace", whytest.Tenant)
	repair := s.add(tracedb.KindRepair, "", tracedb.Repair{Incident: incident, Repository: whytest.Repository, Commit: whytest.Commit2, Summary: "know where the sea is"},
		"record", fmt.Sprint(incident), "repository", whytest.Repository, "commit", whytest.Commit2)
	exception := s.add(tracedb.KindException, "", tracedb.Exception{Algorithm: whytest.Algorithm, Rule: "status", Until: whytest.Start.AddDate(0, 1, 0), Reason: "the season ends", GrantedBy: "ciso"},
		"algorithm", whytest.Algorithm)
	elsewhere := s.add(tracedb.KindException, "", tracedb.Exception{Algorithm: whytest.Algorithm, Rule: "status", Image: whytest.Foreign, Until: whytest.Start.AddDate(0, 1, 0), Reason: "x", GrantedBy: "ciso"},
		"algorithm", whytest.Algorithm, "image", whytest.Foreign)
	s.add(tracedb.KindAdmission, tracedb.Allowed, tracedb.Admission{Namespace: whytest.Tenant, Images: []string{whytest.Refused}, Algorithm: whytest.Algorithm, Policy: "register", Reason: "an exception holds", Exception: exception},
		"image", whytest.Refused, "namespace", whytest.Tenant, "algorithm", whytest.Algorithm, "record", fmt.Sprint(exception))
	drift := s.add(tracedb.KindDrift, tracedb.Undone, tracedb.Drift{Namespace: whytest.Tenant, Object: "Deployment/drone-service", By: "kubectl-edit"}, "namespace", whytest.Tenant, "image", whytest.Refused)

	old := ask(t, l, whytest.Image)
	if !has(old, incident) || !has(old, repair) || !has(old, exception) || has(old, elsewhere) {
		t.Errorf("the old image: incident %v, repair %v, exception %v, another image's exception %v", has(old, incident), has(old, repair), has(old, exception), has(old, elsewhere))
	}
	for _, want := range []string{"An incident is recorded: “plans end in the sea”.", "A repair is recorded: “know where the sea is”."} {
		if !strings.Contains(old.Answer, want) {
			t.Errorf("the old image's answer lacks %q: %s", want, old.Answer)
		}
	}
	repaired := ask(t, l, whytest.Refused)
	if !has(repaired, incident) || !has(repaired, drift) {
		t.Error("the new image's story doesn't begin with the incident, or leaves out the drift")
	}
	for _, want := range []string{"under an exception that ciso granted until 2026-03-02", "the season ends", "changed in the cluster by kubectl-edit"} {
		if !strings.Contains(repaired.Answer, want) {
			t.Errorf("the new image's answer lacks %q: %s", want, repaired.Answer)
		}
	}
	if strings.Contains(repaired.Answer, "was refused") {
		t.Errorf("it was let in at last: %s", repaired.Answer)
	}
}

// TestOwnApproval holds that nobody's approval of their own work counts.
func TestOwnApproval(t *testing.T) {
	l := logtest.New(t)
	s := &scribe{t: t, log: l}
	commit := strings.Repeat("a", 40)
	s.add(tracedb.KindCommit, "", tracedb.Commit{Repository: "druppie/x", Branch: "b", Commit: commit, Author: "builder", Pusher: "builder"}, "repository", "druppie/x", "commit", commit)
	s.add(tracedb.KindReview, tracedb.Approved, tracedb.Review{Repository: "druppie/x", Pull: 1, Author: "builder", Reviewer: "builder", Reason: "mine is fine", Commit: commit},
		"repository", "druppie/x", "pull", "druppie/x#1", "commit", commit)
	c := ask(t, l, commit)
	if !slices.ContainsFunc(c.Gaps, func(g why.Gap) bool { return g.What == "no approval by anybody but the author" }) {
		t.Errorf("gaps: %+v", c.Gaps)
	}
	if strings.Contains(c.Answer, "builder approved") {
		t.Errorf("answer: %s", c.Answer)
	}
	if !strings.Contains(c.Answer, "led to no image") {
		t.Errorf("answer: %s", c.Answer)
	}
}

// TestAmbiguous asks by names that look alike.
func TestAmbiguous(t *testing.T) {
	l := logtest.New(t)
	s := &scribe{t: t, log: l}
	digest := strings.Repeat("b", 64)
	s.add(tracedb.KindDeployment, tracedb.Running, tracedb.Deployment{Namespace: "drones", Object: "Pod/drone-0"}, "pod", "drones/drone-0")
	s.add(tracedb.KindCommit, "", tracedb.Commit{Repository: "drones/code"}, "repository", "drones/code")
	s.add(tracedb.KindImage, "", tracedb.Image{Digest: "sha256:" + digest}, "image", "sha256:"+digest)
	s.add(tracedb.KindDeployment, tracedb.Passed, tracedb.Deployment{Object: "Kustomization/fleet"}, "revision", strings.Repeat("c", 40))
	s.add(tracedb.KindRun, tracedb.Passed, tracedb.Run{Run: "foundry/r-1"}, "run", "foundry/r-1")
	for give, want := range map[string]tracedb.RefType{
		"drones/drone-0": tracedb.RefPod, "drones/code": tracedb.RefRepository, digest: tracedb.RefImage,
		strings.Repeat("c", 40): tracedb.RefRevision, "foundry/r-1": tracedb.RefRun,
	} {
		if c := ask(t, l, give); c.Subject.Type != want {
			t.Errorf("%s is taken for a %s, want %s", give, c.Subject.Type, want)
		}
	}
}

// TestDisposed asks eight years later: the story stands, from the entries alone, and says where the
// rest went.
func TestDisposed(t *testing.T) {
	clock, age := whytest.Aging()
	l := logtest.New(t, logtest.Now(clock))
	whytest.Fill(t, l)
	before := ask(t, l, whytest.Image)
	age(t, l)
	c := ask(t, l, whytest.Image)
	gone, disposals := 0, 0
	for _, link := range c.Links {
		if link.Disposed {
			gone++
			if link.Title == "" || len(link.Details) > 0 {
				t.Errorf("record %d is told as %q with %d details", link.Seq, link.Title, len(link.Details))
			}
		}
		if link.Kind == tracedb.KindDisposal {
			disposals++
		}
	}
	if gone < 15 || disposals < 10 || len(c.Links) != len(before.Links)+disposals {
		t.Errorf("%d disposed of by %d records, %d links before and %d after", gone, disposals, len(before.Links), len(c.Links))
	}
	// Provenance and the register are kept for ever.
	for _, want := range []string{"runs in", "druppie/drone-service", "alg-d1jk3vl8"} {
		if !strings.Contains(c.Answer, want) {
			t.Errorf("the answer lacks %q: %s", want, c.Answer)
		}
	}
	golden(t, "disposed.txt", []byte(script(c)))
}

// TestFleet has the fleet's records as the collectors write them: their commits are revisions and
// commits at once, pull requests are about what they promote, and refusals may name no image. Two
// services come in one revision.
func TestFleet(t *testing.T) {
	l := logtest.New(t)
	s := &scribe{t: t, log: l}
	hash := func(c string) string { return strings.Repeat(c, 40) }
	digest := func(c string) string { return "sha256:" + strings.Repeat(c, 64) }
	services := []struct{ repository, commit, image, algorithm, branch string }{
		{"druppie/one", hash("a"), digest("a"), "alg-aaaaaaaa", hash("1")},
		{"druppie/two", hash("b"), digest("b"), "alg-bbbbbbbb", hash("2")},
	}
	revision, before := hash("f"), hash("e")
	seqs := map[string][]int64{}
	for i, x := range services {
		pull := fmt.Sprintf("druppie/fleet#%d", i+1)
		add := func(kind tracedb.Kind, outcome tracedb.Outcome, payload any, refs ...string) {
			seqs[x.repository] = append(seqs[x.repository], s.add(kind, outcome, payload, refs...))
		}
		add(tracedb.KindCommit, "", tracedb.Commit{Repository: x.repository, Branch: "main", Commit: x.commit, Author: "builder"}, "repository", x.repository, "commit", x.commit)
		add(tracedb.KindImage, "", tracedb.Image{Image: x.repository, Digest: x.image, Repository: x.repository, Commit: x.commit}, "repository", x.repository, "commit", x.commit, "image", x.image)
		// The push of the promotion's branch says nothing of the image, and isn't part of the story.
		s.add(tracedb.KindCommit, "", tracedb.Commit{Repository: whytest.Fleet, Branch: "promote", Commit: x.branch, Author: "promoter", Others: []string{before}},
			"repository", whytest.Fleet, "commit", x.branch, "revision", x.branch, "commit", before)
		add(tracedb.KindReview, tracedb.Approved, tracedb.Review{Repository: whytest.Fleet, Pull: int64(i + 1), Author: "promoter", Reviewer: "reviewer", Commit: x.branch},
			"repository", whytest.Fleet, "pull", pull, "commit", x.branch, "revision", x.branch, "repository", x.repository, "commit", x.commit, "image", x.image)
		add(tracedb.KindMerge, "", tracedb.Merge{Repository: whytest.Fleet, Pull: int64(i + 1), Author: "promoter", MergedBy: "reviewer", Head: x.branch, Commit: revision},
			"repository", whytest.Fleet, "pull", pull, "commit", x.branch, "revision", x.branch, "commit", revision, "revision", revision, "repository", x.repository, "commit", x.commit, "image", x.image)
		add(tracedb.KindPromotion, "", tracedb.Promotion{Digest: x.image, Repository: x.repository, Commit: x.commit, Fleet: whytest.Fleet, Revision: revision, Tenant: whytest.Tenant},
			"image", x.image, "repository", x.repository, "commit", x.commit, "revision", revision, "namespace", whytest.Tenant)
	}
	s.add(tracedb.KindCommit, "", tracedb.Commit{Repository: whytest.Fleet, Branch: "main", Commit: revision, Author: "reviewer", Others: []string{hash("1"), hash("2")}},
		"repository", whytest.Fleet, "commit", revision, "revision", revision, "commit", hash("1"), "commit", hash("2"))
	s.add(tracedb.KindAdmission, tracedb.Denied, tracedb.Admission{Namespace: whytest.Tenant, Resource: "Deployment/two", Policy: "non-root", Reason: "it wants to be root"},
		"namespace", whytest.Tenant, "revision", revision)
	s.add(tracedb.KindDeployment, tracedb.Running, tracedb.Deployment{Namespace: whytest.Tenant, Object: "Pod/one-1", Images: []string{digest("a")}, Algorithm: "alg-aaaaaaaa"},
		"image", digest("a"), "namespace", whytest.Tenant, "pod", "drones/one-1", "algorithm", "alg-aaaaaaaa")

	for i, x := range services {
		other := services[1-i]
		for _, subject := range []string{x.image, x.commit} {
			c := ask(t, l, subject)
			for _, seq := range seqs[x.repository] {
				if !has(c, seq) {
					t.Errorf("%s of %s: record %d is missing", subject, x.repository, seq)
				}
			}
			for _, seq := range seqs[other.repository] {
				if has(c, seq) {
					t.Errorf("%s of %s: record %d is of %s", subject, x.repository, seq, other.repository)
				}
			}
			for _, link := range c.Links {
				if link.Kind == tracedb.KindReview && link.Step != "F4" {
					t.Errorf("a review in the fleet is told as step %s", link.Step)
				}
			}
			if c.Repository != x.repository {
				t.Errorf("%s is of %s, told as of %s", subject, x.repository, c.Repository)
			}
			if want := fmt.Sprintf("through druppie/fleet#%d, approved by reviewer", i+1); !strings.Contains(c.Answer, want) {
				t.Errorf("the answer lacks %q: %s", want, c.Answer)
			}
			if refused := strings.Contains(c.Answer, "it wants to be root"); refused != (i == 1) {
				t.Errorf("%s: refused is %v: %s", x.repository, refused, c.Answer)
			}
		}
	}
	// Asked about the fleet's commit, under either name, both are there.
	for _, subject := range []string{revision, "revision:" + revision} {
		c := ask(t, l, subject)
		if c.Subject.Type != tracedb.RefRevision || !has(c, seqs["druppie/one"][3]) || !has(c, seqs["druppie/two"][3]) {
			t.Errorf("%s, taken as %s, doesn't hold both", subject, c.Subject)
		}
	}
}
